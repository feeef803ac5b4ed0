"""Semantic segmentation scores: intersection over union of each label's pixels, and which label is taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.masks import decode
from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation.evidence import Evidence, Fault, Finding, Members, Numbers, mean_of_known, plain, ratio
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.masks import class_map

BACKGROUND = "background"
Counts = NDArray[np.int64]
# An image whose label overlaps less than this is named among its faults.
_LOW = 0.5


def score(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> Scores:
    """mIoU over the labels that occur, pixel accuracy; IoU, precision and recall of each class; pixel confusion.

    Pixels without a label are "background": one more class, reported under that name (unless a label has it) and not
    part of the mean. Predicted masks that lie over each other: the first one in the list has the pixel.
    Cost: a pass over the pixels of every image for truth and prediction.
    """
    evidence = gather(rows, predictions, len(labels))
    total = evidence.confusion()
    hits, truth, said = np.diag(total), total.sum(axis=1), total.sum(axis=0)
    names = [*labels, *([] if BACKGROUND in labels else [BACKGROUND])]
    everyone = np.ones((1, len(rows)))
    iou = evidence.all_classes(everyone)[0]
    per_class: dict[str, dict[str, float | int | None]] = {
        name: {
            "iou": plain(iou[number]),
            "precision": float(hits[number] / said[number]) if said[number] else None,
            "recall": float(hits[number] / truth[number]) if truth[number] else None,
            "support": int(truth[number]),
            "images": int((evidence.truth[:, number] > 0).sum()),
        }
        for number, name in enumerate(names)
    }
    primary = plain(evidence.primary(everyone)[0])
    pixels = int(total.sum())
    recalls = [entry["recall"] for name, entry in per_class.items() if name in labels and entry["recall"] is not None]
    summary = {
        "mIoU": primary,
        "pixel_accuracy": float(hits.sum() / pixels) if pixels else None,
        "mean_recall": float(np.mean(recalls)) if recalls else None,
        "background_iou": plain(iou[-1]),
    }
    confusion = {"labels": [*labels, BACKGROUND], "matrix": total.tolist(), "threshold": None, "iou": None}
    return Scores(primary, summary, per_class, {}, confusion, evidence=evidence)


def gather(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], count: int) -> PixelEvidence:
    """The pixels of each image by true and predicted label."""
    side = count + 1
    cells: list[tuple[Counts, Counts]] = []
    hits, truths, saids = (np.zeros((len(rows), side)) for _ in range(3))
    for index, (row, found) in enumerate(zip(rows, predictions, strict=True)):
        truth = class_map(row.truths, row.width, row.height).astype(np.int64)
        truth[truth < 0] = count
        pair, pixels = np.unique(truth * side + _predicted(found, row, count), return_counts=True)
        cells.append((pair, pixels))
        is_hit = pair // side == pair % side
        hits[index, pair[is_hit] // side] = pixels[is_hit]
        np.add.at(truths[index], pair // side, pixels)
        np.add.at(saids[index], pair % side, pixels)
    return PixelEvidence(hits, truths, saids, tuple(cells))


def _predicted(found: Sequence[Prediction], row: Row, count: int) -> Counts:
    """The predicted label of each pixel, `count` where there is none."""
    said = np.full((row.height, row.width), count, dtype=np.int64)
    for one in reversed(found):
        if one.mask is not None:
            said[decode(one.mask)] = one.label
    return said


@dataclass(frozen=True)
class PixelEvidence:
    """See `Evidence`. Pixels of each image and class, background last: rightly said, there, said: (images, classes + 1).

    cells: of each image, which pairs occur (true × (classes + 1) + predicted) and on how many pixels. A full matrix for
    each image would take gigabytes with a hundred labels.
    """

    hits: Numbers
    truth: Numbers
    said: Numbers
    cells: tuple[tuple[Counts, Counts], ...]

    @property
    def images(self) -> int:
        return len(self.hits)

    @property
    def size(self) -> int:
        return 2 * self.hits.size

    def confusion(self) -> Counts:
        """Pixels of all images by true (rows) and predicted label."""
        side = self.hits.shape[1]
        total = np.zeros(side * side, dtype=np.int64)
        for pair, pixels in self.cells:
            total[pair] += pixels
        return total.reshape(side, side)

    def all_classes(self, weights: Numbers) -> Numbers:
        """IoU of each class and, last, of the background: (B, classes + 1), NaN for a class without a true pixel."""
        there = weights @ self.truth
        iou = ratio(weights @ self.hits, there + weights @ (self.said - self.hits))
        return np.where(there > 0, iou, np.nan)

    def per_class(self, weights: Numbers) -> Numbers:
        return self.all_classes(weights)[:, :-1]

    def primary(self, weights: Numbers) -> Numbers:
        return mean_of_known(self.per_class(weights))

    def select(self, members: Members) -> PixelEvidence:
        cells = tuple(self.cells[member] for member in members)
        return PixelEvidence(self.hits[members], self.truth[members], self.said[members], cells)

    def by_size(self) -> Mapping[str, Evidence]:
        return {}

    def size_images(self, name: str) -> int:
        return 0

    def findings(self, threshold: float) -> Sequence[Finding]:
        """Loss: 1 - mean IoU of the labels in the image's truth or prediction (of the background where there is none).
        Faults: labels with an IoU below 0.5, with the label most of their missed pixels were taken for.
        """
        union = self.truth + self.said - self.hits
        iou = np.divide(self.hits, union, out=np.full(union.shape, np.nan), where=union > 0)
        background = union.shape[1] - 1
        findings = []
        for index, cells in enumerate(self.cells):
            present = np.flatnonzero(union[index, :-1]).tolist() or [background]
            low = [number for number in present if iou[index, number] < _LOW]
            faults = tuple(_fault(cells, number, background, float(iou[index, number])) for number in low)
            findings.append(Finding(1 - float(iou[index, present].mean()), faults))
        return findings


def _fault(cells: tuple[Counts, Counts], number: int, background: int, iou: float) -> Fault:
    pair, pixels = cells
    side = background + 1
    is_label = pair // side == number
    if not is_label.any():
        return Fault("false", said=number, iou=iou)
    wrong = is_label & (pair % side != number)
    taken_for = int(pair[wrong][pixels[wrong].argmax()] % side) if wrong.any() else background
    other = None if taken_for == background else taken_for
    if wrong.sum() < is_label.sum():  # some of its pixels are right
        return Fault("low_iou", label=number, said=other, iou=iou)
    return Fault("missed" if other is None else "confused", label=number, said=other, iou=iou)
