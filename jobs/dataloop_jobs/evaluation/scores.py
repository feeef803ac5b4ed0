"""How good a set of predictions is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataloop_jobs.evaluation.evidence import Evidence


@dataclass(frozen=True)
class Scores:
    """Results of one set of images, as plain JSON values without NaN.

    primary: the number that models are compared by, None when it cannot be computed. The rest is the content of
    metrics.json (without its head), curves.json and confusion.json.
    thresholds: one row a score threshold {"threshold", "precision", "recall", "f1"}; empty where there is no such thing.
    calibration: see calibration.py; None where a score is not a probability of being right.
    evidence: what intervals, slices, comparison and worst images are computed from; None = this task has none of them.
    """

    primary: float | None
    summary: dict[str, float | None]
    per_class: dict[str, dict[str, float | int | None]]
    curves: dict[str, Any]
    confusion: dict[str, Any]
    thresholds: list[dict[str, float | None]] = field(default_factory=list)
    calibration: dict[str, Any] | None = None
    evidence: Evidence | None = None
