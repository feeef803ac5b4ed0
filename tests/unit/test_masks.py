"""Segmentations: one spelling a shape, hostile ones refused by the name of their field, extents as COCO has them."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain import geometry, masks
from dataloop.domain.annotations import make_annotation
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.masks import check_segmentation, extent_of_mask, read_counts, write_counts

SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]
# 2 × 2 pixels in the middle of 4 × 4: columns 1 and 2, rows 1 and 2.
MIDDLE = {"size": [4, 4], "counts": [5, 2, 2, 2, 5]}


def labelled(segmentation: Any) -> Any:
    return make_annotation(
        "default", "t", data_ids="ab" * 16, type="polygon", labels=[{"label": "cat", "segmentation": segmentation}]
    )


def test_an_rle_has_one_spelling_whatever_form_it_came_in() -> None:
    same = [
        MIDDLE,
        {"size": (4, 4), "counts": write_counts([5, 2, 2, 2, 5])},
        {"size": [4, 4], "counts": [5, 1, 0, 1, 2, 2, 0, 0, 5, 0]},
        {"size": [4, 4], "counts": write_counts([2, 0, 3, 2, 2, 2, 5])},
    ]
    assert {str(check_segmentation(value, "f")) for value in same} == {"{'size': [4, 4], 'counts': '52203'}"}
    assert len({labelled(value).id for value in same}) == 1


def test_a_polygon_has_one_spelling_whatever_its_numbers() -> None:
    same: list[Any] = [[SQUARE], ((1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0),), [[1, 1 + 1e-12, *SQUARE[2:]]]]
    assert len({labelled(value).id for value in same}) == 1
    assert check_segmentation([[-0.0, 1e-300, *SQUARE[2:]]], "f") == [[0, 0, *SQUARE[2:]]]
    assert check_segmentation([[0.5, 1 / 3, *SQUARE[2:]]], "f") == [[0.5, 1 / 3, *SQUARE[2:]]]


def test_an_annotation_without_a_segmentation_keeps_its_id() -> None:
    # the ids of annotations that are in the table already
    said = make_annotation(
        "default", "t", data_ids="ab" * 16, type="object", labels=[{"label": "cat", "bbox_xyxy": [1, 2.5, 3.0, 4]}]
    )
    assert said.id == "0a47a455279dce093501c22b"
    nothing = make_annotation(
        "default", "t", data_ids="ab" * 16, type="object", labels=[{"label": "cat", "segmentation": None}]
    )
    assert nothing.labels == ({"label": "cat", "segmentation": None},)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "segmentation"),
        ({}, "segmentation.size"),
        ("text", "segmentation"),
        (7, "segmentation"),
        (True, "segmentation"),
        (SQUARE, "segmentation[0]"),
        ([[]], "segmentation[0]"),
        ([SQUARE, "text"], "segmentation[1]"),
        ([SQUARE, {"x": 1}], "segmentation[1]"),
        ([SQUARE, [1, 2, 3, 4]], "segmentation[1]"),
        ([[*SQUARE, 7]], "segmentation[0]"),
        ([[1, 1, 5, 5, float("nan"), 1]], "segmentation[0]"),
        ([[1, 1, 5, 5, float("inf"), 1]], "segmentation[0]"),
        ([[1, 1, 5, 5, 10**400, 1]], "segmentation[0]"),
        ([[1, 1, 5, 5, 2e9, 1]], "segmentation[0]"),
        ([[1, 1, 5, 5, "3", 1]], "segmentation[0]"),
        ([[1, 1, 5, 5, True, 1]], "segmentation[0]"),
        ([[1, 1, 5, 5, None, 1]], "segmentation[0]"),
        ([[1, 1, 2, 2, 3, 3]], "segmentation"),
        ([[4, 4, 4, 4, 4, 4]], "segmentation"),
        ({"counts": [16]}, "segmentation.size"),
        ({"size": [4], "counts": [5, 11]}, "segmentation.size"),
        ({"size": "44", "counts": [5, 11]}, "segmentation.size"),
        ({"size": [4.0, 4], "counts": [5, 11]}, "segmentation.size"),
        ({"size": [True, 16], "counts": [5, 11]}, "segmentation.size"),
        ({"size": [-4, -4], "counts": [5, 11]}, "segmentation.size"),
        ({"size": [0, 4], "counts": []}, "segmentation.size"),
        ({"size": [10**400, 4], "counts": []}, "segmentation.size"),
        ({"size": [4, 4]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": None}, "segmentation.counts"),
        ({"size": [4, 4], "counts": {"a": 1}}, "segmentation.counts"),
        ({"size": [4, 4], "counts": []}, "segmentation.counts"),
        ({"size": [4, 4], "counts": ""}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [16]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [5, 10]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [5, 12]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [20, -4]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [5, 11.0]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [5, "11"]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [5, True, 10]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": [10**400]}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "5ü"}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "5\x00"}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "5 "}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "5\U0001f40d"}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "5;P"}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "O"}, "segmentation.counts"),
        ({"size": [4, 4], "counts": "P" * 1_000_000}, "segmentation.counts"),
        ({"size": [4, 4], "counts": b"52203"}, "segmentation.counts"),
    ],
)
def test_what_is_no_segmentation_is_refused_by_the_name_of_its_field(value: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        labelled(value)
    assert refused.value.field == f"labelInfo[0].{field}"
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ([[0.5] * 2_000_000], geometry.MAX_POINTS),
        ([[0, 0, 1, 0] * 10_000] * 100, geometry.MAX_POINTS),
        ([SQUARE] * 1_001, geometry.MAX_POLYGONS),
        ({"size": [9_460, 9_460], "counts": [9_460**2 - 1, 1]}, masks.MAX_MASK_PIXELS),
        ({"size": [1_000, 1_001], "counts": [1] * 1_001_000}, masks.MAX_RUNS),
        ({"size": [1_000, 1_001], "counts": "111" + "0" * 1_000_997}, masks.MAX_RUNS),
    ],
)
def test_what_is_too_large_is_refused_with_its_limit(value: Any, limit: int) -> None:
    with pytest.raises(LimitExceeded) as refused:
        labelled(value)
    assert refused.value.limit == limit
    assert refused.value.what.startswith("labelInfo[0].segmentation")


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([5, 2, 2, 2, 5], "52203"),
        ([0, 16], "0`0"),
        ([15, 16, 17], "?`0a0"),
        ([1, 1, 1000, 31, 1], "11Xo0n0iPO"),
    ],
)
def test_compressed_counts_are_read_and_written(runs: list[int], text: str) -> None:
    assert write_counts(runs) == text
    assert read_counts(text) == runs


@pytest.mark.parametrize(
    ("runs", "extent"),
    [
        ([5, 2, 2, 2, 5], [1, 1, 3, 3]),
        ([0, 16], [0, 0, 4, 4]),
        ([15, 1], [3, 3, 4, 4]),
        ([0, 1, 15], [0, 0, 1, 1]),
        # from the last pixel of the first column to the first one of the second
        ([3, 2, 11], [0, 0, 2, 4]),
        ([6, 1, 9], [1, 2, 2, 3]),
    ],
)
def test_the_extent_of_a_mask(runs: list[int], extent: list[int]) -> None:
    mask = check_segmentation({"size": [4, 4], "counts": runs}, "f")
    assert isinstance(mask, dict)
    assert extent_of_mask(mask) == extent
