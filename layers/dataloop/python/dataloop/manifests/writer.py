"""Writes the files of a manifest, row by row, on disk (the contract with jobs is in docs/manifest.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dataloop.domain import manifest, uid_index
from dataloop.domain.canonical import canonical_json
from dataloop.domain.json_lines import exact, parse
from dataloop.domain.manifest import JoinReport, RowsDigest
from dataloop.domain.residency import Holdings
from dataloop.domain.splits import SPLITS
from dataloop.manifests.fragments import MergedImage

# Bytes of a file that are collected before the kernel gets them.
_BUFFER = 1 << 18
_NUMBERS = {split: number for number, split in enumerate(SPLITS)}


class _File:
    """A file that knows its digest and size."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hasher = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._hasher.update(data)
        self.size_bytes += len(data)

    @property
    def sha256(self) -> str:
        return self._hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a tombstone keeps of a row."""

    uid: str
    split: str
    row_sha256: str


class ManifestWriter:
    """Takes images in uid order; memory holds the label statistics and nothing else.

    names: what dataset.json says of the version. deleted: in uid order, the images that were deleted since the version
    was first built, none of which may be added; their rows still count in the digest.
    """

    def __init__(
        self, folder: Path, names: Mapping[str, Any], report: JoinReport, deleted: Iterable[Deleted] = ()
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._report = report
        self._stack = ExitStack()
        self._files = {
            name: self._open(name)
            for name in (*(f"{split}.jsonl" for split in SPLITS), "objects.jsonl", "images.manifest", "dataset.json")
        }
        self._rows = [(self._files[f"{split}.jsonl"], RowsDigest()) for split in SPLITS]
        self._uids = self._stack.enter_context((folder / "uids.body").open("wb", _BUFFER))
        self._deleted = iter(deleted)
        self._next_deleted = next(self._deleted, None)
        self._erased = 0
        self._counts = dict.fromkeys(SPLITS, 0)
        self._labels: dict[str, list[int]] = {}
        self._label_images: dict[str, int] = {}
        self._labelled = self._multi_label = 0
        self._holdings = Holdings.none()
        self._first_bytes = [0] * 256
        self._between = b""
        self._files["dataset.json"].write(b'{"dataset":' + canonical_json(names) + b',"items":[')

    def _open(self, name: str) -> _File:
        return _File(self._stack.enter_context((self._folder / name).open("wb", _BUFFER)))

    def add(self, image: MergedImage, split: str, attributes: bytes, group: bytes) -> None:
        """One image; attributes and group of its row as JSON."""
        uid, number, facts = image.uid.decode(), _NUMBERS[split], parse(image.facts)
        self._count_deleted(uid)
        for _ in range(int(image.superseded)):
            self._report.note("superseded", uid)
        file, digest = self._rows[number]
        row = b'{"annotations":[%b],"attributes":%b,"group":%b,"height":%d,"sha256":"%b","uid":"%b","width":%d}' % (
            image.annotations,
            attributes,
            group,
            facts["height"],
            facts["sha256"].encode(),
            image.uid,
            facts["width"],
        )
        digest.add_row(row)
        file.write(row + b"\n")
        self._counts[split] += 1
        self._holdings.count(json.loads(attributes))
        labels = parse(image.labels)
        for label, count in labels.items():
            self._labels.setdefault(label, [0] * len(SPLITS))[number] += count
            self._label_images[label] = self._label_images.get(label, 0) + 1
        self._labelled += bool(labels)
        self._multi_label += len(labels) > 1
        self._locate(image, split, facts["sha256"])
        item = b'%b{"annotations":[%b],"file":{"image":%b,"meta":%b,"object":%b,"split":"%b","uid":"%b"}}' % (
            self._between,
            image.items,
            image.facts,
            image.meta,
            image.place,
            split.encode(),
            image.uid,
        )
        self._files["dataset.json"].write(item)
        self._between = b","

    def _count_deleted(self, uid: str) -> None:
        """The tombstones before this uid, into the digests."""
        while self._next_deleted is not None and self._next_deleted.uid < uid:
            gone, self._next_deleted = self._next_deleted, next(self._deleted, None)
            self._rows[SPLITS.index(gone.split)][1].add_deleted(gone.row_sha256)
            self._erased += 1

    def _locate(self, image: MergedImage, split: str, sha256: str) -> None:
        """Where the bytes are, for jobs and for lineage."""
        place = parse(image.place)
        place |= {"sha256": sha256, "split": split, "annotation_ids": image.ids.decode().split(",")}
        if image.phash:
            place["phash"] = image.phash.decode()
        self._files["objects.jsonl"].write(exact(place) + b"\n")
        head = b"" if self._between else b"[" + canonical_json({"prefix": f"s3://{place['bucket']}/"})
        self._files["images.manifest"].write(head + b"," + exact(place["key"]))
        key = bytes.fromhex(place["uid"])
        self._uids.write(key)
        self._first_bytes[key[0]] += 1

    def close(
        self,
        *,
        splits: Mapping[str, Any] | None = None,
        anchor: str | None = None,
        labels: Iterable[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Finish all files; returns the index, which is also written as index.json.

        splits: how they were decided. anchor: the version whose images kept their splits. labels: names that the
        version had before images were deleted from it. files: SHA-256 of the version's other files by name.
        """
        self._count_deleted("g")  # behind every uid, which are hex
        self._files["images.manifest"].write(b"]" if self._between else b"[]")
        names = sorted({*self._labels, *labels})
        rows = {split: digest.hexdigest() for split, (_, digest) in zip(SPLITS, self._rows, strict=True)}
        digest = manifest.version_digest(rows, names)
        self._files["dataset.json"].write(b'],"digest":' + canonical_json(digest) + b"}")
        self._stack.close()
        label_map = canonical_json({"labels": names})
        (self._folder / "label_map.json").write_bytes(label_map)
        digests = {name: file.sha256 for name, file in self._files.items()}
        digests |= {"label_map.json": hashlib.sha256(label_map).hexdigest(), "uids.idx": self._index_uids()}
        download = self._files["dataset.json"]
        index = {
            "format": manifest.FORMAT,
            "digest": digest,
            "files": digests | dict(files or {}),
            "rows": rows,
            "counts": self._counts,
            "labels": names,
            "statistics": {label: dict(zip(SPLITS, self._statistics(label), strict=True)) for label in names},
            "label_images": {label: self._label_images.get(label, 0) for label in names},
            "labelled": self._labelled,
            "multi_label": self._multi_label,
            "report": self._report.to_json(),
            "residency": self._holdings.to_json(),
            "download": {"sha256": download.sha256, "size_bytes": download.size_bytes},
            "splits": dict(splits or {}),
            "erased": self._erased,
            "anchor": anchor,
        }
        (self._folder / "index.json").write_bytes(canonical_json(index))
        return index

    def _statistics(self, label: str) -> list[int]:
        return self._labels.get(label, [0] * len(SPLITS))

    def _index_uids(self) -> str:
        """uids.idx: a header, then the uids that were written. Returns its SHA-256."""
        body, hasher = self._folder / "uids.body", hashlib.sha256()
        with (self._folder / "uids.idx").open("wb") as target, body.open("rb") as source:
            for chunk in self._indexed(source):
                target.write(chunk)
                hasher.update(chunk)
        body.unlink()
        return hasher.hexdigest()

    def _indexed(self, source: IO[bytes]) -> Iterator[bytes]:
        yield uid_index.header(self._first_bytes)
        while chunk := source.read(1 << 20):
            yield chunk
