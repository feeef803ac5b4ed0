"""Truths as pixels: polygons as COCO's own tool fills them, regions with the smaller object in front."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as oracle

from dataloop_inference.masks import decode, encode
from dataloop_inference.predictions import Rle
from dataloop_jobs.dataset import Truth
from dataloop_jobs.masks import BACKGROUND, area_of, class_map, fill, region_map, truth_mask


def star(seed: int, points: int, centre: tuple[float, float] = (0.5, 0.5), reach: float = 0.45) -> tuple[float, ...]:
    """A polygon without crossing edges, as shares."""
    rng = np.random.default_rng(seed)
    angles = (np.arange(points) + rng.uniform(0, 0.4, points)) * 2 * math.pi / points
    radii = rng.uniform(0.3, 1.0, points) * reach
    xs, ys = centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)
    return tuple(np.column_stack([xs, ys]).ravel().tolist())


def in_pixels(polygon: tuple[float, ...], width: int, height: int) -> list[float]:
    return (np.array(polygon).reshape(-1, 2) * (width, height)).ravel().tolist()


@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(20, 120), st.integers(20, 120))
def test_polygons_cover_what_pycocotools_says_up_to_the_edge(seed: int, points: int, width: int, height: int) -> None:
    polygon = star(seed, points)
    ours = fill(polygon, width, height)
    (rle,) = oracle.frPyObjects([in_pixels(polygon, width, height)], height, width)
    theirs = decode(Rle(height, width, rle["counts"].decode()))
    corners = np.array(in_pixels(polygon, width, height)).reshape(-1, 2)
    edge = float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).sum())
    # They differ by less than a pixel along the outline, and not to one side.
    assert (ours != theirs).sum() <= 0.75 * edge + 2
    assert abs(int(ours.sum()) - int(theirs.sum())) <= 0.5 * edge + 2


@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_the_pixels_of_a_large_image_add_up_to_the_area(seed: int, points: int) -> None:
    polygon = star(seed, points)
    truth = Truth(0, (0, 0, 1, 1), (polygon,))
    assert truth_mask(truth, 900, 600).mean() == pytest.approx(area_of(truth), abs=0.004)


def test_a_rectangle_covers_exactly_the_pixels_whose_centres_are_inside() -> None:
    covered = fill((0.25, 0.25, 0.75, 0.25, 0.75, 0.5, 0.25, 0.5), 8, 8)
    assert covered.sum() == 4 * 2
    assert covered[2:4, 2:6].all()
    assert not fill((0.26, 0.26, 0.3, 0.26, 0.3, 0.3, 0.26, 0.3), 8, 8).any()
    assert fill((0, 0, 1, 0, 1, 1, 0, 1), 7, 5).all()


def test_several_polygons_are_one_mask_and_a_hole_is_even_odd() -> None:
    left, right = (0, 0, 0.25, 0, 0.25, 1, 0, 1), (0.75, 0, 1, 0, 1, 1, 0.75, 1)
    mask = truth_mask(Truth(0, (0, 0, 1, 1), (left, right)), 8, 4)
    assert mask.sum(axis=0).tolist() == [4, 4, 0, 0, 0, 0, 4, 4]
    # An outline that runs around, goes inside and runs back leaves a hole.
    ring = (0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75, 0.25, 0.25, 0.25)
    assert not fill(ring, 8, 8)[2:6, 2:6].any()
    assert fill(ring, 8, 8).sum() == 64 - 16


def test_a_run_length_mask_is_taken_as_it_is_or_scaled_to_the_nearest_pixel() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:60] = True
    truth = Truth(0, (0.5, 0.25, 0.5, 0.25), None, encode(mask))
    assert np.array_equal(truth_mask(truth, 60, 40), mask)
    half = truth_mask(truth, 30, 20)
    assert half.sum() * 4 == mask.sum()
    assert half[5:10, 15:30].all()
    assert area_of(truth) == mask.mean()


def test_where_objects_lie_over_each_other_the_smaller_one_is_seen() -> None:
    large = Truth(4, (0, 0, 1, 1))
    small = Truth(2, (0.25, 0.25, 0.5, 0.5), ((0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75),))
    for truths in ([large, small], [small, large]):
        labels = class_map(truths, 8, 8)
        assert (labels[2:6, 2:6] == 2).all()
        assert (labels == 4).sum() == 64 - 16
        assert region_map(truths, 8, 8)[3, 3] == truths.index(small)
    assert (class_map([small], 8, 8)[0] == BACKGROUND).all()
