"""Augmentation: boxes go where the pixels go, and the same generator gives the same image."""

from __future__ import annotations

import numpy as np
import pytest

from dataloop_jobs.augmentation import augment


def bright_box(pixels: np.ndarray) -> list[int]:
    """Bounds of the bright rectangle, whatever was done to the colours."""
    grey = pixels.astype(float).mean(axis=2)
    ys, xs = np.nonzero(grey > (grey.max() + np.median(grey)) / 2)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


@pytest.mark.parametrize("kind", ["light", "flip"])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_follow_the_pixels(kind: str, seed: int) -> None:
    pixels = np.full((96, 96, 3), 60, np.uint8)
    pixels[30:50, 40:70] = 230
    boxes = np.array([[40, 30, 70, 50]], np.float32)
    changed, moved, visible = augment(pixels, boxes, kind, np.random.default_rng(seed))
    assert visible.tolist() == [True]
    np.testing.assert_allclose(moved[0], bright_box(changed), atol=1.5)


def test_flip_mirrors_about_half_of_the_images() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    box = np.array([[0, 10, 8, 20]], np.float32)
    mirrored = sum(augment(pixels, box, "flip", np.random.default_rng(seed))[1][0, 0] > 16 for seed in range(200))
    assert 70 < mirrored < 130


def test_what_leaves_the_image_is_no_label() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    edge = np.array([[61, 61, 64, 64]], np.float32)
    seen = [augment(pixels, edge, "light", np.random.default_rng(seed)) for seed in range(60)]
    assert any(not visible[0] for _, _, visible in seen)
    assert all(moved.min() >= 0 and moved.max() <= 64 for _, moved, _ in seen)


def test_the_same_generator_state_gives_the_same_result() -> None:
    pixels = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    first, second = (augment(pixels, np.zeros((0, 4), np.float32), "flip", np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
