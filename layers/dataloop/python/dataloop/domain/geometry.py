"""Boxes. Inside there is one convention: left, top, width, height as fractions of the image (design §4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataloop.domain.errors import InvalidInput

# Nine decimals resolve 1/1000 of a pixel in an image a million pixels wide, and make the bytes of a manifest repeatable.
DECIMALS = 9
# Pixels: far outside any image, and far inside what every number format can hold.
FARTHEST = 1e9


@dataclass(frozen=True, slots=True)
class Box:
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
    numbers: list[float] = []
    for value in values:
        # The comparison is False for NaN, and does not overflow for whole numbers that no float can hold.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:
            raise InvalidInput(field, "must hold finite numbers", str(value)[:50])
        numbers.append(value)
    if numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        raise InvalidInput(field, "needs x2 > x1 and y2 > y1", values)
    return numbers


def normalise(xyxy: Sequence[float], width: int, height: int) -> Box | None:
    """Pixels to fractions, clipped to the image; None when nothing of the box lies inside it."""
    x1, y1 = max(0.0, xyxy[0]), max(0.0, xyxy[1])
    x2, y2 = min(float(width), xyxy[2]), min(float(height), xyxy[3])
    if x2 <= x1 or y2 <= y1:
        return None
    clipped = (x1, y1, x2, y2) != tuple(xyxy)
    left, top = x1 / width, y1 / height
    return Box(
        round(left, DECIMALS),
        round(top, DECIMALS),
        round((x2 - x1) / width, DECIMALS),
        round((y2 - y1) / height, DECIMALS),
        clipped,
    )
