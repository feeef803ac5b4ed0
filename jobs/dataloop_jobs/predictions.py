"""What a model says about an image, and how good a set of such sayings is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """One thing a model says about an image. box: (left, top, width, height) as shares of the image, or None."""

    label: int
    score: float
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Scores:
    """Results of one set of images, as plain JSON values without NaN.

    primary: the number that models are compared by, None when it cannot be computed. The rest is the content of
    metrics.json (without its head), curves.json and confusion.json.
    """

    primary: float | None
    summary: dict[str, float | None]
    per_class: dict[str, dict[str, float | int | None]]
    curves: dict[str, Any]
    confusion: dict[str, Any]
