"""Label Studio's run-length form of brush masks, read bit by bit.

It is the packing of the JavaScript package rle-pack (thi.ng/umbrella) over the bytes red, green, blue, alpha of each
pixel, row by row; what is drawn has an alpha above 0. The bits: how many bytes there are (32), bits of one byte less one
(5), four sizes of counts less one (4 each); then runs: is it one byte repeated (1), which size its count has (2), the
count less one, and the byte, or, where it is not repeated, so many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataloop.domain.errors import InvalidInput, LimitExceeded

# Ours: a mask of so many bytes is noise, not brush strokes.
MAX_BRUSH_BYTES = 8 * 1024 * 1024
_CHANNELS = 4


def read_brush(rle: object, pixels: int) -> Iterator[tuple[int, int]]:
    """Runs (first pixel, pixel behind the last) that are drawn, row by row.

    Raises InvalidInput when it says another size than the picture's pixels, or its bits end too soon.
    """
    if not isinstance(rle, list) or not rle:
        raise InvalidInput("rle", "must be a list of bytes", str(rle)[:50])
    if len(rle) > MAX_BRUSH_BYTES:
        raise LimitExceeded("rle: bytes", MAX_BRUSH_BYTES, len(rle))
    try:
        bits = _Bits(bytes(rle))
    except (ValueError, TypeError):
        raise InvalidInput("rle", "must hold numbers from 0 to 255") from None
    total = bits.read(32)
    if total != pixels * _CHANNELS:
        raise InvalidInput("rle", f"says {total} bytes, and a picture of {pixels} pixels has {pixels * _CHANNELS}")
    return _joined(_drawn(bits, total))


def _drawn(bits: _Bits, total: int) -> Iterator[tuple[int, int]]:
    """The pixels of each run whose alpha is above 0."""
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    at = 0
    while at < total:
        is_repeated = bits.read(1)
        end = at + bits.read(sizes[bits.read(2)]) + 1
        if end > total:
            raise InvalidInput("rle", f"has more than the {total} bytes it says")
        if is_repeated:
            # Alpha is the last byte of a pixel: the pixels whose last byte lies from at to end.
            if bits.read(word):
                yield at // _CHANNELS, end // _CHANNELS
        else:
            for place in range(at, end):
                if bits.read(word) and place % _CHANNELS == _CHANNELS - 1:
                    yield place // _CHANNELS, place // _CHANNELS + 1
        at = end


def _joined(runs: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs that touch as one; empty ones left out."""
    first = last = 0
    for start, end in runs:
        if start >= end:
            continue
        if start == last:
            last = end
            continue
        if first < last:
            yield first, last
        first, last = start, end
    if first < last:
        yield first, last


class _Bits:
    """Bits of bytes, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, count: int) -> int:
        """The next 1 to 32 bits as number."""
        begin, end = self._at, self._at + count
        if end > len(self._data) * 8:
            raise InvalidInput("rle", "ends in the middle")
        self._at = end
        behind = (end + 7) // 8
        window = int.from_bytes(self._data[begin // 8 : behind], "big")
        return window >> (behind * 8 - end) & ((1 << count) - 1)
