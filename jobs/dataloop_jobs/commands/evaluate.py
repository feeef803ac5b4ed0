"""`run.py evaluate`: score any model on the test split of any dataset version, with the model's ONNX graph."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dataloop_inference.predictions import Prediction
from dataloop_inference.session import onnx_runner
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.dataset import Row, read_dataset
from dataloop_jobs.evaluation.comparison import Contender
from dataloop_jobs.evaluation.report import write_report
from dataloop_jobs.faults import BadModel
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import predict
from dataloop_jobs.model_folder import Model, check_labels, read_model

# Every image is used once: keeping them would only take memory.
_NO_CACHE = 0


def evaluate(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write the files of an evaluation (docs/evaluation.md); with the input `baseline`, a second model folder, also
    comparison.json. Raises JobFault or Interrupted.
    """
    progress = Progress()
    model = read_model(folders.input("model"))
    baseline = _baseline(folders, model)
    task = model.task
    dataset = read_dataset(folders.input("dataset"), needs=task.needs, splits=("test",), labels=model.labels)
    labels = (*dataset.labels, *dataset.unknown_labels)
    task.check_rows(dataset.test, labels)
    rows = task.usable(dataset.test)

    def answers(of: Model) -> list[list[Prediction]]:
        return _answers(of, rows, ImageStore(folders.input("images"), of.image_size, _NO_CACHE), progress, stop)

    contender = None
    if baseline is not None:
        contender = Contender(_id(baseline), baseline.task, baseline.labels, answers(baseline), baseline.threshold)
    write_report(
        folders.output,
        task,
        rows,
        answers(model),
        labels,
        threshold=model.threshold,
        dataset=dataset.spec.get("test") or dataset.spec.get("dataset") or {},
        model_id=_id(model),
        store=ImageStore(folders.input("images"), model.image_size, _NO_CACHE),
        baseline=contender,
        model_labels=model.labels,
    )


def _baseline(folders: ProcessingFolders, model: Model) -> Model | None:
    """The second model, before any image is read. Raises BadModel when it is for something else."""
    folder = folders.optional_input("baseline")
    if folder is None:
        return None
    baseline = read_model(folder)
    if baseline.task.name != model.task.name:
        raise BadModel(
            f"the baseline is a {baseline.task.name} model, the evaluated one is for {model.task.name}: "
            "compare models of one task type"
        )
    return baseline


def _answers(
    model: Model, rows: Sequence[Row], store: ImageStore, progress: Progress, stop: StopRequest
) -> list[list[Prediction]]:
    def advanced(done: int, total: int) -> None:
        stop.leave_if_requested()
        progress.report("evaluate", done, total, "images")

    run = onnx_runner(model.graph, threads_from_environment())
    answers = predict(run, model.task, rows, store, model.decode_settings, advanced)
    check_labels(answers, model.labels)
    return answers


def _id(model: Model) -> str | None:
    id = model.description.get("model_id")
    return None if id is None else str(id)


def threads_from_environment() -> int:
    """CPU threads of a processing job: DATALOOP_JOB_THREADS, else at most two of the machine's cores."""
    asked = os.environ.get("DATALOOP_JOB_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else min(2, os.cpu_count() or 1)
