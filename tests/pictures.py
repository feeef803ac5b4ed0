"""Small pictures of every accepted format, and the broken ones that people upload."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image


def picture(format: str = "JPEG", size: tuple[int, int] = (24, 16), seed: int = 0, **options: Any) -> bytes:
    """A sound image; another seed gives other bytes."""
    image = Image.new("RGB", size)
    image.putdata([(x * 9 % 256, (x + seed // 256) * 5 % 256, seed % 256) for x in range(size[0] * size[1])])
    if format == "GIF":
        image = image.convert("P")
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def camera_jpeg() -> bytes:
    """A JPEG whose EXIF carries a thumbnail, which is a whole JPEG with an end mark of its own."""
    thumbnail = picture("JPEG", (8, 8))
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 14)
    entries = [(0x0103, 3, 1, 6), (0x0201, 4, 1, 14 + 2 + 36 + 4), (0x0202, 4, 1, len(thumbnail))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return picture("JPEG", (64, 48), exif=b"Exif\0\0" + tiff + directory + struct.pack("<I", 0) + thumbnail)


def png_header(width: int, height: int) -> bytes:
    """A tiny PNG file that claims any number of pixels: a decompression bomb's header with an end mark."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
