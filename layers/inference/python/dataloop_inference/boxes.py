"""Boxes in numpy: overlap and suppression. A box is (left, top, right, bottom); all of an array share one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def overlaps(first: Array, second: Array) -> Array:
    """Intersection over union of every pair: (N, 4), (M, 4) → (N, M). Boxes without area overlap nothing (0)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _areas(first)[:, None] + _areas(second)[None, :] - inter
    shares: Array = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return shares


def suppress(
    boxes: Array, scores: Array, classes: NDArray[np.int64], threshold: float, limit: int
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Returns at most `limit` indices, best score first; equal scores keep their input order, so the result is
    reproducible. Cost: O(kept × N) vector operations.
    """
    order = np.argsort(-scores, kind="stable")
    if not len(order):
        return order
    # Boxes of different classes are moved apart, so that one pass serves all classes.
    span = float(boxes.max() - boxes.min()) + 1.0
    moved = (boxes + (classes * span)[:, None])[order].astype(np.float64)
    kept: list[int] = []
    alive = np.ones(len(order), dtype=bool)
    for index in range(len(order)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == limit:
            break
        alive[index + 1 :] &= overlaps(moved[index : index + 1], moved[index + 1 :])[0] <= threshold
    return order[kept]


def _areas(boxes: Array) -> Array:
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))
