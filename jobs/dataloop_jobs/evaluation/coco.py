"""Rows and predictions as a COCO problem for hotcoco, and COCO's matches kept as numpy columns.

pycocotools is the oracle in the tests (equal to 1e-9). Pixels are those of the image as registered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from dataloop_inference.predictions import Prediction, Rle
from dataloop_jobs.dataset import Row, Truth

# COCO's axes: 10 overlaps 0.50…0.95, 101 recalls, classes, object sizes (0 = all), detections an image (last = 100).
ANY_SIZE, ALL_DETECTIONS = 0, 2
AT_50, AT_75 = 0, 5
MATCH_OVERLAP = 0.5
# Of one class in one image; what comes after the hundred best is not looked at.
MOST_DETECTIONS = 100
# COCO's object sizes, by area in pixels: below 32 × 32, below 96 × 96, the rest.
SIZES = ("small", "medium", "large")
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Problem:
    """A COCO problem. kind: "bbox" or "segm". labels: all names, in the order of the rows' and predictions' indices.

    Truths and predictions without a box (mask for "segm") are not part of it; `places` and `found_places` say which are,
    as (row, position) in the order of their COCO ids, which begin at 1. crowds: which truths are regions of many objects.
    Shapes: boxes (left, top, width, height) in pixels, or COCO run lengths.
    """

    kind: str
    images: int
    labels: tuple[str, ...]
    truth: hotcoco.COCO
    found: hotcoco.COCO
    places: NDArray[np.int64]
    truth_labels: NDArray[np.int64]
    truth_shapes: Sequence[Any]
    crowds: NDArray[np.bool_]
    found_places: NDArray[np.int64]
    found_labels: NDArray[np.int64]
    found_shapes: Sequence[Any]
    scores: NDArray[np.float64]

    @property
    def support(self) -> NDArray[np.int64]:
        """How many truths each label has; a crowd is none that could be missed."""
        return np.bincount(self.truth_labels[~self.crowds], minlength=len(self.labels))

    def evaluate(self) -> Any:
        """A hotcoco evaluation after `accumulate`. Cost: 1.5 s for 5,000 images with 500,000 boxes."""
        evaluation = hotcoco.COCOeval(self.truth, self.found, self.kind)
        evaluation.evaluate()
        evaluation.accumulate()
        return evaluation

    def match(self) -> Mapping[str, Matches]:
        """COCO's matches at overlap 0.5, for objects of any size ("all") and of each size.

        Cost: hotcoco hands its matches over as dictionaries: about 1.8 s for 2,000 images with 80,000 boxes.
        """
        evaluation = hotcoco.COCOeval(self.truth, self.found, self.kind)
        parameters = evaluation.params
        parameters.iou_thrs = [MATCH_OVERLAP]
        parameters.max_dets = [MOST_DETECTIONS]
        evaluation.params = parameters
        evaluation.evaluate()
        names = {tuple(bounds): name for bounds, name in zip(parameters.area_rng, ("all", *SIZES), strict=True)}
        cells: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
        for cell in evaluation.eval_imgs:
            if cell is not None:
                cells[names[tuple(cell["aRng"])]].append(cell)
        return {name: _matches(part, self.images, len(self.labels)) for name, part in cells.items()}


@dataclass(frozen=True)
class Matches:
    """What was found and what was there, with COCO's verdict, for one range of object sizes.

    Found, one entry each: image, label, score, right (matched), ignored (neither right nor wrong: of another size),
    number and partner (positions in the Problem's found_places and places; partner -1 = unmatched).
    truths: (images, labels), how many of that size there were to find. partners: of each truth of the Problem, its
    match's number or -1.
    """

    image: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    number: NDArray[np.int64]
    partner: NDArray[np.int64]
    truths: NDArray[np.int64]

    def select(self, members: NDArray[np.int64]) -> Matches:
        """The matches of these images alone; each image may come once."""
        places = np.full(len(self.truths), -1)
        places[members] = np.arange(len(members))
        kept = places[self.image] >= 0
        return Matches(
            places[self.image[kept]],
            self.label[kept],
            self.score[kept],
            self.right[kept],
            self.ignored[kept],
            self.number[kept],
            self.partner[kept],
            self.truths[members],
        )

    def average_precision(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """COCO's AP at this overlap of each class, images counted by weights: (B, images) → (B, classes), NaN = no truth.

        It is the number hotcoco gives for a data set in which each image is there as often as its weight says. Where an
        image that counts twice has two predictions of one class with the same score, the order of equals may differ.
        Cost: B × predictions.
        """
        count = self.truths.shape[1]
        result = np.full((len(weights), count), np.nan)
        there = weights @ self.truths
        # Stable on images, as COCO's own sort is: equal scores stay in the order of the images.
        order = np.lexsort((self.number, self.image))
        order = order[np.argsort(-self.score[order], kind="stable")]
        order = order[~self.ignored[order]]
        by_class = order[np.argsort(self.label[order], kind="stable")]
        edges = np.searchsorted(self.label[by_class], np.arange(count + 1))
        for number in np.flatnonzero(self.truths.any(axis=0)):
            members = by_class[edges[number] : edges[number + 1]]
            result[:, number] = _interpolated(
                weights[:, self.image[members]], self.right[members], there[:, number : number + 1]
            )
        return result


def _interpolated(
    weights: NDArray[np.float64], right: NDArray[np.bool_], there: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AP over 101 recalls of predictions in descending score: (B, n), (n,), (B, 1) → (B,), NaN where nothing is there."""
    # Only a hit raises the recall, so the curve is known from the hits alone.
    hits_at = np.flatnonzero(right)
    empty = there[:, 0] <= 0
    if not len(hits_at):
        return np.where(empty, np.nan, 0.0)
    seen = np.cumsum(weights, axis=1)[:, hits_at]
    hits = np.cumsum(weights[:, hits_at], axis=1)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.where(there > 0, there, 1)
    # How many of the 101 recalls are reached by this hit and by no earlier one; each is worth the best precision on.
    reached = np.where(hits > 0, np.searchsorted(RECALLS, recall, side="right"), 0)
    total = (np.diff(reached, prepend=0, axis=1) * best).sum(axis=1) / len(RECALLS)
    return np.where(empty, np.nan, total)


def box_problem(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> Problem:
    """Boxes against boxes; an object's size is its box's area."""
    truths = [
        (number, position, truth.label, _pixels(truth.box, row))
        for number, row in enumerate(rows)
        for position, truth in enumerate(row.truths)
        if truth.box is not None
    ]
    founds = [
        (number, position, found.label, found.score, _pixels(found.box, row))
        for number, (row, found_in_row) in enumerate(zip(rows, predictions, strict=True))
        for position, found in enumerate(found_in_row)
        if found.box is not None
    ]
    truth = hotcoco.COCO.from_arrays(
        _images(rows),
        _categories(labels),
        np.array([entry[0] + 1 for entry in truths], dtype=int),
        np.array([entry[2] + 1 for entry in truths], dtype=int),
        np.array([entry[3] for entry in truths], dtype=np.float64).reshape(-1, 4),
        iscrowd=_crowds(rows, truths),
    )
    table = [(number + 1, *box, score, label + 1) for number, _, label, score, box in founds]
    found = truth.load_res(np.array(table, dtype=np.float64).reshape(-1, 7))
    return _problem("bbox", rows, labels, truth, found, truths, founds)


def mask_problem(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> Problem:
    """Masks against masks; an object's size is its mask's area."""
    truths = [
        (number, position, truth.label, outline(truth, row))
        for number, row in enumerate(rows)
        for position, truth in enumerate(row.truths)
        if truth.polygons or truth.mask
    ]
    founds = [
        (number, position, found.label, found.score, _run_lengths(found.mask))
        for number, found_in_row in enumerate(predictions)
        for position, found in enumerate(found_in_row)
        if found.mask is not None
    ]
    masks: list[Any] = [entry[3] for entry in truths]
    area = np.array(hotcoco.mask.area(masks) if masks else [], dtype=np.float64)
    truth = hotcoco.COCO.from_arrays(
        _images(rows),
        _categories(labels),
        np.array([entry[0] + 1 for entry in truths], dtype=int),
        np.array([entry[2] + 1 for entry in truths], dtype=int),
        np.array(hotcoco.mask.to_bbox(masks) if masks else [], dtype=np.float64).reshape(-1, 4),
        area=area,
        iscrowd=_crowds(rows, truths),
        segmentation=masks,
    )
    answers = [
        {"image_id": number + 1, "category_id": label + 1, "score": float(score), "segmentation": mask}
        for number, _, label, score, mask in founds
    ]
    return _problem("segm", rows, labels, truth, truth.load_res(answers), truths, founds)


def outline(truth: Truth, row: Row) -> dict[str, Any]:
    """A truth's mask as COCO run lengths at the image's size; polygons are filled as COCO fills them."""
    if truth.mask is not None:
        return _run_lengths(truth.mask)
    scale = np.array([row.width, row.height])
    pixels = [(np.array(polygon).reshape(-1, 2) * scale).ravel().tolist() for polygon in truth.polygons or ()]
    return hotcoco.mask.merge(hotcoco.mask.frPyObjects(pixels, row.height, row.width))


def _run_lengths(mask: Rle) -> dict[str, Any]:
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def _problem(
    kind: str,
    rows: Sequence[Row],
    labels: Sequence[str],
    truth: hotcoco.COCO,
    found: hotcoco.COCO,
    truths: Sequence[tuple[Any, ...]],
    founds: Sequence[tuple[Any, ...]],
) -> Problem:
    return Problem(
        kind,
        len(rows),
        tuple(labels),
        truth,
        found,
        np.array([entry[:2] for entry in truths], dtype=np.int64).reshape(-1, 2),
        np.array([entry[2] for entry in truths], dtype=np.int64),
        [entry[3] for entry in truths],
        _crowds(rows, truths).astype(bool),
        np.array([entry[:2] for entry in founds], dtype=np.int64).reshape(-1, 2),
        np.array([entry[2] for entry in founds], dtype=np.int64),
        [entry[4] for entry in founds],
        np.array([entry[3] for entry in founds], dtype=np.float64),
    )


def _matches(cells: Sequence[Mapping[str, Any]], images: int, labels: int) -> Matches:
    truths = np.zeros((images, labels), dtype=np.int64)
    columns: list[tuple[int, int, float, bool, bool, int, int]] = []
    for cell in cells:
        image, label = cell["image_id"] - 1, cell["category_id"] - 1
        truths[image, label] += len(cell["gtIgnore"]) - sum(cell["gtIgnore"])
        for id, score, match, ignored in zip(
            cell["dtIds"], cell["dtScores"], cell["dtMatches"][0], cell["dtIgnore"][0], strict=True
        ):
            columns.append((image, label, score, match > 0, ignored, id - 1, match - 1))
    image, label, score, right, ignored, number, partner = zip(*columns, strict=True) if columns else ([],) * 7
    return Matches(
        np.array(image, dtype=np.int64),
        np.array(label, dtype=np.int64),
        np.array(score, dtype=np.float64),
        np.array(right, dtype=bool),
        np.array(ignored, dtype=bool),
        np.array(number, dtype=np.int64),
        np.array(partner, dtype=np.int64),
        truths,
    )


def _crowds(rows: Sequence[Row], truths: Sequence[tuple[Any, ...]]) -> NDArray[np.int64]:
    """Which truths are regions of many objects: finding one of those is neither right nor wrong, as COCO has it."""
    return np.array([rows[number].truths[position].is_crowd for number, position, *_ in truths], dtype=np.int64)


def _images(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{"id": number, "width": row.width, "height": row.height} for number, row in enumerate(rows, start=1)]


def _categories(labels: Sequence[str]) -> list[dict[str, Any]]:
    return [{"id": number, "name": label} for number, label in enumerate(labels, start=1)]


def _pixels(box: tuple[float, float, float, float], row: Row) -> tuple[float, float, float, float]:
    left, top, width, height = box
    return left * row.width, top * row.height, width * row.width, height * row.height
