"""The files of an evaluation: metrics.json, curves.json, confusion.json, predictions.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataloop_jobs.dataset import Row
from dataloop_jobs.json_files import replace_file, write_json
from dataloop_jobs.predictions import Prediction
from dataloop_jobs.task_types.surface import TaskType

# An attribute with more values than this tells images apart rather than kinds of images.
_MOST_VALUES = 50


def write_report(
    folder: Path,
    task: TaskType,
    rows: Sequence[Row],
    predictions: Sequence[Sequence[Prediction]],
    labels: Sequence[str],
    *,
    threshold: float,
    dataset: Mapping[str, Any],
) -> dict[str, Any]:
    """Score the predictions, write the four files and return the content of metrics.json.

    labels: all label names, the model's first. dataset: {"version_id", "digest"} of what was scored.
    Without rows every number is null and "note" says so.
    """
    scores = task.score(rows, predictions, labels, threshold)
    metrics: dict[str, Any] = {
        "task_type": task.name,
        "primary": {"name": task.primary_name, "value": scores.primary},
        "summary": scores.summary,
        "per_class": scores.per_class,
        "slices": _slices(task, rows, predictions, labels, threshold),
        "images": len(rows),
        "dataset": {"version_id": dataset.get("version_id"), "digest": dataset.get("digest")},
        "threshold": threshold if task.needs_boxes else None,
    }
    if not rows:
        metrics["note"] = "the test split is empty: nothing was measured"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", metrics, indent=1)
    write_json(folder / "curves.json", scores.curves)
    write_json(folder / "confusion.json", scores.confusion)
    _write_predictions(folder / "predictions.jsonl", rows, predictions, labels)
    return metrics


def _slices(
    task: TaskType,
    rows: Sequence[Row],
    predictions: Sequence[Sequence[Prediction]],
    labels: Sequence[str],
    threshold: float,
) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """The primary metric for each value of each attribute with 2 to 50 values."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, row in enumerate(rows):
        for name, value in row.attributes.items():
            groups[name][value].append(index)
    slices: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for name in sorted(groups):
        if len(groups[name]) > _MOST_VALUES:
            continue
        slices[name] = {}
        for value, members in sorted(groups[name].items()):
            part = task.score([rows[i] for i in members], [predictions[i] for i in members], labels, threshold)
            slices[name][value] = {"primary": part.primary, "images": len(members)}
    return slices


def _write_predictions(
    path: Path, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
) -> None:
    lines = []
    for row, found_in_row in zip(rows, predictions, strict=True):
        line = {
            "uid": row.uid,
            "predictions": [
                {"label": labels[found.label], "score": round(found.score, 6), "box": _box(found.box)}
                for found in found_in_row
            ],
            "truth": [{"label": labels[truth.label], "box": _box(truth.box)} for truth in row.truths],
        }
        lines.append(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
    replace_file(path, "".join(lines).encode())


def _box(box: tuple[float, float, float, float] | None) -> list[float] | None:
    return None if box is None else [round(value, 6) for value in box]
