"""Masks against pycocotools, and polygons against the rule that a point is inside when a ray crosses an odd number of
edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from dataloop.domain.errors import DomainError
from dataloop.domain.geometry import encloses_area, extent_of, normalise_rings
from dataloop.domain.masks import area, check_segmentation, extent_of_mask, read_counts, write_counts

WIDTH, HEIGHT = 40, 30
bitmaps = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1))
coordinates = st.integers(-20, 60) | st.floats(-20, 60)
rings = st.integers(3, 9).flatmap(lambda count: st.lists(coordinates, min_size=2 * count, max_size=2 * count))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner),
    max_leaves=12,
)


@given(bitmaps)
def test_a_bitmap_is_read_written_and_measured_as_coco_does(bitmap: np.ndarray) -> None:
    theirs = coco.encode(np.asfortranarray(bitmap))
    text = theirs["counts"].decode()
    runs = read_counts(text)
    assert write_counts(runs) == text
    assert area(runs) == coco.area(theirs) == bitmap.sum()
    assume(bitmap.any())
    checked = check_segmentation({"size": list(bitmap.shape), "counts": text}, "f")
    assert (
        checked
        == {"size": list(bitmap.shape), "counts": text}
        == check_segmentation({"size": list(bitmap.shape), "counts": runs}, "f")
    )
    assert isinstance(checked, dict)
    left, top, right, bottom = extent_of_mask(checked)
    rows, columns = np.nonzero(bitmap)
    assert [left, top, right, bottom] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert [left, top, right - left, bottom - top] == coco.toBbox(theirs).tolist()


@given(st.lists(st.integers(0, 2**26), max_size=30))
def test_runs_survive_compression_and_coco_writes_the_same(runs: list[int]) -> None:
    text = write_counts(runs)
    assert read_counts(text) == runs
    height = sum(runs)
    if 0 < height < 2**32:
        assert coco.frPyObjects({"size": [height, 1], "counts": runs}, height, 1)["counts"].decode() == text


@given(st.text(max_size=30) | st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=30))
def test_any_text_is_runs_or_refused(text: str) -> None:
    try:
        runs = read_counts(text)
    except DomainError:
        return
    assert all(run >= 0 for run in runs)
    assert read_counts(write_counts(runs)) == runs


@settings(max_examples=300)
@given(json_values)
def test_any_value_is_a_segmentation_or_refused(value: Any) -> None:
    try:
        checked = check_segmentation(value, "f")
    except DomainError:
        return
    # what was accepted is accepted again, unchanged
    assert check_segmentation(checked, "f") == checked


@given(st.lists(rings, min_size=1, max_size=3))
def test_a_clipped_polygon_lies_inside_and_is_clipped_once(polygons: list[list[float]]) -> None:
    found, _ = normalise_rings(polygons, WIDTH, HEIGHT)
    for ring in found:
        assert len(ring) % 2 == 0 and len(ring) >= 6
        assert all(0 <= value <= 1 for value in ring)
        assert encloses_area(ring)
    assert normalise_rings(found, 1, 1) == (found, False)
    if found:
        left, top, right, bottom = extent_of(found)
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


@settings(max_examples=300)
@given(rings, st.lists(st.tuples(st.floats(0.5, WIDTH - 0.5), st.floats(0.5, HEIGHT - 0.5)), min_size=5, max_size=20))
def test_a_point_of_the_image_is_inside_exactly_when_it_was_before(
    ring: list[float], points: list[tuple[float, float]]
) -> None:
    found, _ = normalise_rings([ring], WIDTH, HEIGHT)
    pixels = [[value * (HEIGHT if index % 2 else WIDTH) for index, value in enumerate(each)] for each in found]
    for point in points:
        # nine decimals of a share are less than a millionth of a pixel: nearer to an edge nothing can be said
        if distance(ring, point) > 1e-4:
            assert any(is_inside(each, point) for each in pixels) == is_inside(ring, point), point


def edges(ring: list[float]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    points = list(zip(ring[::2], ring[1::2], strict=True))
    return list(zip(points, points[1:] + points[:1], strict=True))


def is_inside(ring: list[float], point: tuple[float, float]) -> bool:
    crossings = 0
    x, y = point
    for (x1, y1), (x2, y2) in edges(ring):
        if (y1 > y) != (y2 > y) and x < x1 + (x2 - x1) * ((y - y1) / (y2 - y1)):
            crossings += 1
    return crossings % 2 == 1


def distance(ring: list[float], point: tuple[float, float]) -> float:
    def to_edge(start: tuple[float, float], end: tuple[float, float]) -> float:
        (x1, y1), (x2, y2), (x, y) = start, end, point
        length = (x2 - x1) ** 2 + (y2 - y1) ** 2
        share = 0.0 if length == 0 else min(1.0, max(0.0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length))
        return float(np.hypot(x1 + share * (x2 - x1) - x, y1 + share * (y2 - y1) - y))

    return min(to_edge(*edge) for edge in edges(ring))
