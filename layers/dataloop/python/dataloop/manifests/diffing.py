"""What changed between two versions: one pass over their sorted split files, in memory that does not grow with them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from dataloop.domain.json_lines import parse
from dataloop.domain.splits import SPLITS
from dataloop.manifests.comparing import compare_labels, is_only_nudged

# Canonical JSON ends a row with these two fields; a row that does not is parsed instead.
_TAIL = re.compile(rb',"uid":"([0-9a-f]{32})","width":[0-9]+\}$')
TOMBSTONES = "tombstones.jsonl"
# What may have happened to an image. An image can be relabelled, moved and described anew at once.
KINDS = ("added", "removed", "erased", "relabelled", "moved", "metadata", "annotations")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of a version. line: its row as it stands in the file; None: it was erased, this is its tombstone."""

    uid: str
    split: str
    line: bytes | None


def entries(folder: Path) -> Iterator[Entry]:
    """The images of a version in uid order, each once, from its three split files and its tombstones."""
    with ExitStack() as stack:
        streams = []
        for name in (*(f"{split}.jsonl" for split in SPLITS), TOMBSTONES):
            path = folder / name
            if path.exists():
                lines = stack.enter_context(path.open("rb"))
                streams.append(_tombs(lines) if name == TOMBSTONES else _rows(lines, name.removesuffix(".jsonl")))
        for _, same in groupby(heapq.merge(*streams, key=attrgetter("uid")), key=attrgetter("uid")):
            # A row and a tombstone of one image: it came again after its erasure, so the row counts.
            yield max(same, key=lambda entry: entry.line is not None)


def _rows(lines: IO[bytes], split: str) -> Iterator[Entry]:
    for line in lines:
        row = line.rstrip(b"\n")
        if row:
            yield Entry(uid_of(row), split, row)


def _tombs(lines: IO[bytes]) -> Iterator[Entry]:
    for line in lines:
        if line.strip():
            tomb = parse(line)
            yield Entry(tomb["uid"], tomb["split"], None)


def uid_of(line: bytes) -> str:
    """The uid of a row, without parsing the whole of it where its end tells."""
    found = _TAIL.search(line)
    return found[1].decode() if found else str(parse(line)["uid"])


def differences(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[Json | None]:
    """For each image of either version what changed; None for an image that is the same in both.

    A change: {"uid", "change": kinds, "before": {"split", "row"} | null, "after": the same | null} and, where they
    apply, "erased" (which side holds only a tombstone), "labels" (`compare_labels`), "attributes" {name: {"before",
    "after"}}. Swapping before and after of every change gives the changes the other way round.
    """
    first = ((entry.uid, 0, entry) for entry in before)
    second = ((entry.uid, 1, entry) for entry in after)
    for uid, found in groupby(heapq.merge(first, second, key=lambda each: each[:2]), key=lambda each: each[0]):
        sides: list[Entry | None] = [None, None]
        for _, side, entry in found:
            sides[side] = entry
        old, new = sides
        if old is not None and new is not None and old.line == new.line and old.split == new.split:
            if old.line is not None:
                yield None
            continue
        change = _change(uid, old, new)
        if change is not None:
            yield change


def _change(uid: str, old: Entry | None, new: Entry | None) -> Json | None:
    was, now = _side(old), _side(new)
    if was is None and now is None:
        return None  # erased in one, never in the other, or erased in both
    found: Json = {"uid": uid, "change": [], "before": was, "after": now}
    if was is None or now is None:
        missing = new if now is None else old
        found["change"] = ["added" if was is None else "removed" if missing is None else "erased"]
        if missing is not None:
            found["erased"] = "after" if now is None else "before"
        return found
    kinds = found["change"]
    labels = compare_labels(_labels(was["row"]), _labels(now["row"]))
    if any(labels.values()):
        found["labels"] = labels
        if not is_only_nudged(labels):
            kinds.append("relabelled")
    if was["split"] != now["split"]:
        kinds.append("moved")
    attributes = _attributes(was["row"], now["row"])
    if attributes:
        found["attributes"] = attributes
        kinds.append("metadata")
    if not kinds:
        kinds.append("annotations")
    return found


def _side(entry: Entry | None) -> Json | None:
    return None if entry is None or entry.line is None else {"split": entry.split, "row": parse(entry.line)}


def _labels(row: Mapping[str, Any]) -> list[Json]:
    return [label for annotation in row["annotations"] for label in annotation["labels"]]


def _attributes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Json]:
    """What is known of the image besides its labels: attributes, group, and anything a later format adds."""
    was, now = (
        {name: value for name, value in row.items() if name not in ("annotations", "attributes", "uid")}
        | {f"attributes.{name}": value for name, value in row.get("attributes", {}).items()}
        for row in (old, new)
    )
    return {
        name: {"before": was.get(name), "after": now.get(name)}
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    }
