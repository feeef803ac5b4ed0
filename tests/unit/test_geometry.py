"""Boxes: pixels in, fractions inside, and what is clipped or lost is known."""

from __future__ import annotations

import pytest

from dataloop.domain.errors import InvalidInput
from dataloop.domain.geometry import Box, check_xyxy, normalise


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
