"""How well a model's boxes agree with the truth on one image: for choosing and drawing pictures, not for metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class Agreement:
    """found: objects with a prediction of their label that overlaps by half (IoU ≥ 0.5); missed: objects without;
    wrong: predictions that match no object. boxes: what to draw, normalised (left, top, width, height)."""

    found: int
    missed: int
    wrong: int
    boxes: list[Json]

    @property
    def f1(self) -> float:
        total = 2 * self.found + self.missed + self.wrong
        return 2 * self.found / total if total else 1.0


def agreement(truth: Sequence[Json], predictions: Sequence[Json]) -> Agreement:
    """Match greedily, the surest prediction first; each object is found once."""
    free = list(range(len(truth)))
    boxes: list[Json] = []
    wrong = 0
    for guess in sorted(predictions, key=lambda each: -each["score"]):
        candidates = [place for place in free if truth[place]["label"] == guess["label"]]
        best = max(candidates, key=lambda place: overlap(truth[place]["box"], guess["box"]), default=None)
        is_right = best is not None and overlap(truth[best]["box"], guess["box"]) >= _LEAST_OVERLAP
        if is_right and best is not None:
            free.remove(best)
        wrong += not is_right
        boxes.append({**guess, "kind": "right" if is_right else "wrong"})
    boxes += [{**each, "kind": "missed" if place in free else "truth"} for place, each in enumerate(truth)]
    return Agreement(len(truth) - len(free), len(free), wrong, boxes)


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
