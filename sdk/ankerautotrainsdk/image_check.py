"""Is a file that is named like an image one? Looked at before it is sent, so that the mistake is told where it was made.

The service looks again at what arrives (it trusts no client); this check only saves the way there. Headers and end
marks are read, nothing is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import PurePath

from ankerautotrainsdk.errors import InvalidInput

HEAD_BYTES = 256 * 1024
TAIL_BYTES = 64 * 1024
# The service's own limit (Pillow's guard against decompression bombs).
MAX_PIXELS = 89_478_485
_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
# JPEG frame headers (SOF0 … SOF15 without DHT, JPG and DAC), which hold height and width.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
Size = tuple[int, int] | None


def is_named_like_image(path: PurePath) -> bool:
    """By suffix."""
    return path.suffix.lower() in _SUFFIXES


def check(path: PurePath, size_bytes: int, head: bytes, tail: bytes) -> None:
    """Raise InvalidInput when a file named like an image is none, is cut short or has too many pixels."""
    found = next(((size, end) for magic, size, end in _FORMATS if magic(head)), None)
    if found is None:
        raise _refused(path, "is named like an image, but its bytes are none")
    read_size, is_whole = found
    try:
        size = read_size(head)
    except (struct.error, IndexError) as error:
        raise _refused(path, "is cut short: its header is not complete") from error
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise _refused(path, f"has {size[0]}x{size[1]} pixels, more than the allowed {MAX_PIXELS}")
    if size is not None and 0 in size:
        raise _refused(path, "has no pixels")
    if not is_whole(size_bytes, head, tail):
        raise _refused(path, "is cut short: its end is missing")


def _refused(path: PurePath, reason: str) -> InvalidInput:
    return InvalidInput(f"{path} {reason}", details={"path": str(path), "field": "file", "reason": reason})


def _jpeg_size(head: bytes) -> Size:
    """Walk the segments up to the frame header; None when it lies behind the bytes at hand."""
    at = 2
    while at + 9 <= len(head):
        if head[at] != 0xFF:
            at += 1
            continue
        marker = head[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        is_alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD9
        at += (1 if marker == 0xFF else 2) if is_alone else 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None


def _png_size(head: bytes) -> Size:
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _gif_size(head: bytes) -> Size:
    width, height = struct.unpack("<HH", head[6:10])
    return width, height


def _bmp_size(head: bytes) -> Size:
    width, height = struct.unpack("<ii", head[18:26])
    return abs(width), abs(height)


def _webp_size(head: bytes) -> Size:
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return None  # at most 16,383 x 16,383; the service reads the exact size


def _unknown_size(head: bytes) -> Size:
    return None


def _ends_with(mark: bytes) -> Callable[[int, bytes, bytes], bool]:
    """Bytes after the mark are allowed: cameras append some."""
    return lambda size_bytes, head, tail: mark in tail


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Size], Callable[[int, bytes, bytes], bool]], ...] = (
    (lambda head: head.startswith(b"\xff\xd8\xff"), _jpeg_size, _ends_with(b"\xff\xd9")),
    (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), _png_size, _ends_with(b"IEND")),
    (lambda head: head.startswith((b"GIF87a", b"GIF89a")), _gif_size, _ends_with(b"\x3b")),
    (
        lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        _webp_size,
        lambda size, head, tail: size >= int.from_bytes(head[4:8], "little") + 8,
    ),
    (
        lambda head: head.startswith(b"BM"),
        _bmp_size,
        lambda size, head, tail: size >= int.from_bytes(head[2:6], "little"),
    ),
    (lambda head: head.startswith((b"II*\0", b"MM\0*")), _unknown_size, lambda size, head, tail: True),
)
