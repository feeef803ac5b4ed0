"""Charts as inline SVG, without numbers from outside in their markup but those they draw. Text is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from unicodedata import category

_WIDTH, _HEIGHT = 340, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 10, 32
# Colours of lines, in report.css as .s0 to .s7.
SERIES = 8
# Unicode's control, format and surrogate characters.
_INVISIBLE = ("Cc", "Cf", "Cs")

Points = Sequence[tuple[float, float]]


def text(value: object, longest: int = 80) -> str:
    """Anything as text of a page: escaped, cut to a length a page can bear, without invisible characters (which could
    turn round what stands beside it).
    """
    said = "".join("\ufffd" if category(one) in _INVISIBLE else one for one in str(value))
    shown = said if len(said) <= longest else said[: longest - 1] + "…"
    return f"<bdi>{escape(shown)}</bdi>"


def line_chart(title: str, x_name: str, lines: Mapping[str, Points], diagonal: bool = False) -> str:
    """Lines over 0…1 × 0…1 with a legend of their names. diagonal: also the line of chance (or of being right)."""
    marks = [_axes(x_name)]
    if diagonal:
        marks.append(f'<path class="chance" d="{_path([(0, 0), (1, 1)])}"/>')
    for number, points in enumerate(lines.values()):
        if len(points) == 1:
            x, y = _place(*points[0])
            marks.append(f'<circle class="s{number % SERIES}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        else:
            marks.append(f'<path class="line s{number % SERIES}" d="{_path(points)}"/>')
    names = "".join(f'<li class="s{n % SERIES}">{text(name, 40)}</li>' for n, name in enumerate(lines))
    legend = f'<ul class="legend">{names}</ul>' if len(lines) > 1 else ""
    return _figure(title, "".join(marks), legend)


def calibration_chart(title: str, bins: Sequence[Mapping[str, float]]) -> str:
    """Bars of the share that was right, by score; the diagonal is what it should be."""
    marks = [_axes("score")]
    for one in bins:
        if not one["count"]:
            continue
        left, top = _place(one["from"], one["accuracy"])
        right, bottom = _place(one["to"], 0)
        marks.append(
            f'<rect class="bar" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
            f'height="{bottom - top:.1f}"><title>{one["count"]} of score {one["from"]} to {one["to"]}: '
            f"{one['accuracy']:.3f} right</title></rect>"
        )
    marks.append(f'<path class="chance" d="{_path([(0, 0), (1, 1)])}"/>')
    return _figure(title, "".join(marks), "")


def range_bar(value: float, ends: Sequence[float] | None, low: float = 0.0, high: float = 1.0) -> str:
    """A horizontal bar from zero with a whisker for the interval, all between low and high."""
    span = (high - low) or 1.0

    def at(number: float) -> float:
        return 100 * min(1.0, max(0.0, (number - low) / span))

    start, end = sorted((at(0.0), at(value)))
    fill = f'<i class="fill" style="left:{start:.2f}%;width:{end - start:.2f}%"></i>'
    whisker = ""
    if ends is not None:
        first, last = at(ends[0]), at(ends[1])
        whisker = f'<i class="whisker" style="left:{first:.2f}%;width:{last - first:.2f}%"></i>'
    zero = f'<i class="zero" style="left:{at(0.0):.2f}%"></i>' if low < 0 else ""
    return f'<span class="track">{fill}{zero}{whisker}</span>'


def _figure(title: str, marks: str, legend: str) -> str:
    return (
        f'<figure class="card"><figcaption>{text(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{marks}</svg>{legend}</figure>'
    )


def _axes(x_name: str) -> str:
    marks = []
    for step in range(5):
        share = step / 4
        x, y = _place(share, share)
        marks.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        marks.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{share:g}</text>')
        anchor = "end" if step == 4 else "middle"
        marks.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="{anchor}">{share:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    marks.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>')
    return "".join(marks)


def _place(x: float, y: float) -> tuple[float, float]:
    across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return _LEFT + across * min(1.0, max(0.0, x)), _TOP + up * (1 - min(1.0, max(0.0, y)))


def _path(points: Points) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (_place(*point) for point in points))
