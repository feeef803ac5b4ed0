"""Times are UTC texts with milliseconds, so that text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """2026-11-22T16:50:00.123Z"""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def day_of(text: str) -> str:
    """yyyymmdd of a time text."""
    return text[:10].replace("-", "")
