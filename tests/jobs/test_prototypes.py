"""Instance masks: what is assigned, learnt and decoded fits together."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from dataloop_inference.decoding import decode
from dataloop_inference.images import Letterbox
from dataloop_inference.masks import decode as unpack
from dataloop_jobs import fcos, prototypes
from dataloop_jobs.examples import Example
from dataloop_jobs.loss_terms import mean_loss
from dataloop_jobs.masks import BACKGROUND
from dataloop_jobs.task_types.instance_segmentation import IMPLEMENTATION as TASK

SIZE, CLASSES, COUNT = 128, 3, prototypes.COUNT
BOXES = np.array([[8, 8, 40, 40], [60, 12, 100, 28], [20, 70, 84, 118]], np.float32)


def discs() -> Example:
    """Three ellipses in their boxes."""
    ys, xs = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    regions = np.full((SIZE, SIZE), BACKGROUND, np.int32)
    for number, (left, top, right, bottom) in enumerate(BOXES):
        across, down = (2 * xs - left - right) / (right - left), (2 * ys - top - bottom) / (bottom - top)
        regions[across**2 + down**2 <= 1] = number
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    return Example(pixels, np.array([0, 2, 1]), BOXES, np.ones(3, bool), regions)


def perfect_outputs(example: Example) -> list[np.ndarray]:
    """What a network would say that learnt this image: prototype n is the mask of object n."""
    targets = TASK.targets(example, CLASSES)
    drawn = np.full((COUNT, SIZE // 4, SIZE // 4), -8.0, np.float32)
    for number in range(len(example.labels)):
        drawn[number][targets["regions"] == number] = 8.0
    maps, start = [], 0
    for stride in (8, 16, 32):
        cells = SIZE // stride
        part = slice(start, start + cells * cells)
        start += cells * cells
        values = np.zeros((COUNT + CLASSES + 5, cells * cells), np.float32)
        values[COUNT : COUNT + CLASSES] = -20
        hit = np.flatnonzero(targets["classes"][part] >= 0)
        values[COUNT + targets["classes"][part][hit], hit] = 20
        values[COUNT + CLASSES : -1, hit] = np.log(targets["sides"][part][hit].T)
        centre = np.clip(targets["centre"][part], 1e-4, 1 - 1e-4)
        values[-1] = np.log(centre / (1 - centre))
        where = fcos.assign(example.boxes, example.labels, SIZE, (8, 16, 32))
        values[where.objects[part][hit], hit] = 1.0
        maps.append(values.reshape(-1, cells, cells))
    return [*(one[None] for one in maps), drawn[None]]


def total(outputs: list[np.ndarray], example: Example) -> float:
    targets = {name: torch.from_numpy(value)[None] for name, value in TASK.targets(example, CLASSES).items()}
    return float(mean_loss(TASK.loss([torch.from_numpy(one) for one in outputs], targets, CLASSES)))


def test_a_network_that_learnt_its_targets_finds_every_mask() -> None:
    example = discs()
    assert example.regions is not None
    (found,) = decode(TASK.decode_settings(), perfect_outputs(example), [Letterbox.fit(256, 256, SIZE)])
    best = {one.label: one for one in sorted(found, key=lambda one: one.score)}
    for number, label in enumerate(example.labels.tolist()):
        truth = np.kron(example.regions == number, np.ones((2, 2), bool))
        mask = best[label].mask
        assert mask
        ours = unpack(mask)
        assert (ours & truth).sum() / (ours | truth).sum() > 0.85


def test_the_loss_is_lowest_for_the_targets_themselves() -> None:
    example = discs()
    right = perfect_outputs(example)
    swapped = [*right[:-1], right[-1][:, [1, 0, *range(2, COUNT)]]]
    empty = [*right[:-1], np.full_like(right[-1], -8.0)]
    assert total(right, example) < total(swapped, example)
    assert total(right, example) < total(empty, example)


def test_what_lies_outside_its_box_costs_nothing() -> None:
    example = discs()
    right = perfect_outputs(example)
    spilled = [one.copy() for one in right]
    spilled[-1][0, 0, 20:, 20:] = 8.0  # of the first object, far from its box
    assert total(spilled, example) == pytest.approx(total(right, example), abs=1e-6)


def test_each_object_is_learnt_at_its_best_centred_locations_only() -> None:
    example = discs()
    assert example.regions is not None
    where = fcos.assign(BOXES, example.labels, SIZE, (8, 16, 32))
    what = prototypes.assign(where, BOXES, np.arange(3), example.regions)
    for number in range(3):
        chosen = np.flatnonzero(what.objects == number)
        assert 1 <= len(chosen) <= 3
        others = np.setdiff1d(np.flatnonzero(where.objects == number), chosen)
        assert not len(others) or where.centre[chosen].min() >= where.centre[others].max()
        assert (what.boxes[chosen] == BOXES[number] / 4).all()


def test_hidden_and_invisible_objects_are_no_mask_targets_and_numbers_stay_right() -> None:
    example = discs()
    assert example.regions is not None
    hidden = np.where(example.regions == 1, BACKGROUND, example.regions)
    some = Example(example.pixels, example.labels, BOXES, np.array([False, True, True]), hidden)
    targets = TASK.targets(some, CLASSES)
    assert set(targets["objects"].tolist()) == {-1, 2}
    assert set(targets["classes"].tolist()) == {-1, 1, 2}  # the hidden one still has a box


def test_an_image_without_objects_has_a_finite_loss_with_gradients_everywhere() -> None:
    nothing = Example(
        np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, bool),
        np.full((SIZE, SIZE), BACKGROUND, np.int32),
    )  # fmt: skip
    targets = {name: torch.from_numpy(value)[None] for name, value in TASK.targets(nothing, CLASSES).items()}
    outputs = [torch.zeros(1, COUNT + CLASSES + 5, SIZE // s, SIZE // s, requires_grad=True) for s in (8, 16, 32)]
    outputs.append(torch.zeros(1, COUNT, SIZE // 4, SIZE // 4, requires_grad=True))
    terms = TASK.loss(outputs, targets, CLASSES)
    full = TASK.loss(
        [one.detach() for one in outputs],
        {name: torch.from_numpy(value)[None] for name, value in TASK.targets(discs(), CLASSES).items()},
        CLASSES,
    )
    assert len(terms) == len(full)
    value = mean_loss(terms)
    value.backward()
    assert torch.isfinite(value)
    assert all(one.grad is not None and torch.isfinite(one.grad).all() for one in outputs)


def test_the_settings_of_detection_are_part_of_those_of_instances() -> None:
    from dataloop_inference.decoding.fcos import DecodeSettings

    assert asdict(DecodeSettings()).items() <= TASK.decode_settings().items()
