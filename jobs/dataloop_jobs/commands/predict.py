"""`run.py predict`: what a model says about images that nobody has labelled, with the model's ONNX graph."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from dataloop_inference.decoding import decode
from dataloop_inference.images import normalise
from dataloop_inference.predictions import as_json
from dataloop_inference.session import onnx_runner
from dataloop_jobs.commands.evaluate import threads_from_environment
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.dataset import Row, read_image_list
from dataloop_jobs.faults import BadDataset, BadImage, BadParameter
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import BATCH
from dataloop_jobs.json_files import replace_file, write_json
from dataloop_jobs.model_folder import Model, check_labels, read_model

SCORE_VARIABLE = "PREDICT_MIN_SCORE"
# Every image is used once: keeping them would only take memory.
_NO_CACHE = 0


def predict(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write predictions.jsonl, one line an image in the order of images.jsonl, and summary.json.

    An image that cannot be used has "error" instead of "predictions" and spoils nothing; if none can be used, raises
    BadDataset with the first reason. Also raises BadModel, BadParameter or Interrupted.
    """
    progress = Progress()
    model = read_model(folders.input("model"))
    min_score = _min_score(model)
    rows = read_image_list(folders.input("dataset"))
    store = ImageStore(folders.input("images"), model.image_size, _NO_CACHE)
    counts: Counter[str] = Counter()
    lines: list[str] = []
    reasons: list[str] = []
    progress.report("predict", 0, len(rows), "images")
    for line in _lines(model, rows, store, min_score):
        counts.update(found["label"] for found in line.get("predictions", ()))
        reasons += [line["error"]] if "error" in line else []
        lines.append(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
        stop.leave_if_requested()
        progress.report("predict", len(lines), len(rows), "images")
    if len(reasons) == len(rows):
        raise BadDataset(f"none of the {len(rows)} images could be used; the first: {reasons[0]}")
    folders.output.mkdir(parents=True, exist_ok=True)
    replace_file(folders.output / "predictions.jsonl", "".join(lines).encode())
    summary = {
        "images": len(rows),
        "failed": len(reasons),
        "predictions": counts.total(),
        "labels": dict(sorted(counts.items())),
        "min_score": min_score,
        "model_id": model.description.get("model_id"),
        "task_type": model.task.name,
    }
    write_json(folders.output / "summary.json", summary, indent=1)


def _lines(model: Model, rows: list[Row], store: ImageStore, min_score: float) -> Iterator[dict[str, Any]]:
    """One line an image; a batch that holds a bad image goes on without it."""
    run = onnx_runner(model.graph, threads_from_environment())
    for start in range(0, len(rows), BATCH):
        loaded, problems = {}, {}
        batch = rows[start : start + BATCH]
        for row in batch:
            try:
                loaded[row.uid] = store.load(row)
            except BadImage as error:
                problems[row.uid] = str(error)
        found = {}
        if loaded:
            pixels, fits = zip(*loaded.values(), strict=True)
            outputs = run(normalise(np.stack(pixels)))
            answers = decode(model.decode_settings, outputs, fits)
            check_labels(answers, model.labels)
            found = dict(zip(loaded, answers, strict=True))
        for row in batch:
            if row.uid in problems:
                yield {"uid": row.uid, "error": problems[row.uid]}
                continue
            kept = [as_json(one, model.labels) for one in found[row.uid] if one.score >= min_score]
            yield {"uid": row.uid, "predictions": kept}


def _min_score(model: Model) -> float:
    """PREDICT_MIN_SCORE, else the model's own threshold."""
    asked = os.environ.get(SCORE_VARIABLE, "")
    if not asked:
        return model.threshold
    try:
        value = float(asked)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise BadParameter(SCORE_VARIABLE, asked, "must be a number from 0 to 1")
    return value
