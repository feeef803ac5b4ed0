"""Charts as plain SVG text: no library, no script. Colours come from the page's style sheet, so they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Point = tuple[float, float]
Json = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """A line: its name, its style class (`one`, `two`) and its points."""

    name: str
    style: str
    points: tuple[Point, ...]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "",
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    whole_x: bool = False,
    size: tuple[int, int] = (360, 210),
    dots: bool = False,
) -> str:
    """A line chart with axes; series without points are left out, a chart without any says so.

    y_range, x_range: least and greatest value shown; by default those of the points, rounded outward.
    """
    drawn = [each for each in series if each.points]
    if not drawn:
        return f'<p class="quiet">{escape(title)}: no values</p>'
    xs = [x for each in drawn for x, _ in each.points]
    ys = [y for each in drawn for _, y in each.points]
    x_low, x_high = x_range or (min(xs), max(max(xs), min(xs) + 1e-9))
    y_ticks = _ticks(*(y_range or (min(0.0, min(ys)), max(ys))))
    y_low, y_high = y_ticks[0], y_ticks[-1]
    width, height = size
    left, right, top, bottom = 40, 10, 26, 32 if x_label else 22

    def at(x: float, y: float) -> str:
        across = left + (x - x_low) / (x_high - x_low or 1) * (width - left - right)
        down = height - bottom - (y - y_low) / (y_high - y_low or 1) * (height - top - bottom)
        return f"{across:.1f},{down:.1f}"

    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    parts.append(f'<text class="title" x="{left}" y="14">{escape(title)}</text>')
    for tick in y_ticks:
        start, end = at(x_low, tick).split(","), at(x_high, tick).split(",")
        parts.append(f'<line class="grid" x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}"/>')
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{float(start[1]) + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>'
        )
    for tick in _x_ticks(x_low, x_high, whole_x):
        across = at(tick, y_low).split(",")[0]
        parts.append(
            f'<text class="tick" x="{across}" y="{height - bottom + 14}" text-anchor="middle">{_short(tick)}</text>'
        )
    if x_label:
        middle = (left + width - right) / 2
        parts.append(
            f'<text class="tick" x="{middle:.0f}" y="{height - 3}" text-anchor="middle">{escape(x_label)}</text>'
        )
    for each in drawn:
        joined = " ".join(at(x, y) for x, y in each.points)
        parts.append(
            f'<polyline class="line {each.style}" points="{joined}"><title>{escape(each.name)}</title></polyline>'
        )
        if dots:
            parts.extend(_dots(each, at))
    parts.append("</svg>")
    return "".join(parts)


def _dots(series: Series, at: Any) -> Iterable[str]:
    for x, y in series.points:
        across, down = at(x, y).split(",")
        text = escape(f"{series.name}: {_short(x)} → {y:.3g}")
        yield f'<circle class="dot {series.style}" cx="{across}" cy="{down}" r="2.6"><title>{text}</title></circle>'


def _ticks(low: float, high: float) -> list[float]:
    """About four round values that enclose low..high."""
    span = (high - low) or 1.0
    raw = span / 4
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if raw <= unit * factor * 1.0000001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def _x_ticks(low: float, high: float, whole: bool) -> list[float]:
    if whole:
        step = max(1, math.ceil((high - low) / 8))
        return [float(value) for value in range(math.ceil(low), math.floor(high) + 1, step)]
    return [tick for tick in _ticks(low, high) if low - 1e-9 <= tick <= high + 1e-9]


def _short(value: float) -> str:
    return f"{value:.10g}" if value == int(value) else f"{value:.3g}"


def scene(picture: Json, boxes: Iterable[Json]) -> str:
    """An image with its boxes. Boxes are (left, top, width, height) as shares of the image; kind is a style class:
    truth, right, wrong or missed. Truth is only outlined; predictions carry label and score."""
    width, height = int(picture["width"]), int(picture["height"])
    size = max(width, height) / 15
    parts = [
        f'<svg class="scene" viewBox="0 0 {width} {height}" role="img">',
        f'<image href="{picture["src"]}" width="{width}" height="{height}"/>',
    ]
    # Outlines of the truth first, then what the model said, so that its text stays on top.
    order = {"truth": 0, "missed": 1, "wrong": 2, "right": 3}
    for box in sorted(boxes, key=lambda each: order[each["kind"]]):
        left, top, wide, high = (
            value * side for value, side in zip(box["box"], (width, height, width, height), strict=True)
        )
        parts.append(
            f'<rect class="{box["kind"]}" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
        )
        if box["kind"] != "truth":
            parts.append(_tag(box, left, top, high, size, (width, height)))
    parts.append("</svg>")
    return "".join(parts)


def _tag(box: Json, left: float, top: float, high: float, size: float, picture: tuple[int, int]) -> str:
    score = f" {box['score']:.2f}" if box.get("score") is not None else ""
    text = f"{box['label']}{score}" if box["kind"] != "missed" else f"{box['label']} missed"
    # Room for the text; digits and small letters are about 0.56 of the font's size wide.
    wide = (len(text) * 0.56 + 0.5) * size
    across = max(0.0, min(left, picture[0] - wide))
    above, below = top - size * 1.15, min(top + high, picture[1] - size * 1.15)
    # A missed object often has a wrong box on it: their texts go to opposite ends.
    down = below if box["kind"] == "missed" or above < 0 else above
    return (
        f'<g class="tag {box["kind"]}"><rect x="{across:.1f}" y="{down:.1f}" width="{wide:.1f}" height="{size * 1.15:.1f}"/>'
        f'<text x="{across + size * 0.25:.1f}" y="{down + size * 0.9:.1f}" font-size="{size:.1f}">{escape(text)}</text></g>'
    )
