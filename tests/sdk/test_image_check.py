"""Files named like images are looked at before they are sent."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from ankerautotrainsdk import InvalidInput
from tests.sdk.fake_service import FakeService


def encoded(format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    target = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(target, format)
    return target.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises a huge picture in few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_real_images_pass_whatever_their_suffix(service: FakeService, client, tmp_path, format, suffix) -> None:
    file = tmp_path / f"picture{suffix}"
    file.write_bytes(encoded(format))
    assert client.upload_file(str(file)).uid


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is a text", "its bytes are none"),
        (encoded("JPEG")[:-100], "its end is missing"),
        (encoded("PNG")[:-100], "its end is missing"),
        (encoded("WEBP")[:-100], "its end is missing"),
        (encoded("BMP")[:-100], "its end is missing"),
        (b"\x89PNG\r\n\x1a\n", "header is not complete"),
        (bomb(10_000, 10_000), "10000x10000 pixels"),
        (bomb(0, 5), "no pixels"),
    ],
)
def test_broken_ones_are_refused_here(
    service: FakeService, client, tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=reason):
        client.upload_file(str(file))
    assert not service.objects


def test_other_files_are_not_looked_at(service: FakeService, client, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"this is a text")
    assert client.upload_file(str(file)).uid


def test_large_broken_images_are_refused_too(service: FakeService, client, tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    file.write_bytes(encoded("JPEG")[:-2] + b"\0" * (9 << 20))
    with pytest.raises(InvalidInput, match="its end is missing"):
        client.upload_file(str(file))
