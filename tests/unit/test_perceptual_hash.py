"""The perceptual hash of a file's bytes: equal for copies, far for other pictures, harmless for broken ones."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from dataloop.domain.near_duplicates import DISTANCE
from dataloop.services import inspecting
from dataloop.services.inspecting import inspect
from dataloop_demo.scenes import PHOTOS, photograph
from tests.pictures import picture, png_header


@lru_cache
def photographs() -> tuple[Image.Image, ...]:
    """15 photographs, and the four quarters of each as pictures of their own."""
    whole = [photograph(*place).convert("RGB") for part in PHOTOS.values() for place in part]
    quarters = [
        image.crop(
            (x * image.width // 2, y * image.height // 2, (x + 1) * image.width // 2, (y + 1) * image.height // 2)
        )
        for image in whole
        for x in (0, 1)
        for y in (0, 1)
    ]
    return (*whole, *quarters)


def encoded(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def text_of(body: bytes, name: str = "a.jpg") -> str | None:
    return inspect(name, hashlib.sha256(body).hexdigest(), len(body), body, body).phash


def hash_of(body: bytes) -> int:
    found = text_of(body)
    assert found is not None
    assert len(found) == 16
    return int(found, 16)


def cut(image: Image.Image, share: float) -> Image.Image:
    """Without this share of width and height, from the middle out."""
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


WAYS: dict[str, tuple[Callable[[Image.Image], bytes], float]] = {
    # what becomes of a picture, and the share of copies that must be found; docs/manifest.md has what is found
    "recompressed": (lambda image: encoded(image, quality=40), 1.0),
    "PNG": (lambda image: encoded(image, "PNG"), 1.0),
    "WebP": (lambda image: encoded(image, "WEBP", quality=60), 1.0),
    "half the size": (lambda image: encoded(image.resize((image.width // 2, image.height // 2))), 1.0),
    "a fifth of the size": (lambda image: encoded(image.resize((image.width // 5, image.height // 5))), 1.0),
    "brighter": (lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.15)), 0.98),
    "less contrast": (lambda image: encoded(ImageEnhance.Contrast(image).enhance(0.7)), 1.0),
    "grey": (lambda image: encoded(image.convert("L")), 1.0),
    "cut by 1 %": (lambda image: encoded(cut(image, 0.01)), 1.0),
    "cut by 2 %": (lambda image: encoded(cut(image, 0.02)), 0.95),
    "cut by 4 %": (lambda image: encoded(cut(image, 0.04)), 0.85),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_of_a_photograph_is_found(way: str) -> None:
    change, least = WAYS[way]
    own = [hash_of(encoded(image, quality=92)) for image in photographs()]
    copies = [hash_of(change(image)) for image in photographs()]
    found = sum((a ^ b).bit_count() <= DISTANCE for a, b in zip(own, copies, strict=True))
    assert found / len(own) >= least


def test_different_photographs_are_far_apart() -> None:
    hashes = [hash_of(encoded(image)) for image in photographs()]
    assert min((a ^ b).bit_count() for a, b in combinations(hashes, 2)) > DISTANCE


def test_a_picture_that_a_viewer_turns_is_the_picture_it_shows() -> None:
    image = photographs()[0]
    for orientation, turned in (
        (6, Image.Transpose.ROTATE_90),
        (3, Image.Transpose.ROTATE_180),
        (8, Image.Transpose.ROTATE_270),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = encoded(image.transpose(turned), exif=exif)
        assert (hash_of(stored) ^ hash_of(encoded(image))).bit_count() <= DISTANCE


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_other_kinds_of_pixels_have_a_hash(mode: str) -> None:
    image = photographs()[1]
    if mode == "I;16":
        grey = image.convert("L")
        deep = Image.frombytes("I;16", grey.size, b"".join(bytes((0, value)) for value in grey.tobytes()))
        body = encoded(deep, "PNG")
    else:
        body = encoded(image.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert (hash_of(body) ^ hash_of(encoded(image))).bit_count() <= DISTANCE


def test_what_shows_nothing_has_no_hash() -> None:
    # black frames of all videos would else tie all videos together
    for colour in ((0, 0, 0), (255, 255, 255), (17, 120, 90)):
        assert text_of(encoded(Image.new("RGB", (64, 48), colour))) is None


def test_what_cannot_be_decoded_is_registered_without_a_hash() -> None:
    whole = encoded(photographs()[0], "PNG")
    middle = len(whole) // 2
    broken = whole[:middle] + bytes(64) + whole[middle + 64 :]
    found = inspect("a.png", hashlib.sha256(broken).hexdigest(), len(broken), broken, broken)
    assert (found.rejected, found.phash, found.width) == (None, None, photographs()[0].width)


def test_formats_and_sizes_that_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_of(picture("TIFF"), "a.tif") is None
    assert text_of(b"some text", "a.txt") is None
    # a bomb of a PNG: 24 million pixels and more are not decoded, whatever the file's size
    assert not inspecting.can_hash(png_header(6000, 5000))
    assert inspecting.can_hash(png_header(6000, 4000))
    # nor is a file of which only the head is here
    body = encoded(photographs()[0])
    assert inspect("a.jpg", "0" * 64, len(body) + 1, body, b"\xff\xd9").phash is None


def test_an_animation_is_its_first_picture() -> None:
    first, second = photographs()[0].resize((120, 90)), photographs()[1].resize((120, 90))
    body = encoded(first, "GIF", save_all=True, append_images=[second])
    assert (hash_of(body) ^ hash_of(encoded(first))).bit_count() <= DISTANCE
