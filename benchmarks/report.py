"""The table people read and the JSON that machines keep."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import Spread
from benchmarks.scenario import Figure, Result

_HEAD = ("scenario", "figure", "ours", "rival", "ratio (min–max)", "budget", "met")


def machine() -> str:
    """The machine, named by nothing but cores and Python, and how busy it was in the last minute and quarter of an hour.

    Above the number of cores everything waits: CPU figures then swell by a fifth or more, wall times by a multiple.
    """
    last, _, longer = os.getloadavg()
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, load {last:.1f} (15 min: {longer:.1f})"


def table(result: Result) -> str:
    """The figures as aligned text."""
    rows = [_HEAD, *(_row(name, figure) for name, figures in result.items() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(scenario: str, figure: Figure) -> tuple[str, ...]:
    ratio = figure.ratio
    rival = f"{figure.rival_name}: {_spread(figure.rival, figure.unit)}" if figure.rival else figure.rival_name or "–"
    return (
        scenario,
        figure.name,
        _spread(figure.ours, figure.unit),
        rival,
        _ratio(ratio) if ratio else "–",
        figure.budget.text(figure.unit) if figure.budget else "–",
        {None: "–", True: "yes", False: "NO"}[figure.met],
    )


def _spread(spread: Spread, unit: str) -> str:
    text = f"{_number(spread.median)} {unit}".strip()
    if len(spread.samples) > 1:
        text += f" ({_number(spread.low)}–{_number(spread.high)})"
    return text


def _ratio(spread: Spread) -> str:
    text = f"{spread.median:.2f}×"
    return f"{text} ({spread.low:.2f}–{spread.high:.2f})" if len(spread.samples) > 1 else text


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def document(result: Result, seconds: Mapping[str, float], notes: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "quick": quick,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "notes": list(notes),
        "scenarios": {name: [_figure(figure) for figure in figures] for name, figures in result.items()},
    }


def _figure(figure: Figure) -> dict[str, Any]:
    ratio, rival = figure.ratio, figure.rival
    return {
        "name": figure.name,
        "unit": figure.unit,
        "ours": _samples(figure.ours),
        "rival": {"name": figure.rival_name, **_samples(rival)} if rival else None,
        "ratio": _samples(ratio) if ratio else None,
        "budget": figure.budget.text(figure.unit) if figure.budget else None,
        "met": figure.met,
    }


def _samples(spread: Spread) -> dict[str, Any]:
    return {"median": spread.median, "min": spread.low, "max": spread.high, "samples": list(spread.samples)}
