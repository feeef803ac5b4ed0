"""Overlap and suppression against definitions written down a second time."""

from __future__ import annotations

import numpy as np
import pytest

from dataloop_inference.boxes import overlaps, suppress


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 50, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0, 30, (count, 2))], axis=1).astype(np.float32)


def slow_overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    return float(inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter))


@pytest.mark.parametrize("seed", range(3))
def test_overlap_is_intersection_over_union_of_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = random_boxes(rng, 12), random_boxes(rng, 7)
    wanted = [[slow_overlap(a, b) for b in second] for a in first]
    np.testing.assert_allclose(overlaps(first, second), wanted, atol=1e-6)


def test_boxes_without_area_overlap_nothing() -> None:
    empty = np.array([[5, 5, 5, 9], [3, 3, 3, 3]], dtype=np.float32)
    assert not overlaps(empty, empty).any()


@pytest.mark.parametrize("seed", range(5))
def test_suppression_keeps_what_greedy_suppression_keeps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, classes = random_boxes(rng, 40), rng.integers(0, 3, 40)
    scores = rng.choice([0.3, 0.5, 0.7, 0.9], 40).astype(np.float32)  # with ties
    kept: list[int] = []
    for index in sorted(range(40), key=lambda i: (-scores[i], i)):
        rivals = [other for other in kept if classes[other] == classes[index]]
        if all(slow_overlap(boxes[index], boxes[other]) <= 0.5 for other in rivals):
            kept.append(index)
    assert suppress(boxes, scores, classes, 0.5, limit=100).tolist() == kept
    assert suppress(boxes, scores, classes, 0.5, limit=4).tolist() == kept[:4]


def test_suppression_of_nothing_is_nothing() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert suppress(nothing, np.zeros(0, np.float32), np.zeros(0, np.int64), 0.5, limit=5).size == 0
