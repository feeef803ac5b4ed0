"""`run.py train`: dataset → trained, exported, verified and tested model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dataloop_inference.images import preprocess_description
from dataloop_inference.session import onnx_runner
from dataloop_jobs import model_folder
from dataloop_jobs.augmentation import Changes
from dataloop_jobs.checkpoints import CheckpointFolder
from dataloop_jobs.compression import training as compression
from dataloop_jobs.compression.structure import shrink_to
from dataloop_jobs.contract import Progress, StopRequest, TrainingFolders, say
from dataloop_jobs.dataset import Dataset, Row, read_dataset
from dataloop_jobs.declarations import TASK_TYPES, find
from dataloop_jobs.distributed import Team, joined, local_device
from dataloop_jobs.engine import Engine, Trained
from dataloop_jobs.evaluation.report import write_report
from dataloop_jobs.exporters import onnx
from dataloop_jobs.exporters.verification import SAMPLES, Agreement, compare
from dataloop_jobs.faults import BadModel, BadParameter
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import Validation, input_batches, predict, torch_runner
from dataloop_jobs.json_files import write_json
from dataloop_jobs.model_card import write_card
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Samples
from dataloop_jobs.sampling import class_weights
from dataloop_jobs.task_types.surface import TaskType
from dataloop_jobs.tensorboard import Board
from dataloop_jobs.weights import Carried, carry_over

# Parameters that change how a run is carried out, not what it computes: they may differ between two starts.
_FREE = ("max_cpu_seconds", "workers", "image_cache_mb", "tensorboard", "processes_per_host")


@dataclass
class _Job:
    """What the steps of this training share. task and dataset are checked, images were all read once."""

    folders: TrainingFolders
    parameters: Parameters
    stop: StopRequest
    progress: Progress
    task: TaskType
    dataset: Dataset
    store: ImageStore
    train_rows: tuple[Row, ...]
    val_rows: tuple[Row, ...]
    validation: Validation | None


def train(folders: TrainingFolders, parameters: Parameters, stop: StopRequest) -> None:
    """Train, export to ONNX, verify it, and score the frozen test split with it. Raises JobFault or Interrupted.

    Under torchrun this is one of several processes: all train together, the first one does the rest.
    """
    torch.set_num_threads(parameters.threads)
    device = local_device()
    if parameters.precision == "float16" and device.type != "cuda":
        raise BadParameter("precision", "float16", "needs a GPU; on a CPU use float32 or bfloat16")
    with joined(device, folders.hosts().current) as team:
        job = _prepare(folders, parameters, stop, team, device)
        network, carried = _network(job.task, job.dataset, parameters, folders.optional_channel("parent"))
        compressing = _compression(job, team, device)
        network, begun = compression.begin(compressing, network)
        trained = _engine(job, network, team, device).run()
    if trained is not None:
        card = _finish(job, network, carried, trained)
        if begun is not None:
            compression.finish(compressing, begun, folders.model, folders.output, card)
        write_card(folders.model, card)
        job.progress.report("done", 1, 1, "models")


def _prepare(
    folders: TrainingFolders, parameters: Parameters, stop: StopRequest, team: Team, device: torch.device
) -> _Job:
    """Read and check everything that a training needs, images too."""
    task: TaskType = find(TASK_TYPES, "task_type", parameters.task_type).load().IMPLEMENTATION
    dataset = read_dataset(folders.channel("dataset"), needs=task.needs)
    task.check(dataset)
    store = ImageStore(folders.channel("images"), parameters.image_size, parameters.image_cache_mb)
    val_rows = task.usable(dataset.val)
    validation = None
    if val_rows:
        validation = Validation(task, val_rows, store, dataset.labels, device, stop.leave_if_requested)
    progress = Progress(folders.checkpoints if team.leads else None)
    job = _Job(
        folders, parameters, stop, progress, task, dataset, store, task.usable(dataset.train), val_rows, validation
    )
    _load_images(job, dataset.splits if team.leads else {"train": dataset.train})
    return job


def _engine(job: _Job, network: nn.Module, team: Team, device: torch.device) -> Engine:
    parameters, labels = job.parameters, job.dataset.labels
    weights = None
    if parameters.class_balance == "loss":
        weights = torch.from_numpy(class_weights(job.train_rows, len(labels)))
    return Engine(
        job.task,
        network,
        parameters,
        Samples(
            job.task,
            job.train_rows,
            job.store,
            num_classes=len(labels),
            seed=parameters.seed,
            changes=Changes.of(parameters),
            class_balance=parameters.class_balance,
        ),
        num_classes=len(labels),
        validate=job.validation,
        checkpoints=CheckpointFolder(job.folders.checkpoints, _identity(parameters, job.folders.channel("dataset"))),
        progress=job.progress,
        stop=job.stop,
        device=device,
        team=team,
        class_weights=weights,
        open_board=partial(Board, job.folders.tensorboard) if parameters.tensorboard else None,
    )


def _compression(job: _Job, team: Team, device: torch.device) -> compression.Job:
    return compression.Job(
        job.task,
        job.parameters,
        job.dataset,
        job.store,
        job.folders.optional_channel("parent"),
        job.folders.checkpoints,
        _identity(job.parameters, job.folders.channel("dataset")),
        device,
        team,
        job.progress,
        job.stop,
    )


def _finish(job: _Job, network: nn.Module, carried: Carried | None, trained: Trained) -> dict[str, Any]:
    """Export, verify, choose the threshold on val, score the test split; returns the content of the model card."""
    folders, parameters, progress, stop = job.folders, job.parameters, job.progress, job.stop
    task, dataset, store, val_rows = job.task, job.dataset, job.store, job.val_rows
    write_json(folders.output / "history.json", trained.history)
    stop.leave_if_requested()

    progress.report("export", 0, 1, "artefacts")
    network.load_state_dict(trained.weights)
    agreement = _export(task, network, parameters, folders.model, store, val_rows or job.train_rows)
    model_folder.save_weights(folders.model, trained.weights, parameters, dataset.labels)
    progress.report("export", 1, 1, "artefacts")

    run = onnx_runner(folders.model / model_folder.GRAPH, parameters.threads)
    settings = task.decode_settings()
    threshold = _threshold(task, parameters, job.validation, lambda: predict(run, task, val_rows, store, settings))
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
        model_id=dataset.spec.get("model_id"),
        store=store,
    )
    return _card(task, parameters, dataset, trained, carried, agreement, metrics)


def _load_images(job: _Job, splits: Mapping[str, Sequence[Row]]) -> None:
    def loaded(done: int, total: int) -> None:
        job.stop.leave_if_requested()
        job.progress.report("load", done, total, "images")

    rows = [row for split in splits.values() for row in job.task.usable(split)]
    job.store.load_all(rows, max(job.parameters.threads, job.parameters.workers), loaded)


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
    network = task.build(parameters, len(dataset.labels), pretrained=parameters.pretrained)
    saved = model_folder.read_weights(parent) if parent else None
    compression.check(parameters, saved, dataset.labels)
    if saved is None:
        return network, None
    if saved.parameters.architecture != parameters.architecture:
        raise BadModel(
            f"the parent model has architecture {saved.parameters.architecture!r}, this training "
            f"{parameters.architecture!r}: use the same, or train without parent"
        )
    carried = carry_over(
        shrink_to(network, saved.weights, keep=task.class_rows()),
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
    batches = [images for images, _ in input_batches(rows[:SAMPLES], store)]
    limit = onnx.tolerance(network, batches).limit
    return compare("onnx", torch_runner(network, cpu), onnx_runner(path, parameters.threads), batches, limit)


def _threshold(
    task: TaskType, parameters: Parameters, validation: Validation | None, predicted: Callable[[], list[Any]]
) -> float:
    """The asked one, else the best on the validation split, else a middling default; 0 where there is none."""
    if task.default_threshold is None:
        return 0.0
    if parameters.score_threshold:
        return parameters.score_threshold
    best = validation.threshold(predicted()) if validation else None
    return task.default_threshold if best is None else best


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
        "quantization": parameters.quantization,
        "labels": list(dataset.labels),
        "input": onnx.INPUT,
        "outputs": list(task.output_names),
        "preprocess": preprocess_description(parameters.image_size),
        "decode": {**task.decode_settings(), "threshold": threshold if task.default_threshold is not None else None},
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
                else ("ImageNet weights" if parameters.pretrained else "random weights")
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
