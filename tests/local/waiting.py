"""The one way tests wait: for a condition, with a deadline, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def until(look: Callable[[], Value | None], *, within_s: float = 20.0, what: str = "the condition") -> Value:
    """Call `look` until it returns something true; returns that. Fails after `within_s` seconds with the last value."""
    deadline = time.monotonic() + within_s
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not become true within {within_s} s; last seen: {value!r}")
        time.sleep(0.02)
