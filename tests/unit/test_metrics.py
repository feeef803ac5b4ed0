"""The part of the metrics that a table item holds."""

from __future__ import annotations

import json
from typing import Any

from dataloop.domain.metrics import MAX_BYTES, compact


def report(classes: int, values: int, attributes: int = 3) -> dict[str, Any]:
    entry = {"primary": 0.123456789, "images": 12, "confidence": [0.1, 0.2]}
    scores = {"AP": 0.123456789, "AP50": 0.5, "recall": 0.123456789}
    return {
        "primary": {"name": "AP50", "value": 0.5},
        "per_class": {f"class {n} {'x' * 200}": {**scores, "support": n} for n in range(classes)},
        "slices": {f"attribute {a}": {f"value {v}": entry for v in range(values * (a + 1))} for a in range(attributes)},
        "confidence": {"primary": [0.4, 0.6], "level": 0.95, "per_class": {"class 1": [0.1, 0.2]}},
        "thresholds": [{"threshold": 0.1}],
        "calibration": {"bins": []},
    }


def size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def test_ordinary_metrics_are_kept_but_for_what_only_figures_need() -> None:
    given = report(5, 4)
    kept = compact(given)
    assert kept["per_class"] == given["per_class"] and kept["slices"] == given["slices"]
    assert kept["confidence"] == {"primary": [0.4, 0.6], "level": 0.95}
    assert "thresholds" not in kept and "calibration" not in kept


def test_many_classes_keep_what_a_gate_looks_at_and_the_rarest_go_last() -> None:
    kept = compact(report(700, 1, attributes=0))
    assert size(kept) <= MAX_BYTES
    supports = [entry["support"] for entry in kept["per_class"].values()]
    assert max(supports) == 699
    assert all(set(entry) == {"AP50", "support"} for entry in kept["per_class"].values())
    assert min(supports) == 700 - len(supports)


def test_long_slices_go_and_say_so() -> None:
    kept = compact(report(3, 400))
    assert size(kept) <= MAX_BYTES
    assert "attribute 0" in kept["slices"] and "attribute 2" not in kept["slices"]
    assert "metrics.json" in kept["slices_left_out"]["attribute 2"]
    assert len(kept["per_class"]) == 3


def test_old_metrics_without_the_new_keys_stay_as_they_are() -> None:
    assert compact({"primary": {"value": None}, "images": 0}) == {"primary": {"value": None}, "images": 0}
