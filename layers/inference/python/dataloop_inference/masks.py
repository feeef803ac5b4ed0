"""Masks as COCO's compressed run lengths. Source: the COCO API's mask format (column-major runs, 6 bits a character)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.predictions import Rle

Mask = NDArray[np.bool_]
# Characters from "0" on, five bits of value and one that says that more follow.
_FIRST, _VALUE, _MORE, _SIGN = 48, 0x1F, 0x20, 0x10
# Of a run: 2^34 pixels. Without an end a text of one endless number takes time by the square of its length.
_MOST_BITS = 35


def encode(mask: Mask) -> Rle:
    """A mask (height, width) as run lengths. Cost: a pass over the pixels and one over the runs."""
    return encode_part(mask, 0, 0, *mask.shape)


def encode_part(part: Mask, left: int, top: int, height: int, width: int) -> Rle:
    """A mask that is empty outside `part` (h, w), which lies at (left, top) in an image of height × width.

    Cost: a pass over the pixels of the part and one over the runs, whatever the size of the image.
    """
    columns = np.zeros((part.shape[1], part.shape[0] + 2), dtype=np.int8)
    columns[:, 1:-1] = part.T
    steps = np.diff(columns, axis=1)
    starts, ends = (
        (left + column) * height + top + row for column, row in (np.nonzero(steps == 1), np.nonzero(steps == -1))
    )
    # A run that ends at the bottom of a column goes on where the next one begins at the top.
    apart = ends[:-1] != starts[1:]
    starts, ends = np.append(starts[:1], starts[1:][apart]), np.append(ends[:-1][apart], ends[-1:])
    edges = np.column_stack([starts, ends]).ravel()
    runs = np.diff(np.concatenate([[0], edges])).tolist()
    outside = height * width - (int(edges[-1]) if len(edges) else 0)
    return Rle(height, width, compress([*runs, outside] if outside else runs))


def decode(rle: Rle) -> Mask:
    """Run lengths → mask (height, width). Raises ValueError when the runs do not fill the image exactly."""
    runs = np.array(expand(rle.counts), dtype=np.int64)
    if (runs < 0).any() or int(runs.sum()) != rle.height * rle.width:
        raise ValueError(f"runs of {int(runs.sum())} pixels in an image of {rle.height} × {rle.width}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape((rle.height, rle.width), order="F")


def compress(runs: list[int]) -> str:
    """Runs → text. From the third on, each is stored as the difference to the run of the same colour before it."""
    text = bytearray()
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            bits = value & _VALUE
            value >>= 5
            more = value != -1 if bits & _SIGN else value != 0
            text.append((bits | (_MORE if more else 0)) + _FIRST)
            if not more:
                break
    return text.decode("ascii")


def expand(counts: str) -> list[int]:
    """Text → runs. Raises ValueError for text that is not such a list."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in counts.encode("ascii"):
        bits = character - _FIRST
        if not 0 <= bits < 64:
            raise ValueError(f"character {chr(character)!r} is not part of a compressed mask")
        value |= (bits & _VALUE) << shift
        shift += 5
        if shift > _MOST_BITS:
            raise ValueError("the compressed mask holds a number beyond any image")
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("the compressed mask ends in the middle of a number")
    return runs
