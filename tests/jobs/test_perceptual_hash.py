"""Near-duplicates: copies of real photographs are found, different photographs are not."""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import combinations

import numpy as np
from PIL import Image, ImageEnhance

from dataloop_demo.scenes import PHOTOS, photograph
from dataloop_jobs.selection.perceptual_hash import DISTANCE, duplicate_groups, perceptual_hash


@lru_cache
def photographs() -> tuple[Image.Image, ...]:
    return tuple(photograph(*place).convert("RGB") for part in PHOTOS.values() for place in part)


def copies(image: Image.Image) -> list[Image.Image]:
    """What a camera, an editor or an upload does to the same picture."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    third = (max(8, image.width // 3), max(8, image.height // 3))
    return [
        Image.open(buffer),
        image.resize(third, Image.Resampling.BILINEAR),
        ImageEnhance.Brightness(image).enhance(1.15),
        ImageEnhance.Contrast(image).enhance(0.85),
        image.crop((2, 2, image.width - 2, image.height - 2)),
    ]


def bits(first: int, second: int) -> int:
    return (first ^ second).bit_count()


def test_copies_are_near_and_different_photographs_are_far() -> None:
    hashes = [perceptual_hash(image) for image in photographs()]
    farthest_copy = max(
        bits(own, perceptual_hash(copy))
        for own, image in zip(hashes, photographs(), strict=True)
        for copy in copies(image)
    )
    nearest_other = min(bits(first, second) for first, second in combinations(hashes, 2))
    assert farthest_copy <= DISTANCE < nearest_other, (farthest_copy, nearest_other)


def test_groups_hold_the_copies_of_one_picture_and_no_other() -> None:
    pictures = photographs()[:5]
    hashes = [perceptual_hash(image) for image in pictures]
    hashes += [perceptual_hash(copies(pictures[index])[0]) for index in (1, 3)] + [
        perceptual_hash(copies(pictures[1])[1])
    ]
    assert duplicate_groups(hashes) == [[1, 5, 7], [3, 6]]


def test_no_group_where_nothing_is_alike() -> None:
    assert duplicate_groups([]) == []
    assert duplicate_groups([0]) == []
    assert duplicate_groups([0, (1 << DISTANCE + 1) - 1]) == []
    assert duplicate_groups([0, (1 << DISTANCE) - 1]) == [[0, 1]]


def test_blocks_do_not_change_the_groups() -> None:
    rng = np.random.default_rng(0)
    hashes = [int(value) for value in rng.integers(0, 2**63, 2500)]
    for copy, own in ((1500, 3), (2400, 1500), (2499, 1100)):
        hashes[copy] = hashes[own] ^ 1
    assert duplicate_groups(hashes) == [[3, 1500, 2400], [1100, 2499]]
