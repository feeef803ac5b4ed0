"""Does a version still hold what its digest says? Read from its files alone, in flat memory.

The digest covers the rows of train, val and test, and the names of the labels. Rows of images that were deleted count
with the digest that their tombstone kept. All other files are checked against the index, which is checked against them.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from dataloop.domain import manifest, uid_index
from dataloop.domain.canonical import canonical_json
from dataloop.domain.json_lines import parse
from dataloop.domain.manifest import RowsDigest
from dataloop.domain.splits import SPLITS

INDEX, TOMBSTONES = "index.json", "tombstones.jsonl"
# Problems of one file that are spelt out; the rest of it would only say the same.
_SPELT_OUT = 10
# Opens one of the version's files by name; raises FileNotFoundError.
Opener = Callable[[str], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and in which file."""

    file: str
    reason: str


@dataclass
class Verdict:
    """What the files say. digest: as computed from the rows; counts: rows of each split; erased: tombstones."""

    digest: str = ""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    erased: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.problems

    def note(self, file: str, reason: str) -> None:
        if sum(problem.file == file for problem in self.problems) < _SPELT_OUT:
            self.problems.append(Problem(file, reason))


def verify(folder: Path) -> Verdict:
    """All files of a version in a folder, as they were downloaded. Cost: rows are read four times, other files once."""
    return verify_files(lambda name: (folder / name).open("rb"))


def verify_files(open_file: Opener, *, digest: str | None = None) -> Verdict:
    """The same over anything that opens files by name. digest: the one that the version's record, or a model, names."""
    verdict = Verdict()
    try:
        with open_file(INDEX) as file:
            index = json.loads(file.read())
        files, labels, stated = dict(index["files"].items()), list(index["labels"]), str(index["digest"])
    except FileNotFoundError:
        verdict.note(INDEX, "is missing")
        return verdict
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        verdict.note(INDEX, f"is not an index of a version: {error!r}")
        return verdict
    for name, sha256 in sorted(files.items()):
        _check_file(open_file, name, sha256, verdict)
    found = {split: _check_split(open_file, split, verdict) for split in SPLITS}
    rows = {split: check.digest.hexdigest() for split, check in found.items()}
    if index.get("format") == 1:
        verdict.digest = manifest.version_digest_1({split: files.get(f"{split}.jsonl", "") for split in SPLITS}, labels)
    else:
        verdict.digest = manifest.version_digest(rows, labels)
    _compare_index(index, found, rows, verdict)
    # The digest of a format 1 is made of its files: after a deletion only its row digests can be checked.
    if index.get("format") != 1 or not verdict.erased:
        for name, value in (("the index", stated), ("the version's record", digest)):
            if value is not None and value != verdict.digest:
                verdict.note(INDEX, f"the rows and labels give the digest {verdict.digest}, and {name} says {value}")
    _check_labels(open_file, labels, verdict)
    _check_places(open_file, verdict)
    return verdict


def _check_file(open_file: Opener, name: str, sha256: str, verdict: Verdict) -> None:
    try:
        with open_file(name) as file:
            found = _sha256(file)
    except FileNotFoundError:
        verdict.note(name, "is missing")
        return
    if found != sha256:
        verdict.note(name, f"has the SHA-256 {found}, and the index says {sha256}")


def _sha256(file: IO[bytes]) -> str:
    hasher = hashlib.sha256()
    while chunk := file.read(1 << 20):
        hasher.update(chunk)
    return hasher.hexdigest()


def _lines(open_file: Opener, name: str) -> Iterator[bytes]:
    """The lines of a file without their ends; none of a file that is missing, which its digest says already."""
    try:
        with open_file(name) as file:
            for line in file:
                yield line.rstrip(b"\n")
    except FileNotFoundError:
        return


@dataclass
class _Split:
    """What one split's rows say."""

    digest: RowsDigest = field(default_factory=RowsDigest)
    labels: dict[str, int] = field(default_factory=dict)

    def count(self, row: Mapping[str, Any]) -> None:
        for annotation in row["annotations"]:
            for label in annotation["labels"]:
                self.labels[label["label"]] = self.labels.get(label["label"], 0) + 1


def _check_split(open_file: Opener, split: str, verdict: Verdict) -> _Split:
    """Rows and tombstones of one split in uid order: the digest, and what the rows hold."""
    name, found = f"{split}.jsonl", _Split()
    rows = ((_uid(line, name, verdict), line, "") for line in _lines(open_file, name))
    gone = ((stone["uid"], b"", stone["row_sha256"]) for stone in _tombstones(open_file, split, verdict))
    before = ""
    for uid, line, row_sha256 in heapq.merge(rows, gone, key=lambda entry: entry[0]):
        if uid <= before:
            what = "stands twice, or has a row and a tombstone" if uid == before else f"comes after {before}"
            verdict.note(TOMBSTONES if row_sha256 else name, f"uid {uid} {what}")
        before = uid
        if row_sha256:
            found.digest.add_deleted(row_sha256)
            verdict.erased += 1
            continue
        found.digest.add_row(line)
        verdict.counts[split] += 1
        try:
            found.count(parse(line))
        except (ValueError, KeyError, TypeError) as error:
            verdict.note(name, f"uid {uid}: the row cannot be read: {error!r}")
    return found


def _uid(line: bytes, name: str, verdict: Verdict) -> str:
    try:
        uid = str(parse(line)["uid"])
    except (ValueError, KeyError, TypeError) as error:
        verdict.note(name, f"a row has no uid: {error!r}")
        return ""
    return uid


def _tombstones(open_file: Opener, split: str, verdict: Verdict) -> Iterator[dict[str, str]]:
    for line in _lines(open_file, TOMBSTONES):
        try:
            stone = parse(line)
            bytes.fromhex(stone["row_sha256"])
            if stone["split"] == split:
                yield {"uid": str(stone["uid"]), "row_sha256": stone["row_sha256"]}
        except (ValueError, KeyError, TypeError) as error:
            if split == SPLITS[0]:  # every split reads them all
                verdict.note(TOMBSTONES, f"a tombstone cannot be read: {error!r}")


def _compare_index(
    index: Mapping[str, Any], found: Mapping[str, _Split], rows: Mapping[str, str], verdict: Verdict
) -> None:
    """What the index says about the rows, against the rows."""
    statistics = {label: {split: found[split].labels.get(label, 0) for split in SPLITS} for label in index["labels"]}
    said = {"counts": verdict.counts, "statistics": statistics}
    if "rows" in index:
        said |= {"rows": dict(rows), "erased": verdict.erased}
    for name, value in said.items():
        if index.get(name) != value:
            verdict.note(INDEX, f"{name} is {_shown(index.get(name))}, and the rows give {_shown(value)}")
    unknown = {label for check in found.values() for label in check.labels} - set(index["labels"])
    if unknown:
        verdict.note(INDEX, f"labels lacks {_shown(sorted(unknown))}")


def _check_labels(open_file: Opener, labels: list[str], verdict: Verdict) -> None:
    """label_map.json, which jobs read, names the labels that the digest covers."""
    text = b"".join(_lines(open_file, "label_map.json"))
    if text and text != canonical_json({"labels": labels}):
        verdict.note("label_map.json", f"does not hold the labels of the index, {_shown(labels)}")


def _check_places(open_file: Opener, verdict: Verdict) -> None:
    """objects.jsonl and uids.idx name the images of the rows, each once, and no other."""
    rows = heapq.merge(*(_row_places(open_file, split) for split in SPLITS))
    places = (_place(line) for line in _lines(open_file, "objects.jsonl"))
    for row, place in zip_longest(rows, places):
        if row != place:
            verdict.note("objects.jsonl", f"names {_shown(place)} where the rows have {_shown(row)}")
            break
    uids = (bytes.fromhex(row[0]) for row in heapq.merge(*(_row_places(open_file, split) for split in SPLITS)))
    for number, (uid, indexed) in enumerate(zip_longest(uids, _indexed(open_file))):
        if uid != indexed:
            verdict.note(
                "uids.idx", f"entry {number} is {indexed and indexed.hex()}, and the rows have {uid and uid.hex()}"
            )
            break


def _row_places(open_file: Opener, split: str) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    for line in _lines(open_file, f"{split}.jsonl"):
        try:
            row = parse(line)
            yield row["uid"], split, row["sha256"], tuple(said["id"] for said in row["annotations"])
        except (ValueError, KeyError, TypeError):
            continue  # noted before


def _place(line: bytes) -> tuple[str, str, str, tuple[str, ...]] | None:
    try:
        place = parse(line)
        return place["uid"], place["split"], place["sha256"], tuple(place["annotation_ids"])
    except (ValueError, KeyError, TypeError):
        return None


def _indexed(open_file: Opener) -> Iterator[bytes]:
    try:
        with open_file("uids.idx") as file:
            file.read(uid_index.FANOUT_BYTES)
            while uid := file.read(16):
                yield uid
    except FileNotFoundError:
        return


def _shown(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 200 else text[:200] + "…"
