"""sensitivity.svg: one small chart a group of channels, all on the same axes, the most sensitive first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

_COLUMNS = 3
_WIDTH, _HEIGHT, _GAP = 300, 150, 16
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 40, 24
_HEAD = 78
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 }
.title { font-size: 18px; font-weight: 600; fill: #111 }
.name { font-weight: 600; fill: #111 }
.small { font-size: 10px; fill: #666 }
.axis { stroke: #bbb } .grid { stroke: #eee }
.base { stroke: #888; stroke-dasharray: 4 3 }
.curve { fill: none; stroke-width: 2 }
""".strip()
# Loss at half of the channels, as a share of the baseline, from which a curve is drawn in the next colour
# (blue, orange, red-purple: told apart with the common colour blindnesses).
_COLOURS = ((0.05, "#0072b2"), (0.25, "#e69f00"), (float("inf"), "#b8336a"))


Layer = Mapping[str, Any]


def draw(report: Mapping[str, Any]) -> str:
    """The content of sensitivity.json as SVG text. Values that could not be computed are left out."""
    baseline, layers = report["baseline"], report["layers"]
    ranked = sorted(layers, key=lambda layer: -_loss(layer, baseline))
    known = [value for layer in layers for value in layer["values"] if value is not None]
    top = max([*known, baseline or 0.0, 1e-9])
    top = min(1.0, top * 1.1) if top <= 1 else top * 1.1
    rows = -(-len(ranked) // _COLUMNS)
    width = _COLUMNS * (_WIDTH + _GAP) + _GAP
    height = _HEAD + rows * (_HEIGHT + _GAP) + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Sensitivity of {len(layers)} groups of channels to pruning">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="{_GAP}" y="30">{escape(report["metric"])} without a share of the channels, '
        "not retrained</text>",
        f'<text x="{_GAP}" y="50">{report["images"]} images; whole network {_number(baseline)} (dashed). Most sensitive first. '
        "Across: channels removed; up: the metric.</text>",
        _legend(),
    ]
    for number, layer in enumerate(ranked):
        x = _GAP + number % _COLUMNS * (_WIDTH + _GAP)
        y = _HEAD + number // _COLUMNS * (_HEIGHT + _GAP)
        parts.append(f'<g transform="translate({x} {y})">{_chart(layer, baseline, top)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> str:
    words = (f"loses under {_COLOURS[0][0]:.0%} at half", f"under {_COLOURS[1][0]:.0%}", "more")
    parts, x = [], _GAP
    for (_, colour), text in zip(_COLOURS, words, strict=True):
        parts.append(f'<rect x="{x}" y="59" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text class="small" x="{x + 20}" y="65">{text}</text>')
        x += 34 + 6 * len(text)
    return "".join(parts)


def _chart(layer: Layer, baseline: float | None, top: float) -> str:
    across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(ratio: float, value: float) -> tuple[float, float]:
        return round(_LEFT + ratio * across, 1), round(_TOP + (1 - value / top) * up, 1)

    left, bottom = at(0, 0)
    right, ceiling = at(1, top)
    parts = [
        f'<text class="name" x="0" y="12">{escape(layer["name"])}</text>',
        f'<text class="small" x="0" y="26">{layer["channels"]} channels, {layer["macs"] / 1e6:.1f} M multiplications, '
        f"{layer['parameters'] / 1e3:.0f} k weights</text>",
    ]
    for share in (0.25, 0.5, 0.75, 1.0):
        x, _ = at(share, 0)
        parts.append(f'<path class="grid" d="M{x} {ceiling}V{bottom}"/>')
        parts.append(f'<text class="small" x="{x}" y="{bottom + 14}" text-anchor="middle">{share:.0%}</text>')
    for value in (0.0, top / 2, top):
        _, y = at(0, value)
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
        parts.append(f'<text class="small" x="{left - 5}" y="{y + 3}" text-anchor="end">{value:.2f}</text>')
    parts.append(f'<path class="axis" d="M{left} {ceiling}V{bottom}H{right}" fill="none"/>')
    if baseline is not None:
        _, y = at(0, baseline)
        parts.append(f'<path class="base" d="M{left} {y}H{right}"/>')
    points = [(0.0, baseline), *zip(layer["ratios"], layer["values"], strict=True)]
    placed = [at(ratio, value) for ratio, value in points if value is not None]
    colour = next(colour for limit, colour in _COLOURS if _loss(layer, baseline) < limit)
    line = " ".join(f"{x},{y}" for x, y in placed)
    parts.append(f'<polyline class="curve" stroke="{colour}" points="{line}"/>')
    parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in placed]
    return "".join(parts)


def _loss(layer: Layer, baseline: float | None) -> float:
    """Share of the baseline that is lost at the ratio nearest to a half."""
    known = [(abs(ratio - 0.5), value) for ratio, value in zip(layer["ratios"], layer["values"], strict=True)]
    value = min(known)[1] if known else None
    return 1 - value / baseline if value is not None and baseline else 0.0


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
