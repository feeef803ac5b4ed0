"""The part of report.html that shows the worst images with what is there and what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dataloop_jobs.evaluation.figures import text
from dataloop_jobs.evaluation.thumbnails import Picture

_MOST_LINES = 4


def worst_section(worst: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> str:
    """Pictures with boxes; lines of text for images without a picture."""
    if not worst:
        return ""
    by_uid = {picture.uid: picture for picture in pictures}
    shown = [entry for entry in worst if entry["uid"] in by_uid] or worst[:_MOST_LINES]
    figures = "".join(_figure(entry, by_uid.get(entry["uid"])) for entry in shown)
    return (
        f"<section><h2>Worst images</h2><p class='quiet'><span class='key truth'>there</span><span class='key said'>said"
        f"</span> The {len(shown)} worst; {len(worst)} in worst.json.</p><div class='pictures'>{figures}</div></section>"
    )


def _figure(entry: Mapping[str, Any], picture: Picture | None) -> str:
    lines = Counter(_line(fault) for fault in entry["faults"])
    items = [f"<li>{line}{f' × {count}' if count > 1 else ''}</li>" for line, count in lines.most_common(_MOST_LINES)]
    if len(lines) > _MOST_LINES:
        items.append(f"<li>and {len(lines) - _MOST_LINES} more</li>")
    drawn = ""
    if picture is not None:
        boxes = "".join(
            _box(shape["box"], side, picture)
            for side, shapes in (("truth", entry["truth"]), ("said", entry["predictions"]))
            for shape in shapes
            if shape["box"] is not None
        )
        drawn = (
            f'<svg viewBox="0 0 {picture.width} {picture.height}" role="img" aria-label="a test image">'
            f'<image width="{picture.width}" height="{picture.height}" '
            f'href="data:image/jpeg;base64,{picture.jpeg}"/>{boxes}</svg>'
        )
    return (
        f'<figure class="picture">{drawn}<ul>{"".join(items)}</ul>'
        f'<div class="quiet">loss {entry["loss"]:.3f} · {text(entry["uid"], 40)}</div></figure>'
    )


def _line(fault: Mapping[str, Any]) -> str:
    label, said = fault["label"], fault["said"]
    iou = "" if fault["iou"] is None else f" (overlap {fault['iou']:.2f})"
    lines = {
        "missed": f"missed {text(label, 40)}",
        "false": f"false {text(said, 40)}",
        "confused": f"{text(label, 40)} taken for {text(said, 40)}",
        "low_iou": f"{text(label, 40)} badly outlined{iou}",
    }
    return lines[str(fault["kind"])]


def _box(box: Sequence[float], side: str, picture: Picture) -> str:
    left, top, width, height = (
        value * extent for value, extent in zip(box, (picture.width, picture.height) * 2, strict=True)
    )
    return f'<rect class="{side}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
