"""Time and randomness, as one argument of the services that need them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

from dataloop.domain.ids import derived_uuid, uuid7
from dataloop.domain.times import to_text


class Clock:
    """The wall clock and the operating system's randomness; tests give one of their own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def text(self) -> str:
        return to_text(self.now())

    def in_days(self, days: float) -> str:
        return to_text(self.now() + timedelta(days=days))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def random(self, count: int) -> bytes:
        return os.urandom(count)

    def new_id(self) -> str:
        """A time-ordered UUID."""
        return uuid7(int(self.now().timestamp() * 1000), self.random(10))

    def decided_id(self, since: datetime, *parts: object) -> str:
        """The UUID that everybody who decides the same thing gives it; `since` is a time they all know."""
        return derived_uuid(int(since.timestamp() * 1000), *parts)
