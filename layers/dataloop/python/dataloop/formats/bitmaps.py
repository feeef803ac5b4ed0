"""Masks as pictures: from bitmaps to COCO's RLE and from outlines and RLE to bitmaps, without numpy."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image, UnidentifiedImageError

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.masks import MAX_MASK_PIXELS, read_counts, write_counts

_INSIDE = re.compile(rb"[^\0]+")
# What masks are stored as: both keep every pixel.
_MASK_FORMATS = ("PNG", "TIFF", "BMP", "GIF")


def check_size(width: int, height: int, field: str) -> None:
    """Raises before anything of that size is made."""
    if width < 1 or height < 1:
        raise InvalidInput(field, "must have a width and a height above 0", f"{width} × {height}")
    if width * height > MAX_MASK_PIXELS:
        raise LimitExceeded(f"{field}: pixels", MAX_MASK_PIXELS, width * height)


def open_mask(data: bytes, field: str) -> Image.Image:
    """A mask file, loaded. Raises InvalidInput for what is no picture, LimitExceeded for one that is too large."""
    try:
        with warnings.catch_warnings():
            # check_size has a say of its own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_MASK_FORMATS)
        check_size(*image.size, field)
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        # Pillow's own words for this case name an object in memory.
        reason = "of no kind that is read" if isinstance(error, UnidentifiedImageError) else error
        raise InvalidInput(field, f"is no readable mask: {reason}") from error
    return image


def mask_in_text(value: object, field: str) -> Image.Image:
    """A mask file in base64, with or without the head of a data address."""
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a picture in base64", value)
    try:
        return open_mask(base64.b64decode(value.rpartition(",")[2], validate=True), field)
    except binascii.Error as error:
        raise InvalidInput(field, f"is no base64: {error}") from error


def rle_of(bitmap: Image.Image, width: int, height: int, left: int = 0, top: int = 0) -> dict[str, Any]:
    """The RLE of an image of width × height on which a bitmap lies at left, top. What is not 0 is inside.

    What leaves the image is cut. Raises InvalidInput when nothing of it is inside. Memory: one byte a pixel, twice, of
    the columns that the bitmap covers.
    """
    check_size(width, height, "image")
    first, last = max(0, left), min(width, left + bitmap.width)
    counts: list[int] = []
    at = 0
    if first < last:
        strip = Image.new("L", (last - first, height))
        strip.paste(bitmap.convert("L").crop((first - left, 0, last - left, bitmap.height)), (0, top))
        columns = strip.transpose(Image.Transpose.TRANSPOSE).tobytes()
        for match in _INSIDE.finditer(columns):
            start, end = match.start() + first * height, match.end() + first * height
            counts += [start - at, end - start]
            at = end
    if not counts:
        raise InvalidInput("mask", "covers no pixel of its image")
    if at < width * height:
        counts.append(width * height - at)
    return {"size": [height, width], "counts": write_counts(counts)}


def bitmap_of_rows(runs: Iterable[tuple[int, int]], width: int, height: int) -> Image.Image:
    """A bitmap (0 and 255) from runs (first pixel, pixel behind the last) row by row from the top left."""
    check_size(width, height, "mask")
    data = bytearray(width * height)
    for start, end in runs:
        data[start:end] = b"\xff" * (end - start)
    return Image.frombytes("L", (width, height), bytes(data))


def bitmap_of(segmentation: Sequence[Sequence[float]] | Mapping[str, Any], width: int, height: int) -> Image.Image:
    """A bitmap (0 and 255) of polygons in pixels, or of an RLE. A pixel is inside when its centre is.

    A polygon that crosses itself follows the even-odd rule; several polygons are united.
    """
    check_size(width, height, "mask")
    if isinstance(segmentation, Mapping):
        return _bitmap_of_rle(segmentation, width, height)
    data = bytearray(width * height)
    for ring in segmentation:
        for row, start, end in _filled(ring, width, height):
            data[row * width + start : row * width + end] = b"\xff" * (end - start)
    return Image.frombytes("L", (width, height), bytes(data))


def _bitmap_of_rle(mask: Mapping[str, Any], width: int, height: int) -> Image.Image:
    if list(mask["size"]) != [height, width]:
        raise InvalidInput("mask", f"has another size than its image of {width} × {height}", mask["size"])
    runs = read_counts(mask["counts"])
    if sum(runs) != width * height:
        raise InvalidInput("mask", f"sums to {sum(runs)} pixels and not to {width * height}")
    columns = b"".join((b"\xff" if index % 2 else b"\0") * run for index, run in enumerate(runs))
    return Image.frombytes("L", (height, width), columns).transpose(Image.Transpose.TRANSPOSE)


def _filled(ring: Sequence[float], width: int, height: int) -> Iterable[tuple[int, int, int]]:
    """Row, first column and column behind the last of the pixels whose centres a ring encloses."""
    crossings: dict[int, list[float]] = {}
    points = list(zip(ring[::2], ring[1::2], strict=True))
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        if y1 == y2:
            continue
        (xa, ya), (xb, yb) = ((x1, y1), (x2, y2)) if y1 < y2 else ((x2, y2), (x1, y1))
        # Rows whose centre line y + 0.5 the edge crosses: the upper end belongs to it, the lower one to the next edge.
        for row in range(max(0, _from_centre(ya)), min(height, _from_centre(yb))):
            crossings.setdefault(row, []).append(xa + (row + 0.5 - ya) * (xb - xa) / (yb - ya))
    for row, places in crossings.items():
        places.sort()
        for enter, leave in zip(places[::2], places[1::2], strict=True):
            start, end = max(0, _from_centre(enter)), min(width, _from_centre(leave))
            if start < end:
                yield row, start, end


def _from_centre(value: float) -> int:
    """The first pixel whose centre is not before the value."""
    return -int(-(value - 0.5) // 1)
