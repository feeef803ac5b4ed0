"""Smaller copies of images, and links that open without a key."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
from PIL import Image

from dataloop.domain.errors import InvalidInput
from dataloop.services.renditions import MAX_DECODED_PIXELS, RESIZED_SIDE, THUMBNAIL_SIDE, key_of, prefix_of
from tests.core import ARTIFACTS, Core
from tests.pictures import picture, png_header

UID = "0" * 32


def copies(core: Core, body: bytes) -> dict[str, Image.Image]:
    """What is made of a picture, by name, opened."""
    core.again().renditions.make("default", UID, body)
    found = core.objects(ARTIFACTS)
    assert all(key.startswith(prefix_of("default", UID)) for key in found)
    return {key.rpartition("/")[2]: Image.open(io.BytesIO(body)) for key, body in found.items()}


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((THUMBNAIL_SIDE, 10), {}),
        ((257, 100), {"thumbnail.jpg": (256, 100)}),
        ((1024, 512), {"thumbnail.jpg": (256, 128)}),
        ((100, 2050), {"thumbnail.jpg": (12, 256), "resized.jpg": (50, 1024)}),
        ((2500, 100), {"thumbnail.jpg": (256, 10), "resized.jpg": (1024, 41)}),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF"])
def test_a_copy_is_made_of_what_is_larger(core: Core, format: str, size: Any, sizes: Any) -> None:
    assert {name: found.size for name, found in copies(core, picture(format, size)).items()} == sizes


def test_a_copy_shows_the_same(core: Core) -> None:
    half = Image.new("RGB", (1200, 600), (200, 30, 30))
    half.paste((20, 20, 220), (600, 0, 1200, 600))
    for shown in copies(core, saved(half, "PNG")).values():
        for place, colour in ((0.25, (200, 30, 30)), (0.75, (20, 20, 220))):
            pixel = shown.convert("RGB").getpixel((int(place * shown.width), shown.height // 2))
            assert isinstance(pixel, tuple)
            assert all(abs(one - other) < 12 for one, other in zip(pixel, colour, strict=True))


def test_pixels_stay_as_they_are_stored(core: Core) -> None:
    """A box is drawn on what the model sees: an EXIF orientation is not applied, and the copy has none."""
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = copies(core, saved(Image.new("RGB", (600, 300)), "JPEG", exif=exif))["thumbnail.jpg"]
    assert shown.size == (256, 128) and 0x0112 not in shown.getexif()


@pytest.mark.parametrize(
    ("image", "format", "colour"),
    [
        (Image.new("RGBA", (300, 300), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
        (Image.new("LA", (300, 300), (0, 0)), "PNG", (255, 255, 255)),
        (Image.new("I;16", (300, 300), 65535), "PNG", (255, 255, 255)),
        (Image.new("I;16", (300, 300), 257 * 100), "PNG", (100, 100, 100)),
        (Image.new("1", (300, 300), 1), "BMP", (255, 255, 255)),
        (Image.new("CMYK", (300, 300), (0, 0, 0, 0)), "JPEG", (255, 255, 255)),
        (Image.new("P", (300, 300), 0), "GIF", (0, 0, 0)),
    ],
)
def test_every_kind_of_pixel_becomes_colour(core: Core, image: Image.Image, format: str, colour: Any) -> None:
    shown = copies(core, saved(image, format))["thumbnail.jpg"]
    pixel = shown.convert("RGB").getpixel((9, 9))
    assert isinstance(pixel, tuple) and all(abs(one - other) < 3 for one, other in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("body", [b"", b"words", picture("PNG", (300, 300))[:-600], picture("WEBP", (300, 300))])
def test_what_cannot_be_decoded_is_said(core: Core, body: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.again().renditions.make("default", UID, body)
    assert caught.value.field == "image" and "cannot be decoded" in caught.value.reason


def test_a_picture_too_large_to_decode_is_its_own_copy(core: Core) -> None:
    size = 6_000, MAX_DECODED_PIXELS // 6_000 + 1
    assert copies(core, png_header(*size)) == {}
    links = core.services.renditions.links("default", UID, "a.png", "1", *size)
    assert links.thumbnail == links.resized == links.original


@pytest.mark.parametrize(("size", "own"), [((256, 256), 1), ((300, 9), 2), ((RESIZED_SIDE + 1, 9), 3)])
def test_there_is_a_link_to_each_copy_and_they_open(core: Core, size: Any, own: int) -> None:
    body = picture("JPEG", size)
    version_id = core.clients.s3.put_object(Bucket="raw-bucket", Key="a.jpg", Body=body)["VersionId"]
    core.services.renditions.make("default", UID, body)

    links = core.services.renditions.links("default", UID, "a.jpg", version_id, *size)

    opened = [requests.get(url, timeout=5) for url in (links.original, links.resized, links.thumbnail)]
    assert [answer.status_code for answer in opened] == [200] * 3
    assert len({links.original, links.resized, links.thumbnail}) == own
    sides = [max(Image.open(io.BytesIO(answer.content)).size) for answer in opened]
    assert sides == [max(size), min(max(size), 1024), min(max(size), 256)]


def test_copies_belong_to_the_content_of_a_tenant() -> None:
    assert key_of("acme", UID, "resized") == f"acme/renditions/{UID}/resized.jpg"
