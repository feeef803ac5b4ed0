"""External merges on disk: sorted files of any number, in flat memory."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

# Open files at a time; Lambda allows 1,024 descriptors.
FAN_IN = 128


def merged_lines(paths: Sequence[Path], folder: Path, key: Callable[[bytes], bytes] | None = None) -> Iterator[bytes]:
    """All lines of sorted files, in order, without the newline. More than 128 files are merged in rounds on disk."""
    remaining = list(paths)
    while len(remaining) > FAN_IN:
        group, remaining = remaining[:FAN_IN], remaining[FAN_IN:]
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as target:
            for line in _merge(group, key):
                target.write(line + b"\n")
        for path in group:
            path.unlink()
        remaining.append(Path(target.name))
    yield from _merge(remaining, key)


def _merge(paths: Sequence[Path], key: Callable[[bytes], bytes] | None) -> Iterator[bytes]:
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        for line in heapq.merge(*files, key=key):
            yield line.rstrip(b"\n")


def distinct(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Sorted lines without repeats and blanks."""
    return (line for line, _ in groupby(lines) if line)
