"""Masks in COCO's run-length form (RLE), read and written without numpy; and segmentations as clients send them.

An RLE says how many pixels, column by column from the top left, are outside, then inside, then outside the mask, and so
on: {"size": [height, width], "counts": runs}. Compressed, the runs are a text: each is written in groups of five bits,
the lowest first, one character (code 48 to 111) a group, with a sixth bit where another group follows; from the fourth
run on, what is written is the difference to the run two before. Source: COCO's maskApi.c, which the tests compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.geometry import check_polygons

# No larger image is ever registered as sound (services/inspecting.py).
MAX_MASK_PIXELS = 89_478_485
# Ours: half a second of reading. A mask with more is noise, not an outline.
MAX_RUNS = 1_000_000
# Characters of one run: five bits each, and 2**29 is more than the pixels of any image.
_LONGEST = 6


def check_segmentation(value: object, field: str) -> list[list[float]] | dict[str, Any]:
    """A label's segmentation in the one form that is kept: polygons in pixels, or compressed RLE.

    One shape has one spelling, whatever form it came in, so that saying it again is the same annotation.
    Raises InvalidInput(field…), LimitExceeded. Cost: up to half a microsecond a run or coordinate.
    """
    if isinstance(value, Mapping):
        return _check_rle(value, field)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return check_polygons(value, field)
    raise InvalidInput(field, 'must be a list of polygons, or an RLE {"size": [height, width], "counts": …}', value)


def _check_rle(value: Mapping[str, Any], field: str) -> dict[str, Any]:
    height, width = _check_size(value.get("size"), f"{field}.size")
    counts = value.get("counts")
    if isinstance(counts, str):
        runs = read_counts(counts, f"{field}.counts")
    elif isinstance(counts, Sequence):
        runs = _check_runs(counts, f"{field}.counts")
    else:
        raise InvalidInput(f"{field}.counts", "must be a compressed text or a list of runs", counts)
    if sum(runs) != height * width:
        raise InvalidInput(f"{field}.counts", f"sums to {sum(runs)} pixels, and size has {height} × {width}")
    if area(runs) == 0:
        raise InvalidInput(f"{field}.counts", "covers no pixel: leave out labels that are not there")
    return {"size": [height, width], "counts": write_counts(_merged(runs))}


def _check_size(size: object, field: str) -> tuple[int, int]:
    numbers = list(size) if isinstance(size, list | tuple) else []
    if len(numbers) != 2 or not all(type(number) is int and 0 < number <= MAX_MASK_PIXELS for number in numbers):
        raise InvalidInput(field, "must be [height, width] of the image in pixels", size)
    height, width = numbers
    if height * width > MAX_MASK_PIXELS:
        raise LimitExceeded(f"{field}: pixels", MAX_MASK_PIXELS, height * width)
    return height, width


def _check_runs(counts: Sequence[object], field: str) -> list[int]:
    if len(counts) > MAX_RUNS:
        raise LimitExceeded(f"{field}: runs", MAX_RUNS, len(counts))
    runs: list[int] = []
    for run in counts:
        if type(run) is not int or not 0 <= run <= MAX_MASK_PIXELS:
            raise InvalidInput(field, "must hold whole numbers of pixels, none below 0", str(run)[:50])
        runs.append(run)
    return runs


def read_counts(text: str, field: str = "counts") -> list[int]:
    """Compressed counts as runs. Raises InvalidInput for what no encoder writes, LimitExceeded for too many runs."""
    runs: list[int] = []
    value = groups = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise InvalidInput(field, "holds a character that compressed counts do not have", character)
        value |= (code & 31) << 5 * groups
        groups += 1
        if code & 32:
            if groups == _LONGEST:
                raise InvalidInput(field, "holds a run that is longer than any image")
            continue
        if code & 16:
            value -= 1 << 5 * groups
        run = value + runs[-2] if len(runs) > 2 else value
        if run < 0:
            raise InvalidInput(field, "holds a run below 0", run)
        runs.append(run)
        value = groups = 0
        if len(runs) > MAX_RUNS:
            raise LimitExceeded(f"{field}: runs", MAX_RUNS)
    if groups:
        raise InvalidInput(field, "ends in the middle of a run")
    return runs


def write_counts(runs: Sequence[int]) -> str:
    """Runs as compressed counts: the text that COCO's own encoder writes for them."""
    codes = bytearray()
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while not -16 <= value < 16:
            codes.append((value & 31) + 32 + 48)
            value >>= 5
        codes.append((value & 31) + 48)
    return codes.decode("ascii")


def _merged(runs: Sequence[int]) -> list[int]:
    """The same mask without empty runs behind the first."""
    merged = [0]
    for index, run in enumerate(runs):
        if run and index % 2 == len(merged) % 2:
            merged.append(run)
        elif run:
            merged[-1] += run
    return merged


def area(runs: Sequence[int]) -> int:
    """Pixels inside the mask."""
    return sum(runs[1::2])


def extent_of_mask(mask: Mapping[str, Any]) -> list[int]:
    """The box [x1, y1, x2, y2] in pixels around a mask that `check_segmentation` has returned."""
    height = mask["size"][0]
    ends = list(accumulate(read_counts(mask["counts"])))
    left = top = MAX_MASK_PIXELS
    right = bottom = 0
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        first, last = start // height, (end - 1) // height
        left, right = min(left, first), last + 1
        # A run over the end of a column touches that column's last row and the next one's first.
        is_within = first == last
        top = min(top, start % height if is_within else 0)
        bottom = max(bottom, (end - 1) % height + 1 if is_within else height)
    return [left, top, right, bottom]
