"""FCOS: what is assigned, learnt and decoded fits together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dataloop_inference.boxes import overlaps
from dataloop_inference.decoding.fcos import DecodeSettings, find_boxes
from dataloop_jobs import fcos
from dataloop_jobs.loss_terms import mean_loss

SIZE, STRIDES, CLASSES = 128, (8, 16, 32), 4
CELLS = [SIZE // stride for stride in STRIDES]


def random_problem(seed: int, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that do not overlap, in rows, of all sizes the levels know."""
    rng = np.random.default_rng(seed)
    boxes = []
    for slot in range(count):
        side = rng.uniform(6, 24, 2)
        left, top = rng.uniform(0, SIZE - 26), slot * 25 + rng.uniform(0, 1)
        boxes.append([left, top, left + side[0], min(SIZE, top + side[1])])
    return np.array(boxes, np.float32), rng.integers(0, CLASSES, count)


def perfect_maps(targets: fcos.Targets) -> list[np.ndarray]:
    """Network outputs that say exactly what the targets ask for."""
    maps, start = [], 0
    for cells in CELLS:
        part = slice(start, start + cells * cells)
        start += cells * cells
        values = np.full((CLASSES + 5, cells * cells), -20, np.float32)
        classes = targets.classes[part]
        hit = np.flatnonzero(classes >= 0)
        values[classes[hit], hit] = 20
        values[CLASSES : CLASSES + 4, hit] = np.log(targets.sides[part][hit].T)
        centre = np.clip(targets.centre[part], 1e-4, 1 - 1e-4)
        values[-1] = np.log(centre / (1 - centre))
        maps.append(values.reshape(CLASSES + 5, cells, cells))
    return maps


def total_loss(maps: list[torch.Tensor], targets: fcos.Targets) -> torch.Tensor:
    classes, sides, centre = (torch.from_numpy(v)[None] for v in (targets.classes, targets.sides, targets.centre))
    parts = fcos.loss(maps, classes, sides, centre, CLASSES)
    return mean_loss(list(parts.values()))


@pytest.mark.parametrize("seed", range(6))
def test_a_network_that_learnt_its_targets_finds_every_box(seed: int) -> None:
    boxes, classes = random_problem(seed)
    maps = perfect_maps(fcos.assign(boxes, classes, SIZE, STRIDES))
    (found,) = find_boxes([m[None] for m in maps], STRIDES, DecodeSettings(score_floor=0.005))
    best = overlaps(boxes, found.boxes).argmax(axis=1)
    np.testing.assert_allclose(found.boxes[best], boxes, atol=0.01)
    assert found.classes[best].tolist() == classes.tolist()
    assert len(found.boxes) == len(boxes)


def test_even_a_box_thinner_than_a_cell_is_somebodys_target() -> None:
    boxes = np.array([[9.0, 9.0, 10.0, 100.0], [60.2, 60.2, 60.9, 60.9], [0, 0, 128, 128]], np.float32)
    targets = fcos.assign(boxes, np.array([0, 1, 2]), SIZE, STRIDES)
    assert set(targets.classes.tolist()) == {-1, 0, 1, 2}
    assert np.isfinite(targets.sides).all()
    assert (targets.sides[targets.classes >= 0] > 0).all()


def test_large_boxes_are_learnt_at_large_strides() -> None:
    targets = fcos.assign(np.array([[0, 0, 128, 128]], np.float32), np.array([1]), SIZE, STRIDES)
    positive = np.flatnonzero(targets.classes >= 0)
    assert positive.min() >= CELLS[0] ** 2  # none at stride 8: its reach is 64 pixels


def test_an_image_without_boxes_has_no_positive_and_a_finite_loss_with_gradients() -> None:
    targets = fcos.assign(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), SIZE, STRIDES)
    maps = [torch.zeros(1, CLASSES + 5, cells, cells, requires_grad=True) for cells in CELLS]
    total = total_loss(maps, targets)
    total.backward()
    assert torch.isfinite(total)
    assert all(m.grad is not None and torch.isfinite(m.grad).all() for m in maps)


def test_the_loss_is_lowest_for_the_targets_themselves() -> None:
    boxes, classes = random_problem(1)
    targets = fcos.assign(boxes, classes, SIZE, STRIDES)

    def total(maps: list[np.ndarray]) -> float:
        return float(total_loss([torch.from_numpy(m)[None] for m in maps], targets))

    right = perfect_maps(targets)
    moved = [m.copy() for m in right]
    for m in moved:
        m[CLASSES : CLASSES + 4] += 0.3
    confused = [np.concatenate([np.roll(m[:CLASSES], 1, axis=0), m[CLASSES:]]) for m in right]
    assert total(right) < total(moved) < total(confused)


def test_decode_stays_inside_the_image_and_within_its_limits() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(0, 3, (2, CLASSES + 5, cells, cells)).astype(np.float32) for cells in CELLS]
    settings = DecodeSettings(boxes_per_image=7)
    for found in find_boxes(maps, STRIDES, settings):
        assert len(found.boxes) == 7
        assert (np.diff(found.scores) <= 0).all()
        assert (found.scores >= settings.score_floor).all()
        assert found.boxes.min() >= 0
        assert found.boxes.max() <= SIZE
