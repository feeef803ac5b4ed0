"""Two models on the same frozen images: which is better, by how much, how surely, and on which images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation import slices
from dataloop_jobs.evaluation.bootstrap import LEVEL, interval, resampled, resamples_for
from dataloop_jobs.evaluation.evidence import Evidence, Members, Numbers, plain
from dataloop_jobs.faults import BadModel
from dataloop_jobs.task_types.surface import TaskType

# The core keeps the file in a table item.
MOST_BYTES = 48_000
_MOST_UIDS = 20


@dataclass(frozen=True)
class Contender:
    """One model's answers. labels: the names its predictions' indices stand for. threshold: its own."""

    model_id: str | None
    task: TaskType
    labels: tuple[str, ...]
    predictions: Sequence[Sequence[Prediction]]
    threshold: float


def compare(
    new: Contender, old: Contender, rows: Sequence[Row], row_labels: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """The content of comparison.json: `new` minus `old` overall, per class and per slice, from one paired bootstrap.

    rows, with labels by row_labels, and both lists of predictions are in one order. Only labels that both models know
    are compared: truths of other labels are taken out for both, so that neither wins by its label map alone.
    Raises BadModel when the task types differ or no label of the test set is known to both.
    """
    if new.task.name != old.task.name:
        raise BadModel(
            f"the baseline is a {old.task.name} model, the evaluated one is for {new.task.name}: "
            "compare models of one task type"
        )
    names = tuple(dict.fromkeys((*row_labels, *new.labels, *old.labels)))
    known = set(new.labels) & set(old.labels)
    there = {row_labels[truth.label] for row in rows for truth in row.truths}
    if there and not there & known:
        raise BadModel(
            f"the two models have no label of the test set in common (new {_some(new.labels)}, baseline "
            f"{_some(old.labels)}, test set {_some(sorted(there))}): nothing can be compared"
        )
    kept = [
        (index, replace(row, truths=tuple(t for t in row.truths if row_labels[t.label] in known)))
        for index, row in enumerate(rows)
    ]
    usable = {row.uid for row in new.task.usable([row for _, row in kept])}
    kept = [(index, row) for index, row in kept if row.uid in usable]
    same_rows = [row for _, row in kept]
    evidence = [_evidence(one, same_rows, [index for index, _ in kept], names) for one in (new, old)]
    pair = _Pair(evidence[0], evidence[1], resamples_for(evidence[0].size + evidence[1].size), seed)
    members, _ = slices.groups(same_rows)
    result: dict[str, Any] = {
        "task_type": new.task.name,
        "metric": new.task.primary_name,
        "model_id": new.model_id,
        "baseline_model_id": old.model_id,
        "images": len(same_rows),
        "labels_left_out": {
            label: "the baseline does not know it" if label in new.labels else "the evaluated model does not know it"
            for label in sorted(there - known)
        },
        "level": LEVEL,
        "resamples": pair.resamples,
        "seed": seed,
        "primary": pair.difference(),
        "per_class": pair.per_class([name if name in known else None for name in names]),
        "slices": pair.slices(members),
        "changed": _changed(new, old, evidence, same_rows),
    }
    return _fitted(result)


def _evidence(one: Contender, rows: Sequence[Row], order: Sequence[int], names: Sequence[str]) -> Evidence:
    places = [names.index(label) for label in one.labels]
    answers = [[replace(found, label=places[found.label]) for found in one.predictions[index]] for index in order]
    evidence = one.task.score(rows, answers, names, one.threshold).evidence
    if evidence is None:
        raise BadModel(f"task type {one.task.name!r} keeps nothing that two models could be compared by")
    return evidence


@dataclass(frozen=True)
class _Pair:
    """Evidence of the same images in the same order; every resample draws the same images for both."""

    new: Evidence
    old: Evidence
    resamples: int
    seed: int

    def difference(self) -> dict[str, Any]:
        """The primary metric of both, the difference with its interval, and how probably it is positive."""
        ours, theirs = (one.primary(np.ones((1, one.images)))[0] for one in (self.new, self.old))
        drawn = (
            resampled(self.new, lambda w: self.new.primary(w) - self.old.primary(w), self.resamples, self.seed)
            if self.new.images > 1
            else np.empty((0,))
        )
        return _entry(ours, theirs, drawn)

    def per_class(self, names: Sequence[str | None]) -> dict[str, dict[str, Any]]:
        """The same of each class that has a name and a truth."""
        everyone = np.ones((1, self.new.images))
        ours, theirs = self.new.per_class(everyone)[0], self.old.per_class(everyone)[0]
        drawn = (
            resampled(self.new, lambda w: self.new.per_class(w) - self.old.per_class(w), self.resamples, self.seed)
            if self.new.images > 1
            else np.empty((0, len(names)))
        )
        return {
            name: _entry(ours[number], theirs[number], drawn[:, number])
            for number, name in enumerate(names)
            if name is not None and not (np.isnan(ours[number]) and np.isnan(theirs[number]))
        }

    def slices(self, members: Mapping[str, Mapping[str, Members]]) -> dict[str, dict[str, dict[str, Any]]]:
        """The same of each slice, with the number of its images."""
        result: dict[str, dict[str, dict[str, Any]]] = {}
        for name, values in members.items():
            result[name] = {
                value: {"images": len(chosen), **self._part(self.new.select(chosen), self.old.select(chosen))}
                for value, chosen in values.items()
            }
        old_sizes = self.old.by_size()
        for size, part in self.new.by_size().items():
            entry = {"images": self.new.size_images(size), **self._part(part, old_sizes[size])}
            result.setdefault(slices.OBJECT_SIZE, {})[size] = entry
        return result

    def _part(self, new: Evidence, old: Evidence) -> dict[str, Any]:
        return replace(self, new=new, old=old).difference()


def _entry(ours: float, theirs: float, drawn: Numbers) -> dict[str, Any]:
    known = drawn[~np.isnan(drawn)]
    # A draw counts half: with two equal models the answer is 0.5.
    better = float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else None
    ends = interval(drawn)
    return {
        "model": _short(plain(ours)),
        "baseline": _short(plain(theirs)),
        "difference": _short(plain(ours - theirs)),
        "confidence": None if ends is None else [_short(end) for end in ends],
        "probability_better": _short(better),
    }


def _changed(new: Contender, old: Contender, evidence: Sequence[Evidence], rows: Sequence[Row]) -> dict[str, Any]:
    """Images that were faulty and are not any more (fixed), the other way round (broken), and by loss."""
    ours, theirs = evidence[0].findings(new.threshold), evidence[1].findings(old.threshold)
    gains = [(b.loss - a.loss, index) for index, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    fixed = [pair for pair in gains if theirs[pair[1]].faults and not ours[pair[1]].faults]
    broken = [pair for pair in gains if ours[pair[1]].faults and not theirs[pair[1]].faults]
    return {
        "fixed": len(fixed),
        "broken": len(broken),
        "better": sum(gain > 0 for gain, _ in gains),
        "worse": sum(gain < 0 for gain, _ in gains),
        "fixed_uids": [rows[index].uid for _, index in sorted(fixed, key=lambda p: (-p[0], p[1]))[:_MOST_UIDS]],
        "broken_uids": [rows[index].uid for _, index in sorted(broken)[:_MOST_UIDS]],
    }


def _fitted(result: dict[str, Any]) -> dict[str, Any]:
    """The result within 48 KB: the classes and slices that differ least are left out first, and counted."""
    entries = [(_weight(entry), "per_class", label, None) for label, entry in result["per_class"].items()]
    for name, values in result["slices"].items():
        entries += [(_weight(entry), "slices", name, value) for value, entry in values.items()]
    entries.sort(key=lambda entry: entry[0])
    dropped = 0
    size = len(json.dumps(result, ensure_ascii=False).encode())
    for _, part, name, value in entries:
        if size <= MOST_BYTES:
            break
        holder, key = (result[part], name) if value is None else (result[part][name], value)
        # The key, the quotes, colon and comma around it, and its value.
        size -= len(json.dumps({key: holder.pop(key)}, ensure_ascii=False).encode())
        dropped += 1
    result["entries_left_out"] = dropped
    return result


def _weight(entry: Mapping[str, Any]) -> float:
    return abs(entry["difference"]) if entry["difference"] is not None else -1.0


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:5])
    return shown + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
