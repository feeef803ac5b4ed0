"""Precision, recall and average precision of a model's answers to its test images, at any threshold.

A column holds what was said of one tag, the likeliest first. For boxes it also holds which answers overlap which truths,
so that matching can be done for any overlap. docs/iterations.md has the definitions.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Scores are kept as whole millionths, as predictions.jsonl rounds them: exact, and a third of the bytes.
MILLION = 1_000_000
# COCO: recalls at which the precision is read, and how close to 1 an overlap must be to be whole.
RECALLS = 101
NEARLY_WHOLE = 1 - 1e-10

TRUE, BEST = 1, 2  # marks of an answer: the image has the tag; no other tag of the image has a higher score

Box = tuple[float, float, float, float]


class Measure(NamedTuple):
    """Precision and recall with their standard deviations, average precision. None: nothing to divide by.

    truths: how often the tag occurs; said: how often it was said.
    """

    precision: float | None
    precision_deviation: float | None
    recall: float | None
    recall_deviation: float | None
    average_precision: float | None
    truths: int
    said: int


@dataclass(slots=True)
class Column:
    """What was said of one tag in the test images, and where it is.

    scores: millionths, descending. images: the number of the image of each answer. marks: TRUE and BEST of each answer.
    there: image → how often the tag is there. Of boxes, answer by answer in the order of the images' truths: pairs
    (answer, truth, overlap > 0); truths are numbered through the column.
    """

    scores: array[int] = field(default_factory=lambda: array("I"))
    images: array[int] = field(default_factory=lambda: array("I"))
    marks: array[int] = field(default_factory=lambda: array("B"))
    there: dict[int, int] = field(default_factory=dict)
    answers: array[int] = field(default_factory=lambda: array("I"))
    truths: array[int] = field(default_factory=lambda: array("I"))
    overlaps: array[float] = field(default_factory=lambda: array("d"))

    @property
    def total(self) -> int:
        """How often the tag is there."""
        return sum(self.there.values())

    def said(self, threshold: float) -> int:
        """How many answers have at least this score."""
        least = math.ceil(round(threshold * MILLION, 3))
        return bisect_right(self.scores, -least, key=lambda score: -score)

    def right(self, overlap: float | None) -> bytearray:
        """1 for each answer that is right. overlap: for boxes, the least overlap with a truth that no better answer took.

        Greedy as COCO's: the likeliest first, each takes the free truth that it overlaps most, the later of equal ones.
        """
        if overlap is None:
            return bytearray(mark & TRUE for mark in self.marks)
        found, taken = bytearray(len(self.scores)), bytearray(self.total)
        least, best, at = min(overlap, NEARLY_WHOLE), -1, -1
        highest = least
        for answer, truth, shared in zip(self.answers, self.truths, self.overlaps, strict=True):
            if answer != at:
                if best >= 0:
                    found[at], taken[best] = 1, 1
                at, best, highest = answer, -1, least
            if shared >= highest and not taken[truth]:
                best, highest = truth, shared
        if best >= 0:
            found[at] = 1
        return found


@dataclass(slots=True)
class Tally:
    """Answers and right answers of each image, and what is there."""

    said: Counter[int] = field(default_factory=Counter)
    right: Counter[int] = field(default_factory=Counter)
    there: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.said.update(other.said)
        self.right.update(other.right)
        self.there.update(other.there)

    def measure(self, average_precision: float | None) -> Measure:
        truths, said = self.there.total(), self.said.total()
        precision, precision_deviation = self._ratio(self.said, said)
        recall, recall_deviation = self._ratio(self.there, truths)
        return Measure(precision, precision_deviation, recall, recall_deviation, average_precision, truths, said)

    def _ratio(self, of: Counter[int], total: int) -> tuple[float | None, float | None]:
        """right ÷ of, and its standard deviation over test images drawn again (infinitesimal jackknife)."""
        if not total:
            return None, None
        ratio = self.right.total() / total
        spread = sum((self.right[image] - ratio * count) ** 2 for image, count in of.items())
        return ratio, math.sqrt(spread) / total


def tally(column: Column, right: Sequence[int], threshold: float, best_only: bool) -> Tally:
    """What is said of a tag at a threshold, image by image. best_only: an image says its likeliest tag alone."""
    found = Tally(there=Counter(column.there))
    for index in range(column.said(threshold)):
        if best_only and not column.marks[index] & BEST:
            continue
        image = column.images[index]
        found.said[image] += 1
        if right[index]:
            found.right[image] += 1
    return found


def ranked_precision(column: Column, right: Sequence[int], images: int) -> float | None:
    """Average precision of answers about whole images: precision summed over the recall that each score gains.

    An image of which nothing is said has the lowest score of all. scikit-learn's number. None without a truth.
    """
    total = column.total
    if not total:
        return None
    hits = before = 0
    area = 0.0
    for index, is_right in enumerate(right):
        hits += is_right
        is_last_of_equals = index + 1 == len(right) or column.scores[index + 1] != column.scores[index]
        if is_last_of_equals and hits > before:
            area += (hits - before) * hits / (index + 1)
            before = hits
    return (area + (total - before) * total / images) / total


def interpolated_precision(column: Column, right: Sequence[int]) -> float | None:
    """Average precision of boxes: the best precision at or above each of 101 recalls. COCO's number. None without a truth."""
    total = column.total
    if not total:
        return None
    # (recall in hits, precision) at each hit; between two hits precision only falls.
    places = [index for index, is_right in enumerate(right) if is_right]
    area, best, reached = 0.0, 0.0, RECALLS
    for hits in range(len(places), 0, -1):
        best = max(best, hits / (places[hits - 1] + 1))
        first = _first_recall_above((hits - 1) / total) if hits > 1 else 0
        last = _first_recall_above(hits / total)
        area += best * (min(last, reached) - first)
    return area / RECALLS


def _first_recall_above(recall: float) -> int:
    return bisect_right(_RECALLS, recall)


# As numpy.linspace(0, 1, 101) rounds them, which is what COCO compares with.
_RECALLS = [step * (1 / (RECALLS - 1)) for step in range(RECALLS - 1)] + [1.0]


def overlap_of(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Curves:
    """A model's answers to its test images. kind: classification, multilabel_classification or detection.

    columns: tag id → column, of the tags it learnt or the test images have. images: how many were tested. floor: the
    lowest threshold that is answered exactly, in millionths; answers below it were left out (0: none were).
    """

    kind: str
    images: int
    floor: int
    columns: Mapping[str, Column]

    def measures(self, threshold: float, overlap: float) -> Iterator[tuple[str | None, Measure]]:
        """(tag id, its measure) of each tag, and at last (None, the measure of all).

        Overall precision and recall count every answer alike; overall average precision is the mean of the tags that
        occur. overlap: only for detection. Cost: 0.2 µs an answer, 0.6 for one above the threshold.
        """
        is_detection = self.kind == "detection"
        everything, averages = Tally(), []
        for tag_id, column in self.columns.items():
            right = column.right(overlap if is_detection else None)
            found = tally(column, right, threshold, self.kind == "classification")
            average = (
                interpolated_precision(column, right) if is_detection else ranked_precision(column, right, self.images)
            )
            everything.add(found)
            averages.append(average)
            yield tag_id, found.measure(average)
        yield None, everything.measure(mean(averages))
