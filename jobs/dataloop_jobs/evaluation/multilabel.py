"""Scores of images that may have any number of labels: mAP, F1 at the threshold, exact match, a 2 × 2 table a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation import curves
from dataloop_jobs.evaluation.calibration import calibration
from dataloop_jobs.evaluation.evidence import Evidence, Fault, Finding, Members, Numbers, mean_of_known, ratio
from dataloop_jobs.evaluation.scores import Scores

# Keeps the loss of a certain and wrong answer finite (a float32 probability is not more exact).
_LEAST = 1e-7

Flags = NDArray[np.bool_]


def score(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
) -> Scores:
    """mAP, mean F1 and exact match; average precision, precision, recall and F1 of each label; 2 × 2 tables.

    mAP is the mean of scikit-learn's average precision over the labels that occur. A label that an image's predictions
    do not name has the score 0. Said: score ≥ threshold.
    """
    evidence = gather(rows, predictions, len(labels))
    truth, scores = evidence.truth, evidence.scores
    said = scores >= threshold
    found = [curves.average_precision(truth[:, k], scores[:, k]) for k in range(len(labels))]
    tables = [_table(truth[:, k], said[:, k]) for k in range(len(labels))]
    per_class: dict[str, dict[str, float | int | None]] = {}
    for label, precision, (hits, false, missed, _) in zip(labels, found, tables, strict=True):
        per_class[label] = {
            "AP": precision,
            "precision": hits / (hits + false) if hits + false else None,
            "recall": hits / (hits + missed) if hits + missed else None,
            "f1": 2 * hits / (2 * hits + false + missed) if hits + false + missed else None,
            "support": hits + missed,
        }
    known = [value for value in found if value is not None]
    hits, false, missed, _ = (sum(column) for column in zip(*tables, strict=True)) if tables else (0, 0, 0, 0)
    f1s = [entry["f1"] for entry in per_class.values() if entry["support"] and entry["f1"] is not None]
    primary = float(np.mean(known)) if known else None
    summary = {
        "mAP": primary,
        "micro_f1": 2 * hits / (2 * hits + false + missed) if hits + false + missed else None,
        "macro_f1": float(np.mean(f1s)) if f1s else None,
        "exact_match": float((said == truth).all(axis=1).mean()) if len(rows) else None,
    }
    named = [(label, number) for number, label in enumerate(labels) if truth[:, number].any()]
    rocs = {label: curves.roc(truth[:, number], scores[:, number]) for label, number in named}
    return Scores(
        primary,
        summary,
        per_class,
        {
            "pr": {label: curves.precision_recall(truth[:, number], scores[:, number]) for label, number in named},
            "roc": {label: points for label, points in rocs.items() if points is not None},
        },
        {
            "labels": list(labels),
            # Of each label: [[right without, said but absent], [missed, right with]], rows true, columns predicted.
            "tables": [[[none, false], [missed, hits]] for hits, false, missed, none in tables],
            "threshold": threshold,
            "iou": None,
        },
        curves.threshold_rows(truth.ravel(), scores.ravel(), int(truth.sum())) if len(rows) else [],
        calibration(scores.ravel(), truth.ravel()),
        evidence,
    )


def best_threshold(
    rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
) -> float | None:
    """The score at which F1 over all labels of all images is highest; None when no label occurs."""
    evidence = gather(rows, predictions, len(labels))
    truth, scores = evidence.truth.ravel(), evidence.scores.ravel()
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    hits = np.cumsum(truth[order])[ends]
    best = int((2 * hits / (ends + 1 + truth.sum())).argmax())
    after = float(scores[order[ends[best] + 1]]) if best + 1 < len(ends) else 0.0
    # Half way to the next score, so that the threshold does not sit on a prediction and rounding cannot flip it.
    return round((float(scores[order[ends[best]]]) + after) / 2, 4)


def gather(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], count: int) -> MultilabelEvidence:
    """Truth and scores as tables (images, labels)."""
    truth = np.zeros((len(rows), count), dtype=bool)
    scores = np.zeros((len(rows), count))
    for index, (row, found) in enumerate(zip(rows, predictions, strict=True)):
        for one in row.truths:
            truth[index, one.label] = True
        for said in found:
            scores[index, said.label] = max(scores[index, said.label], said.score)
    return MultilabelEvidence(truth, scores)


@dataclass(frozen=True)
class MultilabelEvidence:
    """See `Evidence`. truth and scores: (images, labels)."""

    truth: Flags
    scores: Numbers

    @property
    def images(self) -> int:
        return len(self.truth)

    @property
    def size(self) -> int:
        return self.truth.size

    def per_class(self, weights: Numbers) -> Numbers:
        columns = [self._precision(weights, number) for number in range(self.truth.shape[1])]
        return np.stack(columns, axis=1) if columns else np.empty((len(weights), 0))

    def _precision(self, weights: Numbers, number: int) -> Numbers:
        scores = self.scores[:, number]
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
        ordered = weights[:, order]
        seen = np.cumsum(ordered, axis=1)[:, ends]
        hits = np.cumsum(ordered * self.truth[order, number], axis=1)[:, ends]
        if not len(ends):
            return np.full(len(weights), np.nan)
        gained = np.diff(hits, prepend=0, axis=1)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return ratio((gained * precision).sum(axis=1), hits[:, -1])

    def primary(self, weights: Numbers) -> Numbers:
        return mean_of_known(self.per_class(weights))

    def select(self, members: Members) -> MultilabelEvidence:
        return MultilabelEvidence(self.truth[members], self.scores[members])

    def by_size(self) -> Mapping[str, Evidence]:
        return {}

    def size_images(self, name: str) -> int:
        return 0

    def findings(self, threshold: float) -> Sequence[Finding]:
        """Loss: the mean cross-entropy of the labels. Faults: the labels that are missed or falsely said."""
        likely = np.clip(np.where(self.truth, self.scores, 1 - self.scores), _LEAST, 1)
        losses = -np.log(likely).mean(axis=1) if self.truth.shape[1] else np.zeros(len(self.truth))
        said = self.scores >= threshold
        findings = []
        for index, loss in enumerate(losses):
            missed = np.flatnonzero(self.truth[index] & ~said[index])
            false = np.flatnonzero(said[index] & ~self.truth[index])
            faults = [Fault("missed", label=int(number)) for number in missed]
            faults += [Fault("false", said=int(number)) for number in false]
            findings.append(Finding(float(loss), tuple(faults)))
        return findings


def _table(truth: Flags, said: Flags) -> tuple[int, int, int, int]:
    """(hits, false, missed, rightly absent)."""
    hits = int((truth & said).sum())
    return hits, int(said.sum()) - hits, int(truth.sum()) - hits, int((~truth & ~said).sum())
