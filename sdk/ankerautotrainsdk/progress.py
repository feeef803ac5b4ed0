"""Progress bars on long work: tqdm, imported only when a bar is really shown."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Bar:
    """A bar on standard error, or nothing at all. Use as a context manager.

    show: True, False, or None for "only when standard error is a terminal", so that logs stay clean.
    """

    def __init__(self, show: bool | None, total: int | None, title: str, unit: str = "it") -> None:
        self._bar: Any = None
        if show if show is not None else sys.stderr.isatty():
            from tqdm import tqdm

            in_bytes = unit == "B"
            self._bar = tqdm(total=total, desc=title, unit=unit, unit_scale=in_bytes, unit_divisor=1024, leave=False)

    def advance(self, amount: int = 1) -> None:
        """Move forward by amount units."""
        if self._bar is not None:
            self._bar.update(amount)

    def move_to(self, done: float, total: float | None = None, title: str | None = None) -> None:
        """Set position, and total and title when given: for progress that somebody else counts."""
        if self._bar is None:
            return
        if total is not None:
            self._bar.total = total
        if title is not None:
            self._bar.set_description_str(title, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
