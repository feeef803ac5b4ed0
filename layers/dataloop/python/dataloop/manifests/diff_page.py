"""A diff as a page for people: one HTML file without scripts, links or outside resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Json = Mapping[str, Any]

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1d2330}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;margin:.5rem 0}
th,td{border-bottom:1px solid #d7dbe3;padding:.25rem .75rem;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em}
.plus{color:#116329}.minus{color:#a40e26}.note{color:#5b6472}
"""
_WORDS = {
    "added": "images added",
    "removed": "images removed",
    "erased": "images erased for good",
    "relabelled": "images labelled anew",
    "moved": "images moved between splits",
    "metadata": "images described anew",
    "annotations": "images with other annotations that say the same",
    "unchanged": "images unchanged",
}
_LABEL_WORDS = {
    "added": "labels added",
    "removed": "labels removed",
    "renamed": "labels renamed",
    "box": "boxes moved",
    "mask": "masks drawn anew",
    "score": "scores changed",
    "crowd": "crowd marks changed",
    "nudge": "boxes moved by less than counts",
}


def page(found: Json, statistics: Mapping[str, Json], first: Sequence[Json]) -> str:
    """found: the summary of a diff; statistics: counts per label; first: the changes to spell out."""
    before, after = found["before"], found["after"]
    title = f"{_name(before)} → {_name(after)}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(["<p>The two hold the same: their digests are equal.</p>"] if found["is_same"] else []),
        _table(
            ("", "before", "after"),
            [
                ("dataset version", _name(before), _name(after)),
                ("digest", before["digest"], after["digest"]),
                *(
                    (f"images in {split}", before["counts"].get(split, 0), after["counts"].get(split, 0))
                    for split in ("train", "val", "test")
                ),
            ],
        ),
        "<h2>Images</h2>",
        _table(("", "images"), [(word, found["images"][name]) for name, word in _WORDS.items()]),
        "<h2>Labels of images in both</h2>",
        _table(("", "labels"), [(word, found["labels"][name]) for name, word in _LABEL_WORDS.items()]),
    ]
    if found["moves"]:
        rows = [(f"{move['from']} → {move['to']}", move["images"]) for move in found["moves"]]
        parts += ["<h2>Moved between splits</h2>", _table(("", "images"), rows)]
    if statistics:
        parts += ["<h2>Labels whose counts differ</h2>", _counts(statistics)]
    if first:
        shown = f"the first {len(first)}; diff.jsonl has all" if len(first) < _changes(found) else "all of them"
        parts += [f"<h2>Changed images <span class=note>({shown})</span></h2>", _images(first)]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _changes(found: Json) -> int:
    images = found["images"]
    return int(images["added"] + images["removed"] + images["erased"] + images["changed"])


def _name(side: Json) -> str:
    return f"{side.get('name', '')} {side.get('version', '')}".strip()


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines = (
        "".join(f"<td{' class=n' if isinstance(cell, int) else ''}>{escape(str(cell))}</td>" for cell in row)
        for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _counts(statistics: Mapping[str, Json]) -> str:
    rows = []
    for label, sides in statistics.items():
        old, new = sum(sides["before"].values()), sum(sides["after"].values())
        rows.append((label, old, new, f"{new - old:+d}"))
    return _table(("label", "before", "after", "difference"), rows)


def _images(changes: Iterable[Json]) -> str:
    lines = []
    for change in changes:
        what = ", ".join(change["change"])
        details = "<br>".join(_details(change)) or "<span class=note>–</span>"
        lines.append(f"<tr><td><code>{escape(change['uid'])}</code></td><td>{escape(what)}</td><td>{details}</td></tr>")
    return f"<table><tr><th>uid</th><th>change</th><th>details</th></tr>{''.join(lines)}</table>"


def _details(change: Json) -> Iterable[str]:
    """Lines of HTML."""
    sides = change["before"], change["after"]
    if sides[0] is None or sides[1] is None:
        side = sides[0] or sides[1] or {}
        names = [label["label"] for each in side["row"]["annotations"] for label in each["labels"]]
        yield escape(f"{side['split']}: {', '.join(names) or 'no labels'}")
        return
    if sides[0]["split"] != sides[1]["split"]:
        yield escape(f"{sides[0]['split']} → {sides[1]['split']}")
    labels = change.get("labels") or {}
    for name, sign in (("added", "+"), ("removed", "−")):
        css = "plus" if name == "added" else "minus"
        yield from (f'<span class="{css}">{sign} {_label(label)}</span>' for label in labels.get(name, ()))
    for pair in labels.get("renamed", ()):
        yield f"{_label(pair['before'])} → {_label(pair['after'])}"
    for pair in labels.get("changed", ()):
        iou = "" if pair["iou"] is None else f", overlap {pair['iou']:.2f}"
        yield f"{_label(pair['before'])}: {escape(', '.join(pair['what']))}{iou}"
    for name, values in (change.get("attributes") or {}).items():
        yield escape(f"{name}: {values['before']} → {values['after']}")


def _label(label: Json) -> str:
    box = "" if label["box"] is None else f" <code>[{', '.join(f'{value:.3f}' for value in label['box'])}]</code>"
    return escape(str(label["label"])) + box
