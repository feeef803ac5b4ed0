"""The files of an evaluation: metrics, curves, confusion, worst images, predictions, comparison, report.html."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataloop_inference.predictions import Prediction, as_json
from dataloop_jobs.dataset import Row
from dataloop_jobs.evaluation import bootstrap, slices
from dataloop_jobs.evaluation.comparison import Contender, compare
from dataloop_jobs.evaluation.evidence import Evidence
from dataloop_jobs.evaluation.page import Contents, render
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.evaluation.thumbnails import pictures
from dataloop_jobs.evaluation.worst import rounded, worst_images
from dataloop_jobs.faults import BadModel
from dataloop_jobs.images import ImageStore
from dataloop_jobs.json_files import replace_file, write_json
from dataloop_jobs.task_types.surface import TaskType

# The same images give the same intervals, run after run.
SEED = 0
# Classes with an interval of their own; with more, the most frequent ones.
_MOST_CLASSES = 200


def write_report(
    folder: Path,
    task: TaskType,
    rows: Sequence[Row],
    predictions: Sequence[Sequence[Prediction]],
    labels: Sequence[str],
    *,
    threshold: float,
    dataset: Mapping[str, Any],
    model_id: str | None = None,
    store: ImageStore | None = None,
    baseline: Contender | None = None,
    model_labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Score the predictions, write the files and return the content of metrics.json.

    labels: all label names, the model's first; model_labels: only those the model knows. dataset: {"version_id",
    "digest"} of what was scored. store: where the report takes the pictures of the worst images from. baseline: another
    model's answers to the same rows; comparison.json is written only then.
    Without rows every number is null and "note" says so. Raises BadModel for a prediction that is not a number.
    """
    _check_scores(rows, predictions)
    scores = task.score(rows, predictions, labels, threshold)
    metrics: dict[str, Any] = {
        "task_type": task.name,
        "primary": {"name": task.primary_name, "value": scores.primary},
        "summary": scores.summary,
        "per_class": scores.per_class,
        "images": len(rows),
        "dataset": {"version_id": dataset.get("version_id"), "digest": dataset.get("digest")},
        "threshold": threshold if task.default_threshold is not None else None,
        "thresholds": scores.thresholds,
        "calibration": scores.calibration,
        **_uncertain(scores, rows, labels),
    }
    if not rows:
        metrics["note"] = "the test split is empty: nothing was measured"
    worst = worst_images(scores.evidence, rows, predictions, labels, threshold) if scores.evidence else []
    comparison = None
    if baseline is not None:
        new = Contender(model_id, task, tuple(model_labels or labels), predictions, threshold)
        comparison = compare(new, baseline, rows, labels, SEED)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", metrics, indent=1)
    write_json(folder / "curves.json", scores.curves)
    write_json(folder / "confusion.json", scores.confusion)
    write_json(folder / "worst.json", {"images": worst})
    _write_predictions(folder / "predictions.jsonl", rows, predictions, labels)
    if comparison is not None:
        write_json(folder / "comparison.json", comparison, indent=1)
    shown = pictures(worst, {row.uid: row for row in rows}, store) if store else []
    contents = Contents(metrics, scores.curves, scores.confusion, worst, shown, comparison, model_id)
    replace_file(folder / "report.html", render(contents).encode())
    return metrics


def _uncertain(scores: Scores, rows: Sequence[Row], labels: Sequence[str]) -> dict[str, Any]:
    """confidence, slices and slices_left_out of metrics.json."""
    members, left_out = slices.groups(rows)
    evidence = scores.evidence
    if evidence is None:
        return {"confidence": None, "slices": {}, "slices_left_out": left_out}
    resamples = bootstrap.resamples_for(evidence.size)
    confidence = {
        "level": bootstrap.LEVEL,
        "resamples": resamples,
        "seed": SEED,
        "primary": bootstrap.primary_interval(evidence, resamples, SEED),
        "per_class": _class_intervals(evidence, scores, labels, resamples),
    }
    return {
        "confidence": confidence,
        "slices": slices.slices(evidence, members, SEED),
        "slices_left_out": left_out,
    }


def _class_intervals(
    evidence: Evidence, scores: Scores, labels: Sequence[str], resamples: int
) -> dict[str, list[float] | None]:
    if evidence.images < 2:
        return {}
    seen = [number for number, label in enumerate(labels) if scores.per_class[label]["support"]]
    seen.sort(key=lambda number: -(scores.per_class[labels[number]]["support"] or 0))
    drawn = bootstrap.resampled(evidence, evidence.per_class, resamples, SEED)
    return {labels[number]: bootstrap.interval(drawn[:, number]) for number in sorted(seen[:_MOST_CLASSES])}


def _check_scores(rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]]) -> None:
    for row, found_in_row in zip(rows, predictions, strict=True):
        for found in found_in_row:
            if not math.isfinite(found.score) or (found.box and not all(map(math.isfinite, found.box))):
                raise BadModel(
                    f"image uid={row.uid}: the model gives score {found.score} and box {found.box}; its weights or its "
                    "ONNX file hold values that are not numbers: train or export it again"
                )


def _write_predictions(
    path: Path, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
) -> None:
    lines = []
    for row, found_in_row in zip(rows, predictions, strict=True):
        line = {
            "uid": row.uid,
            "predictions": [as_json(found, labels) for found in found_in_row],
            "truth": [{"label": labels[truth.label], "box": rounded(truth.box)} for truth in row.truths],
        }
        lines.append(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
    replace_file(path, "".join(lines).encode())
