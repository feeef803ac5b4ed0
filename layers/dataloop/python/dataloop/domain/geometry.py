"""Boxes and polygons: pixels from clients, fractions of the image inside (design §4.1: left, top, width, height).

A ring is one polygon as COCO writes it: [x1, y1, x2, y2, …], closed by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isnan
from typing import Any, NamedTuple

from dataloop.domain.errors import InvalidInput, LimitExceeded

# Nine decimals resolve 1/1000 of a pixel in an image a million pixels wide, and make the bytes of a manifest repeatable.
DECIMALS = 9
# Pixels: far outside any image, and far inside what every number format can hold.
FARTHEST = 1e9
# A billionth of a pixel from a whole number is that number: so 4 and 4.0 are one statement, and nothing is smaller than
# what DynamoDB can hold.
SAME = 1e-9
# Ours, for one label: the finest outlines of public data sets have some thousand points, in some dozens of pieces.
MAX_POLYGONS = 1_000
MAX_POINTS = 50_000
MIN_POINTS = 3

Point = tuple[float, float]


class Box(NamedTuple):
    """left, top, width, height in 0..1 of the image; clipped says that pixels outside the image were cut off."""

    left: float
    top: float
    width: float
    height: float
    clipped: bool = False

    def as_list(self) -> list[float]:
        return [self.left, self.top, self.width, self.height]


def check_xyxy(values: object, field: str) -> list[float]:
    """Return four finite numbers x1<x2, y1<y2 in pixels. Raises InvalidInput(field).

    A box outside the image is no error here (seed 000 itself sends one): it is flagged when the image size is known.
    """
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 4:
        raise InvalidInput(field, "must be four numbers [x1, y1, x2, y2] in pixels", values)
    numbers = [_coordinate(value, field) for value in values]
    if numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        raise InvalidInput(field, "needs x2 > x1 and y2 > y1", values)
    return numbers


def _coordinate(value: object, field: str) -> float:
    # The comparison is False for NaN, and does not overflow for whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:
        raise InvalidInput(field, f"must hold finite numbers up to {FARTHEST:g}", str(value)[:50])
    return value


def normalise(xyxy: Sequence[float], width: int, height: int) -> Box | None:
    """Pixels to fractions, clipped to the image; None when nothing of the box lies inside it."""
    x1, y1, x2, y2 = xyxy
    is_inside = 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
    if not is_inside:
        x1, y1, x2, y2 = max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
        if x2 <= x1 or y2 <= y1:
            return None
    left, top, across, down = shares(x1, y1, x2, y2, width, height)
    return Box(left, top, across, down, not is_inside)


def shares(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> list[float]:
    """left, top, width, height of a box inside an image, as shares of the image."""
    return [
        round((x1 + 0.0) / width, DECIMALS),  # + 0.0: no box begins at -0.0
        round((y1 + 0.0) / height, DECIMALS),
        round((x2 - x1) / width, DECIMALS),
        round((y2 - y1) / height, DECIMALS),
    ]


def check_polygons(values: Sequence[object], field: str) -> list[list[float]]:
    """Return rings of at least three points in pixels that enclose something; whole numbers as int, so that one shape
    has one spelling. Raises InvalidInput(field with the place of the ring), LimitExceeded.

    Points outside the image are no error here: they are cut off when the image size is known.
    """
    if not values:
        raise InvalidInput(field, "must hold at least one polygon")
    if len(values) > MAX_POLYGONS:
        raise LimitExceeded(f"{field}: polygons", MAX_POLYGONS, len(values))
    points = sum(len(ring) // 2 for ring in values if isinstance(ring, Sequence))
    if points > MAX_POINTS:
        raise LimitExceeded(f"{field}: points", MAX_POINTS, points)
    rings = [_check_ring(ring, f"{field}[{index}]") for index, ring in enumerate(values)]
    if not any(encloses_area(ring) for ring in rings):
        raise InvalidInput(field, "encloses nothing: all its points lie on one line")
    return rings


def _check_ring(values: object, field: str) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise InvalidInput(field, "must be a list of numbers [x1, y1, x2, y2, …] in pixels", values)
    if len(values) % 2:
        raise InvalidInput(field, f"must hold pairs x, y, and has {len(values)} numbers")
    if len(values) < 2 * MIN_POINTS:
        raise InvalidInput(field, f"needs at least {MIN_POINTS} points, and has {len(values) // 2}")
    if not _are_coordinates(values):
        for value in values:
            _coordinate(value, field)
    return [whole if abs(value - (whole := round(value))) < SAME else value for value in values]


def _are_coordinates(values: Sequence[Any]) -> bool:
    """The same question as `_coordinate`, for all values at once: outlines have millions. The sum is NaN if one is."""
    is_numbers = {float, int}.issuperset(map(type, values))
    return is_numbers and min(values) >= -FARTHEST and max(values) <= FARTHEST and not isnan(sum(values))


def encloses_area(ring: Sequence[float]) -> bool:
    """False when all points lie on one line (or in one point): then every triangle with the first point is flat."""
    x0, y0 = ring[0], ring[1]
    around = ((x - x0, y - y0) for x, y in _points(ring))
    return any(x1 * y2 != x2 * y1 for (x1, y1), (x2, y2) in pairwise(around))


def extent_of(rings: Iterable[Sequence[float]]) -> list[float]:
    """The box [x1, y1, x2, y2] around all rings, in their unit."""
    points = [point for ring in rings for point in _points(ring)]
    columns, rows = [x for x, _ in points], [y for _, y in points]
    return [min(columns), min(rows), max(columns), max(rows)]


def normalise_rings(rings: Sequence[Sequence[float]], width: int, height: int) -> tuple[list[list[float]], bool]:
    """Rings in pixels as fractions of the image, cut to it; without those of which nothing is left.

    Second: was anything cut off? Always floats, so that the bytes do not depend on how a store spells a number.
    """
    found, is_clipped = [], False
    for ring in rings:
        columns, rows = ring[::2], ring[1::2]
        if not (min(columns) >= 0 and max(columns) <= width and min(rows) >= 0 and max(rows) <= height):
            points = _clip([(float(x), float(y)) for x, y in _points(ring)], width, height)
            columns, rows, is_clipped = [x for x, _ in points], [y for _, y in points], True
        shares = [0.0] * (2 * len(columns))
        shares[::2] = [round(x / width, DECIMALS) for x in columns]
        shares[1::2] = [round(y / height, DECIMALS) for y in rows]
        if shares and encloses_area(shares):
            found.append(shares)
    return found, is_clipped


def _points(ring: Sequence[float]) -> Iterable[Point]:
    return zip(ring[::2], ring[1::2], strict=True)


def _clip(points: list[Point], width: int, height: int) -> list[Point]:
    """The polygon inside the image, by cutting at one side after the other (Sutherland and Hodgman, 1974).

    Pieces of a polygon that leaves and comes back stay joined by lines along the border, which enclose nothing.
    """
    for axis, bound, side in ((0, 0.0, -1), (0, float(width), 1), (1, 0.0, -1), (1, float(height), 1)):
        points = _cut(points, axis, bound, side)
    # A crossing may be computed a rounding error outside.
    return [(min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))) for x, y in points]


def _cut(points: list[Point], axis: int, bound: float, side: int) -> list[Point]:
    """What lies on one side of a line across `axis`. side: 1 keeps what is up to the bound, -1 what is from it on."""
    kept: list[Point] = []
    for before, point in zip(points[-1:] + points[:-1], points, strict=True):
        was_inside, is_inside = side * before[axis] <= side * bound, side * point[axis] <= side * bound
        if was_inside != is_inside:
            share = (bound - before[axis]) / (point[axis] - before[axis])
            other = before[1 - axis] + (point[1 - axis] - before[1 - axis]) * share
            kept.append((other, bound) if axis else (bound, other))
        if is_inside:
            kept.append(point)
    return kept
