"""What do the bytes of a file say? Type, size and resolution from its head, completeness from its tail.

And, where they are at hand as a whole, the perceptual hash of the picture.
"""

from __future__ import annotations

import io
import mimetypes
import warnings
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import cast

from PIL import Image

from dataloop.domain.perceptual_hash import SIDE, perceptual_hash, to_text
from dataloop.domain.raw_data import ObjectFacts

# Pillow's own guard against decompression bombs: 1 GiB / 4 / 3 pixels. A 10,000 x 10,000 image is above it.
MAX_PIXELS = 89_478_485
# Enough for every header we met, EXIF thumbnails included (JPEG segments are at most 64 KB each).
HEAD_BYTES = 256 * 1024
TAIL_BYTES = 64 * 1024
# Most writers put a TIFF's directory behind its pixels, so its size is only known from the whole file.
TIFF_MARKS = (b"II*\0", b"MM\0*")
WHOLE_TIFF_BYTES = 128 * 1024 * 1024
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
# Formats that are decoded for the perceptual hash. Not TIFF: its decoders are many, and each is a door for hostile files.
HASHED_TYPES = {"image/jpeg", "image/png", "image/gif", "image/bmp", "image/webp"}
# Decoded, 24 million pixels take 96 MB as RGB and 24 MB as grey: a PNG of that size takes a second. A JPEG is decoded at an
# eighth of its size, so it may have MAX_PIXELS.
MAX_HASHED_PIXELS = 24_000_000
# A JPEG is decoded at no less than this side, from where it is scaled down with care.
_DRAFT_SIDE = 4 * SIDE
# Grey levels between the darkest and the brightest place of a thumbnail. Black frames and blank pages would be
# near-duplicates of each other and would join everything that they belong to.
_FLAT = 8
# EXIF tag 0x0112: how a viewer turns the stored pixels.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def inspect(name: str, sha256: str, size_bytes: int, head: bytes, tail: bytes) -> ObjectFacts:
    """Facts of a file from its first and last bytes; for small files both are the whole file.

    A file that calls itself an image and is empty, not an image, too large or cut short gets `rejected` with a reason.
    """
    is_called_image = PurePosixPath(name.lower()).suffix in IMAGE_SUFFIXES
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if size_bytes == 0:
        return ObjectFacts(sha256, 0, guessed, rejected="the file is empty")
    try:
        found = _open(head)
    except Image.DecompressionBombError:
        # Twice the limit and more: Pillow does not even tell the size.
        return ObjectFacts(
            sha256, size_bytes, guessed, rejected=f"its pixels are more than twice the allowed {MAX_PIXELS}"
        )
    if found is None:
        rejected = (
            f"{PurePosixPath(name).name} is named like an image but its bytes are none" if is_called_image else None
        )
        return ObjectFacts(sha256, size_bytes, guessed, rejected=rejected)
    media_type, width, height = found
    rejected = None
    if width * height > MAX_PIXELS:
        rejected = f"{width}x{height} pixels are more than the allowed {MAX_PIXELS}"
    elif width == 0 or height == 0:
        rejected = "the image has no pixels"
    elif _is_cut_short(media_type, size_bytes, head, tail):
        rejected = "the image is cut short: its end is missing"
    is_hashed = rejected is None and len(head) == size_bytes and _may_hash(media_type, width * height)
    phash = _hash(head) if is_hashed else None
    return ObjectFacts(sha256, size_bytes, media_type, width, height, rejected, phash)


def can_hash(head: bytes) -> bool:
    """True when the header is of a picture that may be decoded for its perceptual hash."""
    try:
        found = _open(head)
    except Image.DecompressionBombError:
        return False
    return found is not None and _may_hash(found[0], found[1] * found[2])


def _may_hash(media_type: str, pixels: int) -> bool:
    return media_type in HASHED_TYPES and pixels <= (MAX_PIXELS if media_type == "image/jpeg" else MAX_HASHED_PIXELS)


def _hash(body: bytes) -> str | None:
    """The perceptual hash, or None for a picture that cannot be decoded or shows nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, odd palettes, strange EXIF
            with Image.open(io.BytesIO(body), formats=FORMATS) as image:
                pixels = thumbnail(image)
    except Exception:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, MemoryError, …
        return None
    return to_text(perceptual_hash(pixels)) if max(pixels) - min(pixels) >= _FLAT else None


def thumbnail(image: Image.Image) -> Sequence[int]:
    """16 × 16 grey values of an opened image, row by row, as a viewer would turn it. Decodes it."""
    image.draft("L", (_DRAFT_SIDE, _DRAFT_SIDE))
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    if image.mode.startswith("I"):  # 16 bits: brought to 8 by its own range, for Pillow would cut it
        low, high = cast("tuple[float, float]", image.getextrema())  # of one band
        scale = 255 / max(1, high - low)
        image = image.convert("F").point(lambda value: value * scale - low * scale)
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return (small if turn is None else small.transpose(turn)).tobytes()


def _open(head: bytes) -> tuple[str, int, int] | None:
    """(media type, width, height) from the header alone; Pillow decodes nothing here. Raises DecompressionBombError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(head), formats=FORMATS) as image:
                return Image.MIME.get(image.format or "", "image/unknown"), *image.size
    except Image.DecompressionBombError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, OverflowError):
        return None


def _is_cut_short(media_type: str, size_bytes: int, head: bytes, tail: bytes) -> bool:
    """True when the end mark of the format is missing. Bytes after the mark are allowed: cameras append some."""
    if media_type == "image/jpeg":
        # A thumbnail in the header has an end mark of its own: only what follows the header counts.
        is_whole = len(head) == size_bytes
        return head.find(b"\xff\xd9", _end_of_jpeg_header(head)) < 0 if is_whole else b"\xff\xd9" not in tail
    if media_type == "image/png":
        return b"IEND" not in tail
    if media_type == "image/gif":
        return not tail.rstrip(b"\0").endswith(b"\x3b")  # its mark is too short to be looked for in the middle
    if media_type == "image/webp":
        return size_bytes < int.from_bytes(head[4:8], "little") + 8
    if media_type == "image/bmp":
        return size_bytes < int.from_bytes(head[2:6], "little")
    return False


def _end_of_jpeg_header(data: bytes) -> int:
    """Where the first scan begins: after the segments that carry tables, EXIF and thumbnails; or the end of the data."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        if data[at + 1] == 0xDA:
            return at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data) if at + 4 > len(data) else at
