"""From the shares of a manifest's row to pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Shares have nine decimals: 1/1000 of a pixel in an image a million pixels wide. So whole pixels come back whole.
DECIMALS = 3


def number(value: float) -> float:
    """Rounded to 1/1000 of a pixel; whole numbers as int, which every parser takes."""
    rounded = round(value, DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded


def size_of(row: Mapping[str, Any]) -> tuple[int, int]:
    """width, height of a row's image in pixels."""
    return int(row["width"]), int(row["height"])


def labels_of(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All labels of a row, over its annotations."""
    return (label for annotation in row["annotations"] for label in annotation["labels"])


def box_of(label: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """x1, y1, x2, y2 in pixels; None for a label of the whole image."""
    if label["box"] is None:
        return None
    (left, top, across, down), (width, height) = label["box"], size
    return (
        number(left * width),
        number(top * height),
        number((left + across) * width),
        number((top + down) * height),
    )


def rings_of(polygons: Iterable[Sequence[float]], size: tuple[int, int]) -> list[list[float]]:
    """Polygons in pixels."""
    width, height = size
    return [[number(value * (height if index % 2 else width)) for index, value in enumerate(ring)] for ring in polygons]


def segmentation_of(label: Mapping[str, Any], size: tuple[int, int]) -> Any:
    """Polygons in pixels, the RLE, or None."""
    return rings_of(label["polygons"], size) if "polygons" in label else label.get("mask")


def ring_area(ring: Sequence[float]) -> float:
    """What a polygon encloses (shoelace formula), in pixels."""
    xs, ys = ring[::2], ring[1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2
