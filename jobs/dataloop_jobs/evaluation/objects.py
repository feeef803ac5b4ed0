"""What box and mask evaluation share: scores from a COCO problem, and the evidence behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.evaluation import curves
from dataloop_jobs.evaluation.calibration import calibration
from dataloop_jobs.evaluation.coco import (
    ALL_DETECTIONS,
    ANY_SIZE,
    AT_50,
    AT_75,
    MATCH_OVERLAP,
    SIZES,
    Matches,
    Problem,
)
from dataloop_jobs.evaluation.evidence import Evidence, Fault, Finding, Members, Numbers, mean_of_known
from dataloop_jobs.evaluation.scores import Scores

# Overlap from which a wrong object still counts as an attempt at a truth (TIDE's background limit, arXiv 2008.08115).
_ATTEMPT = 0.1


def score(problem: Problem, threshold: float, prefix: str = "") -> Scores:
    """AP, AP50, AP75 and recall, as a whole, per class and per size; curves; confusion matrix at `threshold`.

    Classes without a truth are left out of means. prefix: goes before the names of the numbers ("mask_AP50").
    """
    evaluation = problem.evaluate()
    precision = evaluation.eval["precision"][:, :, :, ANY_SIZE, ALL_DETECTIONS]
    recall = evaluation.eval["recall"][:, :, ANY_SIZE, ALL_DETECTIONS]
    per_class: dict[str, dict[str, float | int | None]] = {
        label: {
            f"{prefix}AP": _mean(precision[:, :, number]),
            f"{prefix}AP50": _mean(precision[AT_50, :, number]),
            f"{prefix}recall": _mean(recall[:, number]),
            "support": int(problem.support[number]),
        }
        for number, label in enumerate(problem.labels)
    }
    summary = {
        f"{prefix}AP": _mean(precision),
        f"{prefix}AP50": _mean(precision[AT_50]),
        f"{prefix}AP75": _mean(precision[AT_75]),
        f"{prefix}recall": _mean(recall),
    }
    by_size = evaluation.eval["precision"][:, :, :, :, ALL_DETECTIONS]
    for position, name in enumerate(SIZES, start=1):
        summary[f"{prefix}AP_{name}"] = _mean(by_size[:, :, :, position])
    pr = {
        label: {
            "recall": curves.GRID.round(2).tolist(),
            "precision": _rounded(precision[AT_50, :, number]),
            "iou": MATCH_OVERLAP,
        }
        for number, label in enumerate(problem.labels)
        if problem.support[number]
    }
    matrix = evaluation.confusion_matrix(iou_thr=MATCH_OVERLAP, min_score=threshold)["matrix"]
    confusion = {
        "labels": [*problem.labels, "background"],
        "matrix": matrix.astype(int).tolist(),
        "threshold": threshold,
        "iou": MATCH_OVERLAP,
    }
    right, scores = judged(problem, evaluation)
    return Scores(
        summary[f"{prefix}AP50"],
        summary,
        per_class,
        {"pr": pr},
        confusion,
        curves.threshold_rows(right, scores, int(problem.support.sum())) if problem.images else [],
        calibration(scores, right),
        ObjectEvidence(problem),
    )


def best_threshold(problem: Problem) -> float | None:
    """The score at which F1 over all objects is highest (overlap 0.5); None when nothing was found or is there."""
    truths = int(problem.support.sum())
    right, scores = judged(problem, problem.evaluate())
    if not truths or not len(scores):
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + truths)
    if not hits[-1]:
        return None
    best = int(f1.argmax())
    # Half way to the next score, so that the threshold does not sit on a prediction and rounding cannot flip it.
    after = float(scores[order[best + 1]]) if best + 1 < len(order) else 0.0
    return round((float(scores[order[best]]) + after) / 2, 4)


def judged(problem: Problem, evaluation: Any) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of each prediction, whether COCO matches it with a truth of its label at overlap 0.5, and its score.

    Predictions of a crowd are left out: they are neither right nor wrong.
    """
    status = evaluation.image_diagnostics(iou_thr=MATCH_OVERLAP, score_thr=0.0)["dt_status"]
    # Detections are numbered from 1 in the order in which they were handed over; ignored ones have no status.
    said = [status.get(number + 1) for number in range(len(problem.scores))]
    counted = np.array([verdict is not None for verdict in said], dtype=bool)
    return np.array([verdict == "tp" for verdict in said], dtype=bool)[counted], problem.scores[counted]


@dataclass(frozen=True)
class _Part:
    """One selection of images over one set of matches; the arithmetic of `Evidence`."""

    matches: Matches

    @property
    def images(self) -> int:
        return len(self.matches.truths)

    @property
    def size(self) -> int:
        return len(self.matches.score) + self.images

    def per_class(self, weights: Numbers) -> Numbers:
        return self.matches.average_precision(weights)

    def primary(self, weights: Numbers) -> Numbers:
        return mean_of_known(self.per_class(weights))

    def select(self, members: Members) -> _Part:
        return _Part(self.matches.select(members))

    def by_size(self) -> Mapping[str, Evidence]:
        return {}

    def size_images(self, name: str) -> int:
        return 0

    def findings(self, threshold: float) -> Sequence[Finding]:
        return ()


@dataclass(frozen=True)
class ObjectEvidence:
    """See `Evidence`: AP50 from stored matches. Matching is done when it is first needed, not while training."""

    problem: Problem

    @cached_property
    def _parts(self) -> Mapping[str, _Part]:
        return {name: _Part(matches) for name, matches in self.problem.match().items()}

    @property
    def images(self) -> int:
        return self.problem.images

    @property
    def size(self) -> int:
        return len(self.problem.scores) + self.images

    def per_class(self, weights: Numbers) -> Numbers:
        return self._parts["all"].per_class(weights)

    def primary(self, weights: Numbers) -> Numbers:
        return self._parts["all"].primary(weights)

    def select(self, members: Members) -> Evidence:
        return self._parts["all"].select(members)

    def by_size(self) -> Mapping[str, Evidence]:
        return {name: self._parts[name] for name in SIZES}

    def size_images(self, name: str) -> int:
        return int(self._parts[name].matches.truths.any(axis=1).sum())

    def findings(self, threshold: float) -> Sequence[Finding]:
        """Loss: one for each missed truth, the score for each false or confused object above the threshold, over the
        number of truths and such objects: 0 = all right, 1 = all wrong with certainty.
        """
        problem, matches = self.problem, self._parts["all"].matches
        partner = np.full(len(problem.scores), -1)
        partner[matches.number] = matches.partner
        said = problem.scores >= threshold
        by_image = _positions(problem.places[:, 0], problem.images)
        found_by_image = _positions(problem.found_places[:, 0], problem.images)
        return [
            _finding(problem, there, found[said[found]], partner)
            for there, found in zip(by_image, found_by_image, strict=True)
        ]


def _finding(
    problem: Problem, there: NDArray[np.int64], found: NDArray[np.int64], partner: NDArray[np.int64]
) -> Finding:
    """The faults of one image. there, found: numbers of its truths and of its predictions above the threshold.

    A crowd cannot be missed, and what was found in it is no fault.
    """
    there = there[~problem.crowds[there]]
    matched = set(partner[found].tolist())
    missed = [number for number in there if number not in matched]
    wrong = [number for number in found if partner[number] < 0]
    overlap = _overlaps(problem, wrong, list(there))
    faults: list[Fault] = []
    explained: set[int] = set()
    for row, number in sorted(enumerate(wrong), key=lambda pair: -problem.scores[pair[1]]):
        said, position = int(problem.found_labels[number]), int(problem.found_places[number, 1])
        best = int(overlap[row].argmax()) if len(there) else -1
        reach = float(overlap[row, best]) if len(there) else 0.0
        nearest = int(there[best]) if len(there) else -1
        if reach < _ATTEMPT or nearest in matched or nearest in explained:
            faults.append(Fault("false", said=said, prediction=position, iou=reach))
            continue
        label, place = int(problem.truth_labels[nearest]), int(problem.places[nearest, 1])
        if label == said:
            faults.append(Fault("low_iou", label, said, place, position, reach))
        elif reach >= MATCH_OVERLAP:
            faults.append(Fault("confused", label, said, place, position, reach))
        else:
            faults.append(Fault("false", said=said, prediction=position, iou=reach))
            continue
        explained.add(nearest)
    faults += [
        Fault("missed", label=int(problem.truth_labels[number]), truth=int(problem.places[number, 1]))
        for number in missed
        if number not in explained
    ]
    counted = len(there) + len(wrong)
    loss = (len(missed) + float(problem.scores[wrong].sum())) / counted if counted else 0.0
    return Finding(loss, tuple(faults))


def _overlaps(problem: Problem, found: Sequence[int], there: Sequence[int]) -> NDArray[np.float64]:
    """Intersection over union of these predictions and truths: (found, there)."""
    if not found or not there:
        return np.zeros((len(found), len(there)))
    first, second = [problem.found_shapes[n] for n in found], [problem.truth_shapes[n] for n in there]
    return np.asarray(hotcoco.mask.iou(first, second, [0] * len(there)))


def _positions(images: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """For each image, the positions of its entries (entries lie in the order of their images)."""
    edges = np.searchsorted(images, np.arange(count + 1))
    return [np.arange(start, end) for start, end in pairwise(edges)]


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), 5) if value > -1 else None for value in values]
