"""Takes images out of a version's files and leaves a tombstone for each, so that the version's digest stays provable.

A tombstone holds no more than the uid, the split and the SHA-256 of the row (docs/manifest.md). Everything is computed
from the files as they are: striking again, or after a crash in the middle, ends in the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dataloop.domain import uid_index
from dataloop.domain.canonical import canonical_json
from dataloop.domain.json_lines import parse
from dataloop.domain.manifest import RowsDigest
from dataloop.domain.residency import Holdings
from dataloop.domain.splits import SPLITS
from dataloop.manifests.scrubbing import scrub_json

INDEX, TOMBSTONES = "index.json", "tombstones.jsonl"
# What is read from dataset.json at a time; an item that is larger is read on.
_READ_CHARACTERS = 1 << 20
Stones = dict[str, dict[str, str]]


@dataclass
class Struck:
    """What striking did. images: the struck uids that the version held, by split. index: the new index.json."""

    images: dict[str, list[str]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    index: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.images.values()))


@dataclass
class _Labelled:
    """How many images carry each label, any label, several labels; as ManifestWriter counts them."""

    label_images: dict[str, int]
    labelled: int = 0
    multi_label: int = 0

    def count(self, names: Collection[str]) -> None:
        for name in names:
            self.label_images[name] += 1
        self.labelled += bool(names)
        self.multi_label += len(names) > 1

    def to_json(self) -> dict[str, Any]:
        return {"label_images": self.label_images, "labelled": self.labelled, "multi_label": self.multi_label}


def strike(source: Path, target: Path, uids: Collection[str], deletion_id: str, at: str) -> Struck:
    """Write the files of `source` without these images into `target`, an empty folder: those that change, all of them.

    Put tombstones.jsonl in place first and index.json last: then no crash loses a row's digest, and the index never
    speaks of files that are not there. Memory holds the tombstones and the label statistics.
    """
    index = json.loads((source / INDEX).read_bytes())
    stones = read_tombstones(source / TOMBSTONES)
    gone = set(uids) | stones.keys()
    struck = Struck()
    statistics = {label: dict.fromkeys(SPLITS, 0) for label in index["labels"]}
    counts, rows, holdings = dict.fromkeys(SPLITS, 0), {}, Holdings.none()
    labelled = _Labelled(dict.fromkeys(index["labels"], 0))
    for split in SPLITS:
        digest = RowsDigest()
        with (source / f"{split}.jsonl").open("rb") as lines, (target / f"{split}.jsonl").open("wb") as kept:
            for line, row, is_new in _merged(lines, stones, split):
                if row is None:
                    digest.add_deleted(line.decode())
                    continue
                if is_new:
                    digest.add_row(line)
                if row["uid"] in gone:
                    uid = str(row["uid"])
                    stones.setdefault(uid, _stone(uid, split, line, deletion_id, at))
                    continue
                kept.write(line + b"\n")
                counts[split] += 1
                holdings.count(row["attributes"])
                names = [label["label"] for annotation in row["annotations"] for label in annotation["labels"]]
                labelled.count(set(names))
                for label in names:
                    statistics[label][split] += 1
        rows[split] = digest.hexdigest()
    for uid, stone in stones.items():
        if stone["deletion_id"] == deletion_id:
            struck.images[stone["split"]].append(uid)
    write_lines(target / TOMBSTONES, (stones[uid] for uid in sorted(stones)))
    _strike_places(source, target, gone)
    _strike_download(source / "dataset.json", target / "dataset.json", gone)
    (target / "label_map.json").write_bytes((source / "label_map.json").read_bytes())
    known = {"residency": holdings.to_json(), **labelled.to_json()}
    found = {"counts": counts, "statistics": statistics, "rows": rows, "erased": len(stones)}
    found |= {name: value for name, value in known.items() if name in index}
    struck.index = _new_index(index, target, found, gone)
    (target / INDEX).write_bytes(canonical_json(struck.index))
    return struck


def read_tombstones(path: Path) -> Stones:
    """By uid; a version without deletions has no such file."""
    if not path.exists():
        return {}
    return {stone["uid"]: stone for stone in map(parse, path.read_bytes().splitlines()) if stone}


def write_lines(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    """Canonical JSON, one a line."""
    with path.open("wb") as file:
        file.writelines(canonical_json(row) + b"\n" for row in rows)


def _merged(lines: IO[bytes], stones: Stones, split: str) -> Iterator[tuple[bytes, dict[str, Any] | None, bool]]:
    """Rows and tombstones in uid order: (line, row, does the row still have to be counted) or (row digest, None, False).

    A row whose tombstone is there already (a crash came between) counts by its tombstone.
    """
    waiting = iter(sorted(uid for uid, stone in stones.items() if stone["split"] == split))
    following = next(waiting, None)
    for line in (entry.rstrip(b"\n") for entry in lines):
        row = parse(line)
        uid, is_new = row["uid"], row["uid"] not in stones
        while following is not None and following <= uid:
            yield stones[following]["row_sha256"].encode(), None, False
            following = next(waiting, None)
        yield line, row, is_new
    while following is not None:
        yield stones[following]["row_sha256"].encode(), None, False
        following = next(waiting, None)


def _stone(uid: str, split: str, line: bytes, deletion_id: str, at: str) -> dict[str, str]:
    row_sha256 = hashlib.sha256(line).hexdigest()
    return {"uid": uid, "split": split, "row_sha256": row_sha256, "deletion_id": deletion_id, "at": at}


def _strike_places(source: Path, target: Path, gone: Collection[str]) -> None:
    """objects.jsonl, images.manifest and uids.idx."""
    first_bytes, bucket = [0] * 256, ""
    body = target / "uids.body"
    with (
        (source / "objects.jsonl").open("rb") as lines,
        (target / "objects.jsonl").open("wb") as objects,
        (target / "images.manifest").open("wb") as images,
        body.open("wb") as uids,
    ):
        for line in lines:
            place = parse(line)
            if place["uid"] in gone:
                continue
            objects.write(line)
            if not bucket:
                bucket = place["bucket"]
                images.write(b"[" + canonical_json({"prefix": f"s3://{bucket}/"}))
            images.write(b"," + canonical_json(place["key"]))
            uids.write(bytes.fromhex(place["uid"]))
            first_bytes[int(place["uid"][:2], 16)] += 1
        images.write(b"]" if bucket else b"[]")
    with (target / "uids.idx").open("wb") as index, body.open("rb") as found:
        index.write(uid_index.header(first_bytes))
        while chunk := found.read(1 << 20):
            index.write(chunk)
    body.unlink()


def _strike_download(source: Path, target: Path, gone: Collection[str]) -> None:
    """dataset.json without the items of these images; the others keep their bytes."""
    with source.open(encoding="utf-8") as text, target.open("w", encoding="utf-8") as kept:
        is_first = True
        for part, uid in _items(text):
            if uid is None:
                kept.write(part)
            elif uid not in gone:
                kept.write(part if is_first else "," + part)
                is_first = False


def _items(text: IO[str]) -> Iterator[tuple[str, str | None]]:
    """The head of dataset.json, each item with its uid, and the tail: what ManifestWriter wrote, read piece by piece."""
    decoder = json.JSONDecoder()
    buffer = text.read(_READ_CHARACTERS)
    while True:  # the head may be as large as a dataset's description
        try:
            _, end = decoder.raw_decode(buffer, len('{"dataset":'))
            break
        except json.JSONDecodeError:
            more = text.read(_READ_CHARACTERS)
            if not more:
                raise
            buffer += more
    start = end + len(',"items":[')
    while len(buffer) <= start and (more := text.read(_READ_CHARACTERS)):
        buffer += more
    yield buffer[:start], None
    at = start
    while buffer[at : at + 1] != "]":
        try:
            item, end = decoder.raw_decode(buffer, at)
            if end + 1 >= len(buffer):
                raise json.JSONDecodeError("cut", buffer, end)
        except json.JSONDecodeError:
            more = text.read(_READ_CHARACTERS)
            if not more:
                raise
            buffer, at = buffer[at:] + more, 0
            continue
        yield buffer[at:end], item["file"]["uid"]
        at = end + 1 if buffer[end] == "," else end
    yield buffer[at:] + text.read(), None


def _new_index(
    index: Mapping[str, Any], target: Path, found: Mapping[str, Any], gone: Collection[str]
) -> dict[str, Any]:
    """The index of what is left; found: what the rows say. The digest stays: it covers what was, and the tombstones prove it.

    The digest of a format 1 is made of whole files, which nobody can prove any more; the digests of its rows, taken
    while the files were still whole, are there from its first deletion on.
    """
    names = {*index["files"], TOMBSTONES}
    files = {
        name: _sha256(target / name) if (target / name).exists() else index["files"][name] for name in sorted(names)
    }
    download = {"sha256": _sha256(target / "dataset.json"), "size_bytes": (target / "dataset.json").stat().st_size}
    return {**scrub_json(index, gone), **found, "files": files, "download": download}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
