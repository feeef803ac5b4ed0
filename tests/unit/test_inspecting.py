"""What the bytes of a file say, whatever its name says."""

from __future__ import annotations

import hashlib

import pytest
from PIL import Image

from dataloop.domain.raw_data import ObjectFacts
from dataloop.services.inspecting import inspect
from tests.pictures import camera_jpeg, picture, png_header

FORMATS = {
    "JPEG": ("jpg", "image/jpeg"),
    "PNG": ("png", "image/png"),
    "GIF": ("gif", "image/gif"),
    "BMP": ("bmp", "image/bmp"),
    "WEBP": ("webp", "image/webp"),
    "TIFF": ("tiff", "image/tiff"),
}


def facts(name: str, body: bytes) -> ObjectFacts:
    return inspect(name, hashlib.sha256(body).hexdigest(), len(body), body, body)


@pytest.mark.parametrize("format", FORMATS)
def test_a_sound_image_is_measured(format: str) -> None:
    suffix, media_type = FORMATS[format]
    found = facts(f"a.{suffix}", picture(format, (24, 16)))
    assert (found.media_type, found.width, found.height, found.rejected) == (media_type, 24, 16, None)
    assert found.type == "image"


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "TIFF"])
def test_a_truncated_image_is_rejected(format: str) -> None:
    suffix, _ = FORMATS[format]
    body = picture(format, (64, 64), seed=3)
    found = facts(f"a.{suffix}", body[: len(body) * 3 // 4])
    assert found.rejected is not None


def test_the_end_mark_of_a_thumbnail_does_not_make_a_truncated_photo_whole() -> None:
    # given a camera's JPEG: its header holds a thumbnail with an end mark
    body = camera_jpeg()
    assert body.count(b"\xff\xd9") == 2
    assert facts("a.jpg", body).rejected is None
    # when the end of the photo is cut off
    cut = body[:-200]
    # then it is rejected
    assert b"\xff\xd9" in cut
    assert facts("a.jpg", cut).rejected == "the image is cut short: its end is missing"


def test_cameras_may_write_behind_the_end() -> None:
    assert facts("a.jpg", picture() + b"maker notes" * 100).rejected is None


def test_exif_and_progressive_images_are_measured() -> None:
    exif = Image.Exif()
    exif[0x0110] = "camera"
    assert facts("a.jpg", picture("JPEG", (30, 20), exif=exif)).rejected is None
    assert facts("a.jpg", picture("JPEG", (30, 20), progressive=True)).width == 30


def test_an_empty_file_is_rejected() -> None:
    found = facts("a.jpg", b"")
    assert (found.rejected, found.size_bytes) == ("the file is empty", 0)


def test_text_with_an_image_name_is_rejected() -> None:
    found = facts("A.JPG", b"this is no image, whatever its name says")
    assert found.rejected is not None and "A.JPG" in found.rejected


def test_a_png_named_jpg_is_the_png_it_is() -> None:
    found = facts("a.jpg", picture("PNG"))
    assert (found.media_type, found.rejected) == ("image/png", None)


def test_an_image_without_an_image_name_is_an_image() -> None:
    assert facts("a.bin", picture("PNG")).type == "image"


@pytest.mark.parametrize(("name", "type"), [("a.txt", "file"), ("a.mp4", "video"), ("no-suffix", "file")])
def test_other_files_are_files(name: str, type: str) -> None:
    found = facts(name, b"some bytes that are no image")
    assert (found.type, found.width, found.rejected) == (type, None, None)


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_rejected_from_its_header(size: tuple[int, int]) -> None:
    found = facts("bomb.png", png_header(*size))
    assert found.rejected is not None
    assert "pixels" in found.rejected or "none" in found.rejected


def test_an_image_of_the_allowed_size_is_not() -> None:
    assert facts("large.png", png_header(9_000, 7_000)).rejected is None
