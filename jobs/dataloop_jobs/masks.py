"""Truths as pixels: which pixels an object covers, and which label or object a pixel belongs to.

A pixel belongs to a polygon when its centre lies inside, by the even-odd rule. pycocotools rounds to a grid five times
as fine and differs from that only at the edge; a test compares the areas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataloop_inference.masks import Mask, decode, expand
from dataloop_jobs.dataset import Polygon, Truth

# Values of a region map beside the numbers of objects.
BACKGROUND, NO_IMAGE = -1, -2
Regions = NDArray[np.int32]
# Edges × rows looked at together when a polygon is filled: some 30 MB for a moment.
_CROSSINGS = 4_000_000


def truth_mask(truth: Truth, width: int, height: int) -> Mask:
    """The pixels of a truth in an image scaled to width × height: bool (height, width).

    A truth without polygons and mask covers its box. An RLE mask is scaled to the nearest pixel.
    """
    if truth.mask is not None:
        mask = decode(truth.mask)
        if mask.shape == (height, width):
            return mask
        scaled = Image.fromarray(mask.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(scaled, dtype=bool)
    if truth.polygons is not None:
        covered = np.zeros((height, width), dtype=bool)
        for polygon in truth.polygons:
            covered |= fill(polygon, width, height)
        return covered
    assert truth.box is not None
    left, top, share_x, share_y = truth.box
    corners = (left, top, left + share_x, top, left + share_x, top + share_y, left, top + share_y)
    return fill(corners, width, height)


def fill(polygon: Polygon, width: int, height: int) -> Mask:
    """The pixels whose centres lie inside a polygon: bool (height, width). Cost: edges × rows, vectorised in parts."""
    xs, ys = np.array(polygon[0::2]) * width, np.array(polygon[1::2]) * height
    first, last = max(0, int(np.floor(ys.min()))), min(height, int(np.ceil(ys.max())))
    edges = np.stack([xs, ys, np.roll(xs, -1), np.roll(ys, -1)])
    turns = np.zeros((last - first, width + 1), dtype=np.int32)
    step = max(1, _CROSSINGS // max(1, last - first))
    for start in range(0, len(xs), step):
        _add_crossings(turns, edges[:, start : start + step], first)
    covered = np.zeros((height, width), dtype=bool)
    covered[first:last] = (turns.cumsum(axis=1)[:, :width] % 2).astype(bool)
    return covered


def _add_crossings(turns: NDArray[np.int32], edges: NDArray[np.float64], first: int) -> None:
    """Count in `turns` where these edges cross the rows' centre lines; the first row is number `first`."""
    from_x, from_y, to_x, to_y = edges
    centres = first + np.arange(len(turns)) + 0.5
    row, edge = np.nonzero((from_y <= centres[:, None]) != (to_y <= centres[:, None]))
    along = (centres[row] - from_y[edge]) / (to_y[edge] - from_y[edge])
    at = from_x[edge] + along * (to_x[edge] - from_x[edge])
    # Every crossing turns inside to outside, for the pixels whose centre lies right of it.
    column = np.clip(np.ceil(at - 0.5), 0, turns.shape[1] - 1).astype(np.int64)
    np.add.at(turns, (row, column), 1)


def region_map(truths: Sequence[Truth], width: int, height: int) -> Regions:
    """The number (position in `truths`) of the object that each pixel shows, BACKGROUND where none: (height, width).

    Where objects lie over each other the pixel shows the smaller one: what is inside or in front is seldom the larger.
    """
    regions = np.full((height, width), BACKGROUND, dtype=np.int32)
    for number in sorted(range(len(truths)), key=lambda number: -area_of(truths[number])):
        regions[truth_mask(truths[number], width, height)] = number
    return regions


def area_of(truth: Truth) -> float:
    """The share of the image that a truth covers; overlapping parts of its polygons count twice."""
    if truth.mask is not None:
        return sum(expand(truth.mask.counts)[1::2]) / (truth.mask.height * truth.mask.width)
    if truth.polygons is not None:
        return sum(_polygon_area(np.array(polygon[0::2]), np.array(polygon[1::2])) for polygon in truth.polygons)
    return truth.box[2] * truth.box[3] if truth.box else 0.0


def _polygon_area(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> float:
    return float(abs(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1)))) / 2


def class_map(truths: Sequence[Truth], width: int, height: int) -> NDArray[np.int32]:
    """The label of each pixel, BACKGROUND where there is none: int32 (height, width)."""
    return labels_of(region_map(truths, width, height), np.array([truth.label for truth in truths], dtype=np.int64))


def labels_of(regions: Regions, labels: NDArray[np.int64]) -> NDArray[np.int32]:
    """A region map with each object's number replaced by its label."""
    # The two values that are no object are negative: they index the two numbers appended at the end.
    table = np.append(labels, [NO_IMAGE, BACKGROUND]).astype(np.int32)
    return np.asarray(table[regions])
