"""COCO average precision of boxes, computed by hotcoco. pycocotools is the oracle in the tests (equal to 1e-9).

Pixels are those of the image as registered; -1, COCO's "no such object", becomes None on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.dataset import Row
from dataloop_jobs.predictions import Prediction, Scores

# COCO's axes: 10 overlaps 0.50…0.95, 101 recalls, classes, object sizes (0 = all), detections an image (last = 100).
_ANY_SIZE, _ALL_DETECTIONS = 0, 2
_AT_50, _AT_75 = 0, 5
CURVE_OVERLAP = 0.5
# Used when there is no validation split to choose a threshold on.
DEFAULT_THRESHOLD = 0.3


def score(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
) -> Scores:
    """AP, AP50, AP75 and recall, as a whole and per class; precision-recall curves; confusion matrix at `threshold`.

    labels: all names, in the order of the rows' and predictions' indices. Classes without a box are left out of means.
    Cost: hotcoco needs 1.5 s for 5,000 images with 500,000 boxes.
    """
    evaluation = _evaluate(rows, predictions, labels)
    precision = evaluation.eval["precision"][:, :, :, _ANY_SIZE, _ALL_DETECTIONS]
    recall = evaluation.eval["recall"][:, :, _ANY_SIZE, _ALL_DETECTIONS]
    support = np.bincount([truth.label for row in rows for truth in row.truths], minlength=len(labels))
    per_class: dict[str, dict[str, float | int | None]] = {
        label: {
            "AP": _mean(precision[:, :, number]),
            "AP50": _mean(precision[_AT_50, :, number]),
            "recall": _mean(recall[:, number]),
            "support": int(support[number]),
        }
        for number, label in enumerate(labels)
    }
    summary = {
        "AP": _mean(precision),
        "AP50": _mean(precision[_AT_50]),
        "AP75": _mean(precision[_AT_75]),
        "recall": _mean(recall),
    }
    grid = [round(step / 100, 2) for step in range(101)]
    curves = {
        label: {"recall": grid, "precision": _rounded(precision[_AT_50, :, number]), "iou": CURVE_OVERLAP}
        for number, label in enumerate(labels)
        if support[number]
    }
    matrix = evaluation.confusion_matrix(iou_thr=CURVE_OVERLAP, min_score=threshold)["matrix"]
    confusion = {
        "labels": [*labels, "background"],
        "matrix": matrix.astype(int).tolist(),
        "threshold": threshold,
        "iou": CURVE_OVERLAP,
    }
    return Scores(summary["AP50"], summary, per_class, {"pr": curves}, confusion)


def best_threshold(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
) -> float | None:
    """The score at which F1 over all boxes is highest (overlap 0.5); None when nothing was found or is there."""
    truths = sum(len(row.truths) for row in rows)
    scores = np.array([found.score for found_in_row in predictions for found in found_in_row])
    if not truths or not len(scores):
        return None
    status = _evaluate(rows, predictions, labels).image_diagnostics(iou_thr=CURVE_OVERLAP, score_thr=0.0)["dt_status"]
    # Detections are numbered from 1 in the order in which they were handed over.
    right = np.array([status.get(number + 1) == "tp" for number in range(len(scores))])
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + truths)
    if not hits[-1]:
        return None
    best = int(f1.argmax())
    # Half way to the next score, so that the threshold does not sit on a prediction and rounding cannot flip it.
    after = float(scores[order[best + 1]]) if best + 1 < len(order) else 0.0
    return round((float(scores[order[best]]) + after) / 2, 4)


def _evaluate(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> Any:
    """A hotcoco evaluation after `accumulate`. Image and class ids are positions plus 1."""
    images = [{"id": number, "width": row.width, "height": row.height} for number, row in enumerate(rows, start=1)]
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, start=1)]
    truth_table = [
        (number, truth.label + 1, *_pixels(truth.box, row))
        for number, row in enumerate(rows, start=1)
        for truth in row.truths
        if truth.box is not None
    ]
    found_table = [
        (number, *_pixels(found.box, row), found.score, found.label + 1)
        for number, (row, found_in_row) in enumerate(zip(rows, predictions, strict=True), start=1)
        for found in found_in_row
        if found.box is not None
    ]
    truth_array = np.array(truth_table, dtype=np.float64).reshape(-1, 6)
    truth = hotcoco.COCO.from_arrays(
        images, categories, truth_array[:, 0].astype(int), truth_array[:, 1].astype(int), truth_array[:, 2:]
    )
    found = truth.load_res(np.array(found_table, dtype=np.float64).reshape(-1, 7))
    evaluation = hotcoco.COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _pixels(box: tuple[float, float, float, float], row: Row) -> tuple[float, float, float, float]:
    left, top, width, height = box
    return left * row.width, top * row.height, width * row.width, height * row.height


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), 5) if value > -1 else None for value in values]
