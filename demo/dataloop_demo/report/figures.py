"""How the page writes figures."""

from __future__ import annotations

NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return NONE if value is None else f"{value:,.{digits}f}"


def dollars(value: float) -> str:
    """Cents above a dollar, else hundredths of a cent."""
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes and seconds."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
