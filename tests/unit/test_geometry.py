"""Boxes and polygons: pixels in, fractions inside, and what is clipped or lost is known."""

from __future__ import annotations

import pytest

from dataloop.domain.errors import InvalidInput
from dataloop.domain.geometry import Box, check_xyxy, extent_of, normalise, normalise_rings


def test_pixels_become_fractions() -> None:
    assert normalise([10, 20, 30, 60], 100, 200) == Box(0.1, 0.1, 0.2, 0.2, clipped=False)


def test_a_box_across_the_edge_is_clipped_and_says_so() -> None:
    assert normalise([-10, 50, 20, 300], 100, 200) == Box(0.0, 0.25, 0.2, 0.75, clipped=True)


@pytest.mark.parametrize("xyxy", [[-20, 0, 0, 10], [100, 0, 120, 10], [0, 200, 10, 210]])
def test_a_box_outside_is_no_box(xyxy: list[float]) -> None:
    assert normalise(xyxy, 100, 200) is None


@pytest.mark.parametrize(
    "values",
    [
        None,
        "1234",
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [3, 2, 1, 4],
        [1, 4, 3, 4],
        [float("nan"), 0, 1, 1],
        [0, 0, float("inf"), 1],
        [0, 0, 10**400, 1],
        [0, 0, 1e300, 1],
        [True, 0, 2, 2],
        ["0", 0, 2, 2],
    ],
)
def test_what_is_no_box_is_refused(values: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_xyxy(values, "labelInfo[0].bbox_xyxy")
    assert refused.value.field == "labelInfo[0].bbox_xyxy"


def test_a_box_outside_the_image_is_accepted_until_the_size_is_known() -> None:
    assert check_xyxy([-5, -5, 1e6, 1e6], "bbox") == [-5, -5, 1e6, 1e6]


def test_a_polygon_becomes_fractions() -> None:
    assert normalise_rings([[10, 20, 30, 20, 30, 60]], 100, 200) == ([[0.1, 0.1, 0.3, 0.1, 0.3, 0.3]], False)


def test_a_polygon_across_the_edge_is_cut_there() -> None:
    # a square of which the right half lies outside
    rings, is_clipped = normalise_rings([[50, 10, 150, 10, 150, 60, 50, 60]], 100, 100)
    assert is_clipped
    assert extent_of(rings) == [0.5, 0.1, 1.0, 0.6]
    assert area(rings[0]) == pytest.approx(0.5 * 0.5)


def test_a_polygon_around_the_image_becomes_the_image() -> None:
    rings, is_clipped = normalise_rings([[-500, -500, 800, -500, 800, 900, -500, 900]], 100, 100)
    assert is_clipped
    assert area(rings[0]) == 1.0


def test_a_polygon_that_leaves_and_comes_back_keeps_both_pieces() -> None:
    # a U turned to the left edge: its legs lie inside, what joins them does not
    u = [60, 10, -20, 10, -20, 90, 60, 90, 60, 70, -10, 70, -10, 30, 60, 30]
    rings, _ = normalise_rings([u], 100, 100)
    assert area(rings[0]) == pytest.approx(2 * 0.6 * 0.2)


@pytest.mark.parametrize(
    "ring",
    [
        [-10, -10, -1, -10, -1, -1],
        [101, 0, 120, 10, 130, 50],
        # touches the image in a corner and along a side
        [100, 100, 110, 100, 110, 110],
        [100, 10, 120, 10, 120, 50, 100, 50],
        # less than a billionth of the image
        [1, 1, 1 + 1e-9, 1, 1, 1 + 1e-9],
    ],
)
def test_a_polygon_outside_is_no_polygon_and_the_others_stay(ring: list[float]) -> None:
    assert normalise_rings([ring], 100, 100)[0] == []
    assert len(normalise_rings([ring, [1, 1, 5, 1, 5, 5]], 100, 100)[0]) == 1


def area(ring: list[float]) -> float:
    points = list(zip(ring[::2], ring[1::2], strict=True))
    return abs(sum(a * d - b * c for (a, b), (c, d) in zip(points, points[1:] + points[:1], strict=True))) / 2
