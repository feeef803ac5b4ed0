"""The files of a diff: every change as a line, the numbers as one object, and a page for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.json_lines import canonical
from dataloop.manifests.comparing import ASPECTS
from dataloop.manifests.diff_page import page
from dataloop.manifests.diffing import KINDS, differences, entries

# Changed images that the page spells out; diff.jsonl has all of them.
SHOWN = 200
# Labels whose statistics are in the numbers; a task's result is one item of at most 400 KB. The page has all of them.
COUNTED_LABELS = 300
FILES = ("diff.jsonl", "summary.json", "diff.html")
Json = dict[str, Any]


class Summary:
    """Adds changes up; memory holds counters and the first SHOWN changes."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.moves: Counter[tuple[str, str]] = Counter()
        self.first: list[Json] = []

    def add(self, change: Json | None) -> None:
        """One image of `differences`."""
        if change is None:
            self.images["unchanged"] += 1
            return
        if len(self.first) < SHOWN:
            self.first.append(change)
        self.images.update(change["change"])
        if change["before"] and change["after"]:
            self.images["changed"] += 1
        if "moved" in change["change"]:
            self.moves[change["before"]["split"], change["after"]["split"]] += 1
        labels = change.get("labels") or {}
        for name in ("added", "removed", "renamed"):
            self.labels[name] += len(labels.get(name, ()))
        for pair in labels.get("changed", ()):
            self.labels.update(pair["what"])

    def to_json(self) -> Json:
        names = (*KINDS, "changed", "unchanged")
        return {
            "images": {name: self.images[name] for name in names},
            "labels": {name: self.labels[name] for name in ("added", "removed", "renamed", *ASPECTS)},
            "moves": [{"from": old, "to": new, "images": count} for (old, new), count in sorted(self.moves.items())],
        }


def write_diff(before: Path, after: Path, target: Path, names: Mapping[str, Mapping[str, Any]]) -> Json:
    """Compare two versions' folders (split files, tombstones, index.json) and write FILES into target.

    names: {"before": {"dataset_id", "name", "version", …}, "after": …}, kept as given. Returns what summary.json holds:
    names, is_same (equal digests), images, labels, moves, and statistics of the labels whose counts differ.
    Memory: the counters and the first 200 changes. Disk: about the size of the changed rows, twice.
    """
    target.mkdir(parents=True, exist_ok=True)
    summary = Summary()
    with (target / "diff.jsonl").open("wb") as lines:
        for change in differences(entries(before), entries(after)):
            summary.add(change)
            if change is not None:
                lines.write(canonical(change) + b"\n")
    indexes = [json.loads((folder / "index.json").read_bytes()) for folder in (before, after)]
    statistics = _statistics(indexes[0]["statistics"], indexes[1]["statistics"])
    sides = {
        side: dict(names[side]) | {"digest": index["digest"], "counts": index["counts"]}
        for side, index in zip(("before", "after"), indexes, strict=True)
    }
    found = sides | {"is_same": indexes[0]["digest"] == indexes[1]["digest"]} | summary.to_json()
    kept = found | {
        "statistics": dict(list(statistics.items())[:COUNTED_LABELS]),
        "labels_not_shown": max(0, len(statistics) - COUNTED_LABELS),
    }
    (target / "summary.json").write_bytes(canonical_json(kept))
    (target / "diff.html").write_text(page(found, statistics, summary.first), "utf-8")
    return kept


def _statistics(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """{label: {"before": {split: count}, "after": …}} of the labels whose counts differ, the largest change first."""
    found = {
        label: {"before": dict(before.get(label, {})), "after": dict(after.get(label, {}))}
        for label in before.keys() | after.keys()
        if before.get(label) != after.get(label)
    }

    def size(label: str) -> tuple[int, str]:
        old, new = found[label]["before"], found[label]["after"]
        return (-sum(abs(new.get(split, 0) - old.get(split, 0)) for split in {*old, *new}), label)

    return {label: found[label] for label in sorted(found, key=size)}
