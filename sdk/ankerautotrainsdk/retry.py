"""When and how long to wait before trying again.

Full jitter: the wait before retry n is a random time between 0 and min(cap, base * 2^n), so that a thousand devices
that lost the same server do not come back in step.  A Retry-After of the server is the least time waited.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Never sleep longer than this on a server's word; a longer Retry-After ends the retries instead.
MAX_RETRY_AFTER_S = 120.0
# Answers that mean "not now". 500 is among them: handlers fail on a lost race or a cold dependency.
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})
# Of these the request was certainly refused before it was carried out, so that even one that must not
# run twice may be repeated.
REFUSED_STATUSES = frozenset({429, 503})


@dataclass(frozen=True)
class RetryPolicy:
    """retries: attempts after the first; base_s and cap_s: seconds. sleep and uniform are replaced in tests."""

    retries: int = 5
    base_s: float = 0.2
    cap_s: float = 10.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def wait(self, attempt: int, retry_after_s: float | None = None) -> bool:
        """Sleep before retry number attempt (0-based); False, without sleeping, when there is to be no retry."""
        if attempt >= self.retries:
            return False
        if retry_after_s is not None and retry_after_s > MAX_RETRY_AFTER_S:
            return False
        jitter_s = self.uniform(0.0, min(self.cap_s, self.base_s * 2.0**attempt))
        self.sleep((retry_after_s or 0.0) + jitter_s)
        return True


def retry_after_seconds(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """The Retry-After header in seconds; it may be a number or an HTTP date. None when absent or unreadable."""
    if not value:
        return None
    text = value.strip()
    if text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except ValueError:
        return None
