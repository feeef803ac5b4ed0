"""COCO average precision of boxes, computed by hotcoco."""

from __future__ import annotations

from collections.abc import Sequence

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation import objects
from dataloop_jobs.evaluation.coco import box_problem
from dataloop_jobs.evaluation.scores import Scores

# Used when there is no validation split to choose a threshold on.
DEFAULT_THRESHOLD = 0.3


def score(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
) -> Scores:
    """AP, AP50, AP75 and recall, as a whole and per class; precision-recall curves; confusion matrix at `threshold`.

    labels: all names, in the order of the rows' and predictions' indices. Classes without a box are left out of means.
    """
    return objects.score(box_problem(rows, predictions, labels), threshold)


def best_threshold(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
) -> float | None:
    """The score at which F1 over all boxes is highest (overlap 0.5); None when nothing was found or is there."""
    return objects.best_threshold(box_problem(rows, predictions, labels))
