"""The metrics of an evaluation: the numbers gates look at, and the part that fits into a table item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# An item is 400 KB at most, and a model's also holds its labels and the names of its files.
MAX_BYTES = 120_000
_KEPT = (
    "task_type",
    "primary",
    "summary",
    "per_class",
    "slices",
    "slices_left_out",
    "images",
    "dataset",
    "threshold",
    "confidence",
    "compression",
)
# A class's part of the primary metric, by task type; the first that an entry has.
_CLASS_SCORES = ("mask_AP50", "AP50", "AP", "iou", "f1")


def primary(metrics: Mapping[str, Any]) -> float | None:
    """The primary metric, or None when the test set gave none."""
    value = (metrics.get("primary") or {}).get("value")
    return float(value) if value is not None else None


def class_score(entry: Mapping[str, Any]) -> float | None:
    """A class's part of the primary metric, or None when it does not occur."""
    for name in _CLASS_SCORES:
        if name in entry:
            return None if entry[name] is None else float(entry[name])
    return None


def compact(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics that fit into an item (120 KB as JSON); curves, matrices and the rest stay in S3.

    When they are larger: classes keep only the number a gate looks at and their support; then the attributes with the
    longest slices go, and slices_left_out says so; then the rarest classes, which no gate looks at anyway.
    """
    kept = {name: metrics[name] for name in _KEPT if name in metrics}
    if "confidence" in kept:
        kept["confidence"] = {k: v for k, v in (kept["confidence"] or {}).items() if k != "per_class"}
    if _size(kept) <= MAX_BYTES:
        return kept
    kept["per_class"] = {label: _least(entry) for label, entry in (kept.get("per_class") or {}).items()}
    kept["slices"] = dict(kept.get("slices") or {})
    kept["slices_left_out"] = dict(kept.get("slices_left_out") or {})
    for name in sorted(kept["slices"], key=lambda name: -_size(kept["slices"][name])):
        if _size(kept) <= MAX_BYTES:
            return kept
        del kept["slices"][name]
        kept["slices_left_out"][name] = "its numbers are too many for the table; metrics.json has them"
    return _without_rare_classes(kept)


def _without_rare_classes(kept: dict[str, Any]) -> dict[str, Any]:
    over = _size(kept) - MAX_BYTES
    for label in sorted(kept["per_class"], key=lambda label: kept["per_class"][label].get("support") or 0):
        if over <= 0:
            break
        over -= _size({label: kept["per_class"].pop(label)})
    return kept


def _least(entry: Mapping[str, Any]) -> dict[str, Any]:
    name = next((name for name in _CLASS_SCORES if name in entry), None)
    return {field: entry.get(field) for field in (name, "support") if field is not None}


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
