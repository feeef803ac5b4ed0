"""One image's line in a sorted file, found with a few ranged reads: the file is never read whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataloop.domain.json_lines import parse

# One read holds some hundred lines of objects.jsonl; a line of an image with 10,000 annotations has 270 KB.
READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
# (first byte, length) -> bytes; fewer at the end of the file.
ReadRange = Callable[[int, int], bytes]


def find_line(read: ReadRange, size_bytes: int, uid: str, guess: float) -> dict[str, Any] | None:
    """The line of a uid in a file of JSON lines sorted by uid; None when there is none.

    guess: where it should be, from 0 to 1 (its rank among the uids). With a good guess it takes one read, and never more
    than about the logarithm of the file's size.
    """
    low, high = 0, size_bytes  # the line begins at low or later and before high
    middle = int(guess * size_bytes)
    window = READ_BYTES
    while low < high:
        start = max(low, min(middle, high - 1) - window // 2)
        block = read(start, window)
        lines, first = _whole_lines(block, start, is_start=start == low, is_end=start + len(block) >= size_bytes)
        if not lines:
            if window >= MAX_LINE_BYTES:
                return None
            window *= 4  # one line is longer than the window
            continue
        uids = [str(parse(line)["uid"]) for line in lines]
        if uids[0] <= uid <= uids[-1]:
            return next((dict(parse(line)) for line, each in zip(lines, uids, strict=True) if each == uid), None)
        if uid < uids[0]:
            high = first
        else:
            low = first + sum(len(line) + 1 for line in lines)
        middle = (low + high) // 2
    return None


def _whole_lines(block: bytes, start: int, *, is_start: bool, is_end: bool) -> tuple[list[bytes], int]:
    """The whole lines of a block and where the first of them begins. is_start: the block begins with a line."""
    begin = 0 if is_start else block.find(b"\n") + 1
    if begin == 0 and not is_start:
        return [], start
    end = len(block) if is_end else block.rfind(b"\n") + 1
    lines = [line for line in block[begin:end].split(b"\n") if line]
    return lines, start + begin
