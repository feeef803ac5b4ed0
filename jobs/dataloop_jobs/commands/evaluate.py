"""`run.py evaluate`: score any model on the test split of any dataset version, with the model's ONNX graph."""

from __future__ import annotations

import os

from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.dataset import read_dataset
from dataloop_jobs.evaluation.report import write_report
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import onnx_runner, predict
from dataloop_jobs.model_folder import read_model

# Every image is used once: keeping them would only take memory.
_NO_CACHE = 0


def evaluate(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write metrics.json, curves.json, confusion.json and predictions.jsonl. Raises JobFault or Interrupted."""
    progress = Progress()
    model = read_model(folders.input("model"))
    task = model.task
    dataset = read_dataset(
        folders.input("dataset"), needs_boxes=task.needs_boxes, splits=("test",), labels=model.labels
    )
    labels = (*dataset.labels, *dataset.unknown_labels)
    task.check_rows(dataset.test, labels)
    rows = task.usable(dataset.test)
    store = ImageStore(folders.input("images"), model.image_size, _NO_CACHE)

    def advanced(done: int, total: int) -> None:
        stop.leave_if_requested()
        progress.report("evaluate", done, total, "images")

    run = onnx_runner(model.graph, threads_from_environment())
    write_report(
        folders.output,
        task,
        rows,
        predict(run, task, rows, store, model.decode_settings, advanced),
        labels,
        threshold=model.threshold,
        dataset=dataset.spec.get("test") or dataset.spec.get("dataset") or {},
    )


def threads_from_environment() -> int:
    """CPU threads of a processing job: DATALOOP_JOB_THREADS, else at most two of the machine's cores."""
    asked = os.environ.get("DATALOOP_JOB_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else min(2, os.cpu_count() or 1)
