"""COCO average precision of masks and of their boxes, computed by hotcoco."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation import objects
from dataloop_jobs.evaluation.coco import box_problem, mask_problem
from dataloop_jobs.evaluation.scores import Scores

_PREFIX = "mask_"


def score(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
) -> Scores:
    """mask_AP50 (primary), mask_AP, mask_AP75, mask_recall and the same of the boxes without the prefix.

    Curves, confusion matrix, thresholds and sizes are those of the masks. Masks are at the images' own size.
    """
    masks = objects.score(mask_problem(rows, predictions, labels), threshold, _PREFIX)
    boxes = objects.score(box_problem(rows, predictions, labels), threshold)
    per_class = {label: {**boxes.per_class[label], **masks.per_class[label]} for label in labels}
    return replace(masks, summary={**masks.summary, **boxes.summary}, per_class=per_class)


def best_threshold(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
) -> float | None:
    """The score at which F1 over all masks is highest (overlap 0.5); None when nothing was found or is there."""
    return objects.best_threshold(mask_problem(rows, predictions, labels))
