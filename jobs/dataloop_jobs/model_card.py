"""The model card: what a model is, what it learnt from, how good it is, and how that was found out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloop_jobs.json_files import replace_file, write_json

# Characters of a name that the card for people shows; model_card.json has all of it.
_LONGEST = 200
_MARKUP = re.compile(r"[<>&|\\`*\[\]]")


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write model_card.json and the same as model_card.md for people."""
    write_json(folder / "model_card.json", card, indent=1)
    replace_file(folder / "model_card.md", _markdown(card).encode())


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _markdown(card: Mapping[str, Any]) -> str:
    metrics, data, training = card["metrics"], card["data"], card["training"]
    lines = [
        f"# Model {card['model_id'] or '(no id)'}",
        "",
        f"{card['task_type'].replace('_', ' ').capitalize()} of {len(card['labels'])} labels with {card['architecture']}, "
        f"input {card['image_size']} × {card['image_size']} pixels.",
        "",
        "## Result on the test split",
        "",
        f"{metrics['primary']['name']}: **{_number(metrics['primary']['value'])}** on {_images(metrics['images'])}.",
    ]
    if "note" in metrics:
        lines += ["", f"Note: {metrics['note']}."]
    columns = sorted({name for scores in metrics["per_class"].values() for name in scores} - {"support"})
    lines += ["", f"| label | {' | '.join(columns)} | support |", f"|---|{'---|' * (len(columns) + 1)}"]
    for label, scores in metrics["per_class"].items():
        values = " | ".join(_number(scores.get(name)) for name in columns)
        lines.append(f"| {_cell(label)} | {values} | {scores['support']} |")
    lines += [
        "",
        "## Data",
        "",
        *(f"- {name}: {_cell(str(value))}" for name, value in data.items() if not isinstance(value, Mapping)),
        *(f"- {name} dataset: {_pairs(value)}" for name, value in data.items() if isinstance(value, Mapping)),
        "",
        "## Training",
        "",
        *(f"- {name}: {_cell(str(value))}" for name, value in training.items() if not isinstance(value, Mapping)),
        f"- parameters: {_pairs(training['parameters'])}",
        "",
        *_compression(card.get("compression")),
        "## ONNX",
        "",
        f"Opset {card['onnx']['opset']}; outputs differ from torch by at most {card['onnx']['max_abs_diff']:.2g} on "
        f"{_images(card['onnx']['samples'])} ({card['onnx']['tolerance']:g} is allowed).",
        "",
    ]
    return "\n".join(lines)


def _compression(report: Mapping[str, Any] | None) -> list[str]:
    """The section on what pruning or quantising the parent cost and gained; nothing for other models."""
    if report is None:
        return []
    stages = (("parent", "before"), (report["kind"], "after"), ("fine-tuned", "after_finetune"))
    rows = [
        f"| {name} | {_number(report[stage]['primary'])} | {report[stage]['size_bytes'] / 1e6:.2f} | "
        f"{report[stage]['macs'] / 1e6:.0f} | {report[stage]['parameters'] / 1e6:.2f} | {report[stage]['latency_ms']:.1f} |"
        for name, stage in stages
    ]
    verdict = "it may be released" if report["kept"] else "a release refuses it"
    return [
        "## Compression",
        "",
        f"Lost {_number(report['drop'])} of the parent's {report['metric']}, {report['allowed']:g} is allowed: {verdict}.",
        "",
        f"| | {report['metric']} | ONNX MB | M multiplications | M parameters | ms an image |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–" if value is None else str(value)


def _cell(text: str) -> str:
    """Anything as plain text of a table's cell: one line, cut, and no character that Markdown or HTML gives a meaning."""
    line = " ".join(text.split())
    cut = line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", cut)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(str(value))}" for name, value in values.items() if value is not None)
