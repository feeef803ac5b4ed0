"""The counters, and what GET /_local/metering answers."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any


class Meter:
    """Named sums, safe to add to from every thread. Nothing is priced here: a reader multiplies with a price list."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, ...], float] = defaultdict(float)
        self._since = time.time()

    def add(self, *path: str, amount: float = 1) -> None:
        """Add to one counter, named by its path in the report."""
        with self._lock:
            self._sums[path] += amount

    def reset(self) -> None:
        with self._lock:
            self._sums.clear()
            self._since = time.time()

    def report(self) -> dict[str, Any]:
        """{"since", "until", "calls": {service: {operation: n}}, "dynamodb": {"read_units", "write_units"}, …}; times are
        seconds since 1970, durations seconds."""
        with self._lock:
            sums = dict(self._sums)
            since = self._since
        result: dict[str, Any] = {"since": since, "until": time.time()}
        for path, amount in sorted(sums.items()):
            place = result
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = int(amount) if amount == int(amount) else round(amount, 6)
        return result
