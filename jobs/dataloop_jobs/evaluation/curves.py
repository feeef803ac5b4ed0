"""Precision-recall and ROC curves of one label against the rest, at fixed points so that files stay small."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# COCO's 101 recalls; the false positive rates of a ROC curve use the same points.
GRID = np.linspace(0, 1, 101)
_POINTS = GRID.round(2).tolist()
THRESHOLDS = tuple(round(step * 0.05, 2) for step in range(1, 20))

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def precision_recall(is_label: Flags, scores: Numbers) -> dict[str, Any]:
    """Interpolated precision at 101 recalls, as COCO does: the best precision at this recall or a higher one.

    is_label holds at least one True.
    """
    hits, seen = _steps(is_label, scores)
    precision = hits / seen
    best = np.maximum.accumulate(precision[::-1])[::-1]
    position = np.searchsorted(hits / hits[-1], GRID, side="left")
    return {
        "recall": list(_POINTS),
        "precision": [round(float(best[index]), 5) if index < len(best) else 0.0 for index in position],
    }


def average_precision(is_label: Flags, scores: Numbers) -> float | None:
    """Mean of the precision at each new recall, equal scores taken together (scikit-learn's). None without True."""
    if not is_label.any():
        return None
    hits, seen = _steps(is_label, scores)
    return float((np.diff(hits, prepend=0) * hits / seen).sum() / hits[-1])


def roc(is_label: Flags, scores: Numbers) -> dict[str, Any] | None:
    """{"auc", "fpr", "tpr"}: true positive rate at 101 false positive rates. None when all are of one kind.

    auc is exact: computed from all scores (trapezoids over equal scores), not from the points.
    """
    positives = int(is_label.sum())
    negatives = len(is_label) - positives
    if not positives or not negatives:
        return None
    hits, seen = _steps(is_label, scores)
    tpr = np.concatenate([[0.0], hits / positives])
    fpr = np.concatenate([[0.0], (seen - hits) / negatives])
    points = np.interp(GRID, fpr, tpr)
    # Where several rates belong to one false positive rate, interp takes the first; the last is the curve's.
    last = np.searchsorted(fpr, GRID, side="right") - 1
    points = np.maximum(points, tpr[last])
    return {
        "auc": float(np.trapezoid(tpr, fpr)),
        "fpr": list(_POINTS),
        "tpr": [round(float(value), 5) for value in points],
    }


def threshold_rows(right: Flags, scores: Numbers, truths: int) -> list[dict[str, float | None]]:
    """Precision, recall and F1 of what has at least each of 19 scores. truths: how many there were to find."""
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    hits_from = np.concatenate([np.cumsum(right[order][::-1])[::-1], [0]])
    rows = []
    for threshold in THRESHOLDS:
        first = int(np.searchsorted(ascending, threshold, side="left"))
        hits, said = int(hits_from[first]), len(scores) - first
        rows.append(
            {
                "threshold": threshold,
                "precision": hits / said if said else None,
                "recall": hits / truths if truths else None,
                "f1": 2 * hits / (said + truths) if said + truths else None,
            }
        )
    return rows


def _steps(is_label: Flags, scores: Numbers) -> tuple[Numbers, Numbers]:
    """Hits and images so far after each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    return np.cumsum(is_label[order])[ends].astype(np.float64), (ends + 1).astype(np.float64)
