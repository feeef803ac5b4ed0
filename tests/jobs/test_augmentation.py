"""Augmentation: boxes and regions go where the pixels go, and the same generator gives the same image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop_jobs.augmentation import Changes, augment, mosaic
from dataloop_jobs.examples import Example
from dataloop_jobs.masks import BACKGROUND, NO_IMAGE

LIGHT, FLIP = Changes("light"), Changes("flip")


def example(pixels: np.ndarray, *boxes: list[int], has_regions: bool = False) -> Example:
    """An image whose objects fill their boxes."""
    size = len(pixels)
    regions = np.full((size, size), BACKGROUND, np.int32)
    for number, (left, top, right, bottom) in enumerate(boxes):
        regions[top:bottom, left:right] = number
    count = len(boxes)
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Example(
        pixels, np.arange(count, dtype=np.int64), corners, np.ones(count, bool), regions if has_regions else None
    )


def one_object(left: int, top: int, right: int, bottom: int, size: int = 96) -> Example:
    """A bright rectangle on dark grey."""
    pixels = np.full((size, size, 3), 60, np.uint8)
    pixels[top:bottom, left:right] = 230
    return example(pixels, [left, top, right, bottom], has_regions=True)


def bounds(inside: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(inside)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


def is_bright(pixels: np.ndarray) -> np.ndarray:
    """The bright rectangle, whatever was done to the colours."""
    grey = pixels.astype(float).mean(axis=2)
    return np.asarray(grey > (grey.max() + np.median(grey)) / 2)


@pytest.mark.parametrize("changes", [LIGHT, FLIP])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_follow_the_pixels(changes: Changes, seed: int) -> None:
    changed = augment(one_object(40, 30, 70, 50), changes, np.random.default_rng(seed))
    assert changed.visible.tolist() == [True]
    np.testing.assert_allclose(changed.boxes[0], bounds(is_bright(changed.pixels)), atol=1.5)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    left=st.integers(26, 50),
    top=st.integers(26, 50),
    width=st.integers(4, 20),
    height=st.integers(4, 20),
    rotate=st.sampled_from([0.0, 30.0, 180.0]),
    kind=st.sampled_from(["none", "light", "flip"]),
)
def test_regions_follow_the_pixels_and_the_box_follows_the_region(
    seed: int, left: int, top: int, width: int, height: int, rotate: float, kind: str
) -> None:
    given_one = one_object(left, top, left + width, top + height)
    changed = augment(given_one, Changes(kind, rotate=rotate), np.random.default_rng(seed))
    assert changed.regions is not None
    inside, bright = changed.regions == 0, is_bright(changed.pixels)
    if not inside.any() or inside[[0, -1]].any() or inside[:, [0, -1]].any():
        return  # left the image, wholly or in part
    assert (inside & bright).sum() >= 0.6 * (inside | bright).sum()
    ys, xs = np.nonzero(inside)
    box = changed.boxes[0]
    centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    np.testing.assert_allclose(centre, [xs.mean() + 0.5, ys.mean() + 0.5], atol=1.5)
    np.testing.assert_allclose(box, bounds(inside), atol=1.5)


def test_without_a_mask_a_turned_box_becomes_the_extent_of_its_corners() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    seen = [
        augment(example(pixels, [22, 22, 42, 42]), Changes(rotate=45), np.random.default_rng(seed))
        for seed in range(40)
    ]
    sides = [float(one.boxes[0, 2] - one.boxes[0, 0]) for one in seen]
    assert min(sides) >= 20 - 1e-3
    assert 26 < max(sides) <= 20 * 2**0.5 + 1e-3


def test_flip_mirrors_about_half_of_the_images() -> None:
    given_one = example(np.zeros((32, 32, 3), np.uint8), [0, 10, 8, 20])
    mirrored = sum(augment(given_one, FLIP, np.random.default_rng(seed)).boxes[0, 0] > 16 for seed in range(200))
    assert 70 < mirrored < 130


def test_what_leaves_the_image_is_no_label() -> None:
    edge = example(np.zeros((64, 64, 3), np.uint8), [61, 61, 64, 64])
    seen = [augment(edge, LIGHT, np.random.default_rng(seed)) for seed in range(60)]
    assert any(not one.visible[0] for one in seen)
    assert all(one.boxes.min() >= 0 and one.boxes.max() <= 64 for one in seen)


def test_what_comes_from_outside_is_not_part_of_the_image() -> None:
    whole = one_object(40, 40, 60, 60)
    turned = augment(whole, Changes(rotate=45), np.random.default_rng(3))
    assert turned.regions is not None
    assert turned.regions[0, 0] == NO_IMAGE
    assert (turned.pixels[0, 0] == 127).all()


def test_the_same_generator_state_gives_the_same_result() -> None:
    noise = example(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    changes = Changes("flip", blur=2, rotate=20)
    first, second = (augment(noise, changes, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_no_change_means_no_change_and_no_random_number() -> None:
    noise = one_object(10, 10, 30, 30)
    rng = np.random.default_rng(1)
    same = augment(noise, Changes(), rng)
    np.testing.assert_array_equal(same.pixels, noise.pixels)
    assert rng.random() == np.random.default_rng(1).random()


def test_colour_and_blur_do_what_their_strength_says() -> None:
    grey = example(np.full((48, 48, 3), 100, np.uint8))

    def spread(colour: float) -> float:
        changed = [augment(grey, Changes("light", colour=colour), np.random.default_rng(seed)) for seed in range(30)]
        return float(np.std([one.pixels[24, 24] for one in changed]))

    assert spread(0) == 0
    assert spread(2) > 1.5 * spread(1) > 10
    dots = np.zeros((48, 48, 3), np.uint8)
    dots[::4, ::4] = 255
    blurred = augment(example(dots), Changes(blur=4), np.random.default_rng(0))
    assert blurred.pixels.std() < 0.5 * dots.std()
    assert abs(blurred.pixels.mean() - dots.mean()) < 3


@pytest.mark.parametrize("seed", range(5))
def test_a_mosaic_shows_four_images_and_its_labels_stay_with_their_pixels(seed: int) -> None:
    colours = [(200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60)]
    parts = []
    for colour in colours:
        pixels = np.zeros((96, 96, 3), np.uint8)
        pixels[20:76, 20:76] = colour
        parts.append(example(pixels, [20, 20, 76, 76], has_regions=True))
    made = mosaic(parts, np.random.default_rng(seed))
    assert made.labels.tolist() == [0, 0, 0, 0]
    assert made.regions is not None
    for number, colour in enumerate(colours):
        inside = made.regions == number
        assert inside.any()
        # Bilinear scaling mixes colours only at the edges.
        assert np.median(np.abs(made.pixels[inside].astype(int) - colour)) <= 2
        np.testing.assert_allclose(made.boxes[number], bounds(inside), atol=1.5)
