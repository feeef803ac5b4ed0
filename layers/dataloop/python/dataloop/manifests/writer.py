"""Writes the files of a manifest, row by row, on disk (the contract with jobs is in docs/manifest.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from dataloop.domain import manifest, uid_index
from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.manifest import JoinReport, merge_fragments
from dataloop.domain.splits import SPLITS


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


class ManifestWriter:
    """Takes images in uid order; memory holds the label statistics and nothing else."""

    def __init__(self, folder: Path, version: DatasetVersion, report: JoinReport) -> None:
        folder.mkdir()
        self._folder = folder
        self._version = version
        self._report = report
        self._stack = ExitStack()
        self._files = {name: self._open(f"{name}.jsonl") for name in (*SPLITS, "objects")}
        self._images = self._open("images.manifest")
        self._download = self._open("dataset.json")
        self._uids = self._stack.enter_context((folder / "uids.body").open("wb"))
        self._counts = dict.fromkeys(SPLITS, 0)
        self._labels: dict[str, dict[str, int]] = {}
        self._first_bytes = [0] * 256
        self._bucket = ""
        names = {"name": version.name, "version": version.version, "dataset_id": version.id, "info": dict(version.info)}
        self._download.write(b'{"dataset":' + canonical_json(names) + b',"items":[')

    def _open(self, name: str) -> _File:
        return _File(self._stack.enter_context((self._folder / name).open("wb")))

    def add(self, fragments: Sequence[Mapping[str, Any]]) -> None:
        """All fragments of one image."""
        image = merge_fragments(fragments, self._version.split)
        for _ in image.superseded:
            self._report.note("superseded", image.row["uid"])
        uid = image.row["uid"]
        is_first = not any(self._counts.values())
        self._counts[image.split] += 1
        self._files[image.split].write(canonical_json(image.row) + b"\n")
        ids = [annotation["id"] for annotation in image.row["annotations"]]
        place = image.object | {"sha256": image.row["sha256"], "split": image.split, "annotation_ids": ids}
        self._files["objects"].write(canonical_json(place) + b"\n")
        if is_first:
            self._bucket = image.object["bucket"]
            self._images.write(b"[" + canonical_json({"prefix": f"s3://{self._bucket}/"}))
        self._images.write(b"," + canonical_json(image.object["key"]))
        self._download.write((b"" if is_first else b",") + canonical_json(image.item))
        self._uids.write(bytes.fromhex(uid))
        self._first_bytes[int(uid[:2], 16)] += 1
        for annotation in image.row["annotations"]:
            for label in annotation["labels"]:
                counts = self._labels.setdefault(label["label"], dict.fromkeys(SPLITS, 0))
                counts[image.split] += 1

    def close(self) -> dict[str, Any]:
        """Finish all files; returns the index, which is also written as index.json."""
        self._images.write(b"]" if any(self._counts.values()) else b"[]")
        labels = sorted(self._labels)
        digest = manifest.version_digest({name: self._files[name].sha256 for name in SPLITS}, labels)
        self._download.write(b'],"digest":' + canonical_json(digest) + b"}")
        self._stack.close()
        body = self._folder / "uids.body"
        with (self._folder / "uids.idx").open("wb") as target, body.open("rb") as source:
            target.write(uid_index.header(self._first_bytes))
            while chunk := source.read(1 << 20):
                target.write(chunk)
        body.unlink()
        (self._folder / "label_map.json").write_bytes(canonical_json({"labels": labels}))
        index = {
            "format": manifest.FORMAT,
            "digest": digest,
            "files": {f"{name}.jsonl": self._files[name].sha256 for name in SPLITS},
            "counts": self._counts,
            "labels": labels,
            "statistics": {label: self._labels[label] for label in labels},
            "report": self._report.to_json(),
            "download": {"sha256": self._download.sha256, "size_bytes": self._download.size_bytes},
        }
        (self._folder / "index.json").write_bytes(canonical_json(index))
        return index
