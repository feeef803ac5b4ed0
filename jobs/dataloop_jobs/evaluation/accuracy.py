"""Classification scores: accuracy, top 5, F1, curves, calibration, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation import curves
from dataloop_jobs.evaluation.calibration import calibration
from dataloop_jobs.evaluation.evidence import Evidence, Fault, Finding, Members, Numbers, ratio
from dataloop_jobs.evaluation.scores import Scores

_TOP = 5
# Keeps the loss of a certain and wrong answer finite (a float32 probability is not more exact).
_LEAST = 1e-7
_NOTHING = -1


def score(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> Scores:
    """Accuracy, balanced accuracy, macro F1, with six labels or more top 5; per class; curves; confusion matrix.

    macro F1 is the mean over the classes that occur among the rows, balanced accuracy the mean of their recalls. Every
    row has exactly one distinct label; predictions are best first. An image without predictions counts as wrong.
    """
    count = len(labels)
    evidence = gather(rows, predictions, count)
    truth, chosen, table = evidence.truth, evidence.chosen, evidence.scores
    answered = chosen != _NOTHING
    matrix = np.zeros((count, count), dtype=int)
    np.add.at(matrix, (truth[answered], chosen[answered]), 1)
    support = np.bincount(truth, minlength=count)
    per_class = {label: _class_scores(matrix, number, int(support[number])) for number, label in enumerate(labels)}
    f1s = [scores["f1"] for scores in per_class.values() if scores["support"] and scores["f1"] is not None]
    recalls = [scores["recall"] for scores in per_class.values() if scores["recall"] is not None]
    right = truth == chosen
    accuracy = float(right.mean()) if len(rows) else None
    summary = {
        "accuracy": accuracy,
        "balanced_accuracy": float(np.mean(recalls)) if recalls else None,
        "macro_f1": float(np.mean(f1s)) if f1s else None,
    }
    if count > _TOP:
        in_top = [
            wanted in {found.label for found in in_row[:_TOP]}
            for wanted, in_row in zip(truth, predictions, strict=True)
        ]
        summary["top5_accuracy"] = float(np.mean(in_top)) if in_top else None
    named = [(label, number) for number, label in enumerate(labels) if support[number]]
    rocs = {label: curves.roc(truth == number, table[:, number]) for label, number in named}
    best = table.max(axis=1, initial=0.0)
    return Scores(
        accuracy,
        summary,
        per_class,
        {
            "pr": {label: curves.precision_recall(truth == number, table[:, number]) for label, number in named},
            "roc": {label: points for label, points in rocs.items() if points is not None},
        },
        {"labels": list(labels), "matrix": matrix.tolist(), "threshold": None, "iou": None},
        curves.threshold_rows(right, best, len(rows)) if len(rows) else [],
        calibration(best, right),
        evidence,
    )


def gather(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], count: int) -> ClassificationEvidence:
    """True label, best label and all scores of each image."""
    truth = np.array([row.truths[0].label for row in rows], dtype=np.int64)
    chosen = np.array([found[0].label if found else _NOTHING for found in predictions], dtype=np.int64)
    scores = np.zeros((len(rows), count))
    for index, found_in_row in enumerate(predictions):
        for found in found_in_row:
            scores[index, found.label] = found.score
    return ClassificationEvidence(truth, chosen, scores)


@dataclass(frozen=True)
class ClassificationEvidence:
    """See `Evidence`. truth, chosen: label of each image (-1: nothing was said). scores: (images, labels)."""

    truth: NDArray[np.int64]
    chosen: NDArray[np.int64]
    scores: Numbers

    @property
    def images(self) -> int:
        return len(self.truth)

    @property
    def size(self) -> int:
        return 3 * len(self.truth)

    def per_class(self, weights: Numbers) -> Numbers:
        """F1 of each class."""
        count = self.scores.shape[1]
        classes = np.arange(count)
        is_true, is_said = self.truth[:, None] == classes, self.chosen[:, None] == classes
        hits = weights @ (is_true & is_said).astype(float)
        return ratio(2 * hits, weights @ is_true.astype(float) + weights @ is_said.astype(float))

    def primary(self, weights: Numbers) -> Numbers:
        return ratio(weights @ (self.truth == self.chosen).astype(float), weights.sum(axis=1))

    def select(self, members: Members) -> ClassificationEvidence:
        return ClassificationEvidence(self.truth[members], self.chosen[members], self.scores[members])

    def by_size(self) -> Mapping[str, Evidence]:
        return {}

    def size_images(self, name: str) -> int:
        return 0

    def findings(self, threshold: float) -> Sequence[Finding]:
        """Loss: the cross-entropy. A wrong image has one fault, "confused"."""
        findings = []
        for truth, said, scores in zip(self.truth, self.chosen, self.scores, strict=True):
            loss = float(-np.log(np.clip(scores[truth], _LEAST, 1)))
            if said == _NOTHING:
                faults: tuple[Fault, ...] = (Fault("missed", label=int(truth)),)
            else:
                faults = () if said == truth else (Fault("confused", label=int(truth), said=int(said)),)
            findings.append(Finding(loss, faults))
        return findings


def _class_scores(matrix: NDArray[np.int_], number: int, support: int) -> dict[str, float | int | None]:
    hits, said = int(matrix[number, number]), int(matrix[:, number].sum())
    return {
        "precision": hits / said if said else None,
        "recall": hits / support if support else None,
        "f1": 2 * hits / (said + support) if said + support else None,
        "support": support,
    }
