"""Classification scores: accuracy, F1, precision-recall curves, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.dataset import Row
from dataloop_jobs.predictions import Prediction, Scores

_GRID = np.linspace(0, 1, 101)


def score(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> Scores:
    """Accuracy and macro F1; precision, recall, F1 and curve per class; confusion matrix of the best label.

    macro F1 is the mean over the classes that occur among the rows. Every row has exactly one distinct label.
    """
    count = len(labels)
    truth = np.array([row.truths[0].label for row in rows], dtype=int)
    chosen = np.array([found[0].label for found in predictions], dtype=int)
    matrix = np.zeros((count, count), dtype=int)
    np.add.at(matrix, (truth, chosen), 1)
    per_class = {label: _class_scores(matrix, number) for number, label in enumerate(labels)}
    f1s = [scores["f1"] for scores in per_class.values() if scores["support"] and scores["f1"] is not None]
    accuracy = float((truth == chosen).mean()) if len(rows) else None
    summary = {"accuracy": accuracy, "macro_f1": float(np.mean(f1s)) if f1s else None}
    table = np.zeros((len(rows), count))
    for index, found_in_row in enumerate(predictions):
        for found in found_in_row:
            table[index, found.label] = found.score
    curves = {
        label: {"recall": _GRID.round(2).tolist(), "precision": _curve(truth == number, table[:, number])}
        for number, label in enumerate(labels)
        if (truth == number).any()
    }
    confusion = {"labels": list(labels), "matrix": matrix.tolist(), "threshold": None, "iou": None}
    return Scores(accuracy, summary, per_class, {"pr": curves}, confusion)


def _class_scores(matrix: NDArray[np.int_], number: int) -> dict[str, float | int | None]:
    hits, said, support = int(matrix[number, number]), int(matrix[:, number].sum()), int(matrix[number].sum())
    return {
        "precision": hits / said if said else None,
        "recall": hits / support if support else None,
        "f1": 2 * hits / (said + support) if said + support else None,
        "support": support,
    }


def _curve(is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> list[float]:
    """Interpolated precision at 101 recalls, as COCO does: the best precision at this recall or a higher one."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_class[order])
    precision = hits / np.arange(1, len(order) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    position = np.searchsorted(hits / hits[-1], _GRID, side="left")
    return [round(float(best[index]), 5) if index < len(best) else 0.0 for index in position]
