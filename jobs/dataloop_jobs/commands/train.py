"""`run.py train`: dataset → trained, exported, verified and tested model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dataloop_jobs import model_folder
from dataloop_jobs.checkpoints import CheckpointFolder
from dataloop_jobs.contract import Progress, StopRequest, TrainingFolders, say
from dataloop_jobs.dataset import Dataset, Row, read_dataset
from dataloop_jobs.declarations import TASK_TYPES, find
from dataloop_jobs.engine import Engine, Trained
from dataloop_jobs.evaluation.average_precision import DEFAULT_THRESHOLD
from dataloop_jobs.evaluation.report import write_report
from dataloop_jobs.exporters import onnx
from dataloop_jobs.exporters.verification import SAMPLES, Agreement, compare
from dataloop_jobs.faults import BadModel
from dataloop_jobs.images import ImageStore, preprocess_description
from dataloop_jobs.inference import Validation, input_batches, onnx_runner, predict, torch_runner
from dataloop_jobs.json_files import write_json
from dataloop_jobs.model_card import write_card
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Samples
from dataloop_jobs.task_types.surface import TaskType
from dataloop_jobs.weights import Carried, carry_over

# Parameters that change how a run is carried out, not what it computes: they may differ between two starts.
_FREE = ("max_cpu_seconds", "workers", "image_cache_mb")


def train(folders: TrainingFolders, parameters: Parameters, stop: StopRequest) -> None:
    """Train, export to ONNX, verify it, and score the frozen test split with it. Raises JobFault or Interrupted."""
    torch.set_num_threads(parameters.threads)
    progress = Progress(folders.checkpoints)
    task: TaskType = find(TASK_TYPES, "task_type", parameters.task_type).load().IMPLEMENTATION
    dataset_folder = folders.channel("dataset")
    dataset = read_dataset(dataset_folder, needs_boxes=task.needs_boxes)
    task.check(dataset)
    store = ImageStore(folders.channel("images"), parameters.image_size, parameters.image_cache_mb)
    _load_images(store, dataset, task, parameters, progress, stop)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, carried = _network(task, dataset, parameters, folders.optional_channel("parent"))
    val_rows = task.usable(dataset.val)
    validation = Validation(task, val_rows, store, dataset.labels, device) if val_rows else None
    train_rows = task.usable(dataset.train)
    engine = Engine(
        task,
        network,
        parameters,
        Samples(task, train_rows, store, augment_kind=parameters.augment, seed=parameters.seed),
        num_classes=len(dataset.labels),
        validate=validation,
        checkpoints=CheckpointFolder(folders.checkpoints, _identity(parameters, dataset_folder)),
        progress=progress,
        stop=stop,
        device=device,
    )
    trained = engine.run()
    write_json(folders.output / "history.json", trained.history)
    stop.leave_if_requested()

    progress.report("export", 0, 1, "artefacts")
    network.load_state_dict(trained.weights)
    agreement = _export(task, network, parameters, folders.model, store, val_rows or train_rows)
    model_folder.save_weights(folders.model, trained.weights, parameters, dataset.labels)
    progress.report("export", 1, 1, "artefacts")

    run = onnx_runner(folders.model / model_folder.GRAPH, parameters.threads)
    settings = task.decode_settings()
    threshold = _threshold(task, parameters, validation, lambda: predict(run, task, val_rows, store, settings))
    description = _description(task, parameters, dataset, folders.model, agreement, threshold)
    write_json(folders.model / model_folder.DESCRIPTION, description, indent=1)

    def tested(done: int, total: int) -> None:
        stop.leave_if_requested()
        progress.report("evaluate", done, total, "images")

    test_rows = task.usable(dataset.test)
    metrics = write_report(
        folders.output,
        task,
        test_rows,
        predict(run, task, test_rows, store, settings, tested),
        (*dataset.labels, *dataset.unknown_labels),
        threshold=threshold,
        dataset=dataset.spec.get("test") or {},
    )
    write_card(folders.model, _card(task, parameters, dataset, trained, carried, agreement, metrics))
    progress.report("done", 1, 1, "models")


def _load_images(
    store: ImageStore, dataset: Dataset, task: TaskType, parameters: Parameters, progress: Progress, stop: StopRequest
) -> None:
    def loaded(done: int, total: int) -> None:
        stop.leave_if_requested()
        progress.report("load", done, total, "images")

    rows = [row for split in dataset.splits.values() for row in task.usable(split)]
    store.load_all(rows, max(parameters.threads, parameters.workers), loaded)


def _identity(parameters: Parameters, dataset_folder: Path) -> dict[str, Any]:
    """What a checkpoint belongs to: the parameters that matter and the content of what is learnt from."""
    digest = hashlib.sha256()
    for name in ("label_map.json", "train.jsonl", "val.jsonl"):
        path = dataset_folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    kept = {name: value for name, value in parameters.to_dict().items() if name not in _FREE}
    return {**kept, "dataset": digest.hexdigest()}


def _network(
    task: TaskType, dataset: Dataset, parameters: Parameters, parent: Path | None
) -> tuple[nn.Module, Carried | None]:
    """A new network, with the parent's weights where they fit."""
    torch.manual_seed(parameters.seed)
    network = task.build(parameters, len(dataset.labels), pretrained=True)
    if parent is None:
        return network, None
    saved = model_folder.read_weights(parent)
    if saved.parameters.architecture != parameters.architecture:
        raise BadModel(
            f"the parent model has architecture {saved.parameters.architecture!r}, this training "
            f"{parameters.architecture!r}: use the same, or train without parent"
        )
    carried = carry_over(
        network,
        saved.weights,
        class_tensors=task.class_rows(),
        labels=dataset.labels,
        parent_labels=saved.labels,
    )
    say("warm_start", tensors=carried.tensors, of=carried.of, labels=list(carried.labels))
    return network, carried


def _export(
    task: TaskType, network: nn.Module, parameters: Parameters, folder: Path, store: ImageStore, rows: Sequence[Row]
) -> Agreement:
    """Write model.onnx and prove it on up to 32 images that were not used to test."""
    cpu = torch.device("cpu")
    network = network.to(cpu).eval()
    path = folder / model_folder.GRAPH
    onnx.convert(network, task, parameters.image_size, path)
    batches = (images for images, _ in input_batches(rows[:SAMPLES], store))
    return compare("onnx", torch_runner(network, cpu), onnx_runner(path, parameters.threads), batches)


def _threshold(
    task: TaskType, parameters: Parameters, validation: Validation | None, predicted: Callable[[], list[Any]]
) -> float:
    """The asked one, else the best on the validation split, else a middling default; 0 where there is none."""
    if not task.needs_boxes:
        return 0.0
    if parameters.score_threshold:
        return parameters.score_threshold
    best = validation.threshold(predicted()) if validation else None
    return DEFAULT_THRESHOLD if best is None else best


def _description(
    task: TaskType, parameters: Parameters, dataset: Dataset, folder: Path, agreement: Agreement, threshold: float
) -> dict[str, Any]:
    """The content of model.json: everything a consumer needs to use model.onnx."""
    return {
        "format": model_folder.FORMAT,
        "model_id": dataset.spec.get("model_id"),
        "task_type": task.name,
        "architecture": parameters.architecture,
        "image_size": parameters.image_size,
        "labels": list(dataset.labels),
        "input": onnx.INPUT,
        "outputs": list(task.output_names),
        "preprocess": preprocess_description(parameters.image_size),
        "decode": {**task.decode_settings(), "threshold": threshold if task.needs_boxes else None},
        "onnx": {
            "sha256": model_folder.file_sha256(folder / model_folder.GRAPH),
            "opset": onnx.OPSET,
            "max_abs_diff": agreement.max_abs_diff,
            "tolerance": agreement.tolerance,
            "samples": agreement.samples,
        },
        "torch": {"version": torch.__version__, "file": model_folder.WEIGHTS},
    }


def _card(
    task: TaskType,
    parameters: Parameters,
    dataset: Dataset,
    trained: Trained,
    carried: Carried | None,
    agreement: Agreement,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    counts = {name: len(task.usable(rows)) for name, rows in dataset.splits.items()}
    skipped = sum(len(rows) for rows in dataset.splits.values()) - sum(counts.values())
    return {
        "format": model_folder.FORMAT,
        "model_id": dataset.spec.get("model_id"),
        "task_id": dataset.spec.get("task_id"),
        "task_type": task.name,
        "architecture": parameters.architecture,
        "image_size": parameters.image_size,
        "labels": list(dataset.labels),
        "metrics": metrics,
        "data": {
            "train": dataset.spec.get("dataset") or {},
            "test": dataset.spec.get("test") or {},
            **{f"{name} images": count for name, count in counts.items()},
            "images without a label, left out": skipped,
            "labels only in the test split": ", ".join(dataset.unknown_labels) or "none",
        },
        "training": {
            "epochs done": len(trained.history),
            "best epoch": trained.best_epoch,
            "chosen by": trained.selection,
            "ended by": trained.stop_reason,
            "CPU seconds": round(trained.cpu_seconds, 1),
            "warm start": (
                f"{carried.tensors} of {carried.of} tensors of the parent, {len(carried.labels)} known labels"
                if carried
                else "ImageNet weights"
            ),
            "parameters": parameters.to_dict(),
        },
        "onnx": {
            "opset": onnx.OPSET,
            "max_abs_diff": agreement.max_abs_diff,
            "tolerance": agreement.tolerance,
            "samples": agreement.samples,
        },
    }
