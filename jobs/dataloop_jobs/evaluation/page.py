"""report.html: one file for people. No scripts, nothing from outside; every name in it is treated as hostile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataloop_jobs.evaluation.comparison_section import comparison_section
from dataloop_jobs.evaluation.curve_sections import confusion_section, curve_section
from dataloop_jobs.evaluation.figures import range_bar, text
from dataloop_jobs.evaluation.thumbnails import Picture
from dataloop_jobs.evaluation.worst_section import worst_section

# A browser that obeys this runs nothing and asks for nothing, whatever a label contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# With more, those with most truths; the rest stands in metrics.json.
_MOST_CLASSES = 40
_MOST_SLICES = 25
# Fields of per_class that may be the class's part of the primary metric, the first that is there.
CLASS_SCORES = ("mask_AP50", "AP50", "AP", "iou", "f1")


@dataclass(frozen=True)
class Contents:
    """What the page shows: the contents of the JSON files, and pictures of the worst images."""

    metrics: Mapping[str, Any]
    curves: Mapping[str, Any]
    confusion: Mapping[str, Any]
    worst: Sequence[Mapping[str, Any]]
    pictures: Sequence[Picture]
    comparison: Mapping[str, Any] | None
    model_id: str | None


def render(contents: Contents) -> str:
    """The whole page."""
    metrics = contents.metrics
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    sections = [
        comparison_section(contents.comparison) if contents.comparison else "",
        _class_section(metrics),
        _slice_section(metrics),
        curve_section(contents.curves, metrics),
        confusion_section(contents.confusion),
        worst_section(contents.worst, contents.pictures),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation</title><style>{style}</style></head><body>"
        f"<header>{_head(contents)}</header><main>{''.join(sections)}</main>"
        '<footer class="quiet">Numbers: metrics.json, curves.json, confusion.json, worst.json, predictions.jsonl beside '
        "this file.</footer></body></html>\n"
    )


def number(value: float | None) -> str:
    """Three decimals, or a dash where there is no number."""
    return "–" if value is None else f"{value:.3f}"


def _head(contents: Contents) -> str:
    metrics = contents.metrics
    primary, confidence = metrics["primary"], metrics.get("confidence") or {}
    ends = confidence.get("primary")
    said = f" <small>{ends[0]:.3f} to {ends[1]:.3f}</small>" if ends else ""
    meaning = (
        f"{confidence['level']:.0%} interval from {confidence['resamples']} resamples of the images"
        if ends
        else metrics.get("note", "too few images for an interval")
    )
    tiles = "".join(
        f'<div class="card tile"><b>{number(value)}</b><span>{text(name)}</span></div>'
        for name, value in metrics["summary"].items()
        if name != primary["name"]
    )
    model = f"Model {text(contents.model_id)} · " if contents.model_id else ""
    version = metrics["dataset"].get("version_id")
    threshold = metrics.get("threshold")
    return (
        f"<h1>{text(metrics['task_type'].replace('_', ' ').capitalize())}: {text(primary['name'])}</h1>"
        f'<p class="quiet">{model}{metrics["images"]} test images'
        f"{' · dataset version ' + text(version) if version else ''}"
        f"{f' · threshold {threshold:.3f}' if threshold is not None else ''}</p>"
        f'<div class="headline">{number(primary["value"])}{said}</div><p class="quiet">{text(meaning)}</p>'
        f'<div class="tiles">{tiles}</div>'
    )


def _class_section(metrics: Mapping[str, Any]) -> str:
    per_class: Mapping[str, Mapping[str, Any]] = metrics["per_class"]
    field = next((name for name in CLASS_SCORES if any(name in entry for entry in per_class.values())), None)
    seen = [(label, entry) for label, entry in per_class.items() if entry.get("support")]
    if field is None or not seen:
        return ""
    shown = sorted(seen, key=lambda pair: -pair[1]["support"])[:_MOST_CLASSES]
    shown.sort(key=lambda pair: -1.0 if pair[1][field] is None else pair[1][field])
    ends = (metrics.get("confidence") or {}).get("per_class") or {}
    rows = "".join(_row(label, entry[field], ends.get(label), entry["support"]) for label, entry in shown)
    more = f" The {_MOST_CLASSES} most frequent of {len(seen)} classes." if len(seen) > len(shown) else ""
    return (
        f"<section><h2>Classes</h2><p class='quiet'>{text(field)} of each class, the weakest first; the dark line is "
        f"its interval, the grey number how often it occurs.{more}</p><div class='rows'>{rows}</div></section>"
    )


def _slice_section(metrics: Mapping[str, Any]) -> str:
    blocks = []
    for name, values in metrics["slices"].items():
        largest = set(sorted(values, key=lambda value: -values[value]["images"])[:_MOST_SLICES])
        shown = [(value, entry) for value, entry in values.items() if value in largest]
        rows = "".join(_row(value, e["primary"], e["confidence"], e["images"]) for value, e in shown)
        more = f"<p class='quiet'>and {len(values) - len(shown)} more</p>" if len(values) > len(shown) else ""
        blocks.append(f"<h3>{text(name)}</h3><div class='rows'>{rows}</div>{more}")
    if not blocks:
        return ""
    left_out = metrics.get("slices_left_out") or {}
    note = "; ".join(f"{text(name)}: {text(reason)}" for name, reason in left_out.items())
    return (
        f"<section><h2>Slices</h2><p class='quiet'>{text(metrics['primary']['name'])} of parts of the test set, with "
        f"intervals and numbers of images.{' Not sliced by: ' + note + '.' if note else ''}</p>{''.join(blocks)}</section>"
    )


def _row(name: str, value: float | None, ends: Sequence[float] | None, count: int) -> str:
    bar = range_bar(value, ends) if value is not None else '<span class="track"></span>'
    return (
        f'<span class="name">{text(name)}</span>{bar}'
        f'<span class="number">{number(value)} <small>{count:,}</small></span>'
    )
