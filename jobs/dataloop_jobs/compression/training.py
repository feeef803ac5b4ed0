"""A training that compresses: prune or quantise the parent's network, fine-tune it, say what was gained and lost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dataloop_inference.session import onnx_runner
from dataloop_jobs import model_folder
from dataloop_jobs.compression import cost, picture, planning, quantization, sensitivity
from dataloop_jobs.compression.channels import find_groups, without
from dataloop_jobs.contract import Progress, StopRequest, say
from dataloop_jobs.dataset import Dataset, Row
from dataloop_jobs.distributed import Team
from dataloop_jobs.exporters import onnx
from dataloop_jobs.faults import BadModel, BadParameter
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import input_batches, predict
from dataloop_jobs.json_files import read_json, replace_file, write_json
from dataloop_jobs.model_folder import SavedWeights
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import TaskType

REPORT = "compression.json"
# Images of a scan inside a training: 21 groups × 3 ratios × 48 images took 87 CPU seconds at 192 pixels. A scan of its own
# (`run.py sensitivity`) takes more.
_SCAN_IMAGES = 48
# Images that open the ranges of a quantised network before training moves them.
_CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class Job:
    """What compression needs of the training it is part of. parent: the parent channel's folder.

    identity: what a stored plan belongs to, with the parent's digest added here.
    """

    task: TaskType
    parameters: Parameters
    dataset: Dataset
    store: ImageStore
    parent: Path | None
    checkpoints: Path
    identity: Mapping[str, Any]
    device: torch.device
    team: Team
    progress: Progress
    stop: StopRequest


@dataclass(frozen=True)
class Begun:
    """What is known before fine-tuning; stored beside the checkpoints, so that a restart has the same network.

    removed: channels by group name. before, after: of the parent, and of the compressed network not yet trained.
    """

    kind: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    removed: Mapping[str, Sequence[int]]
    channels: Mapping[str, Sequence[int]]
    scan: Mapping[str, Any] | None


def check(parameters: Parameters, saved: SavedWeights | None, labels: Sequence[str]) -> None:
    """Raises BadParameter or BadModel when the parameters ask for a compression that cannot be done.

    saved: the parent's model.pt. labels: those of this training.
    """
    share, is_int8 = parameters.pruning_macs_kept, parameters.quantization != "none"
    if not share and not is_int8:
        return
    name, value = ("quantization", parameters.quantization) if is_int8 else ("pruning_macs_kept", share)
    if saved is None:
        raise BadParameter(name, value, "there is no parent model to compress: give parent_model_id")
    if share and is_int8:
        raise BadParameter(name, value, f"not together with pruning_macs_kept={share:g}: prune first, then quantise")
    if share == 1:
        raise BadParameter(name, value, "nothing would be removed; give less than 1, or 0 for no pruning")
    if is_int8 and parameters.precision != "float32":
        raise BadParameter(name, value, f"needs precision float32, not {parameters.precision}: it rounds by itself")
    if is_int8 and parameters.compile:
        raise BadParameter(name, value, "cannot be compiled: set compile to false")
    if saved.parameters.quantization != "none":
        raise BadModel("the parent model is quantised already: take the model that it was made from as parent")
    if saved.parameters.task_type != parameters.task_type:
        raise BadModel(
            f"the parent model is for {saved.parameters.task_type}, this training for {parameters.task_type}: a "
            "compression needs a parent of the same task_type"
        )
    if saved.parameters.image_size != parameters.image_size:
        raise BadParameter(
            "image_size", parameters.image_size, f"a compression needs the parent's, {saved.parameters.image_size}"
        )
    if tuple(saved.labels) != tuple(labels):
        raise BadModel(
            f"the parent model's labels {list(saved.labels)} are not the dataset's {list(labels)}: train on the new "
            "labels first, then compress that model"
        )


def begin(job: Job, network: nn.Module) -> tuple[nn.Module, Begun | None]:
    """The network to train: the given one (the parent's), pruned or quantised if the parameters say so.

    Cost: measuring twice on the test split, one ONNX export, and the scan where one is asked for; nothing on a restart.
    """
    parameters = job.parameters
    if not parameters.pruning_macs_kept and parameters.quantization == "none":
        return network, None
    if job.parent is None or not (job.parent / model_folder.GRAPH).is_file():
        raise BadModel(
            f"{model_folder.GRAPH} is missing from the parent model: it is what the compressed one is compared with"
        )
    begun = _stored(job) if job.team.leads else None
    if begun is None and job.team.leads:
        begun = _prune(job, network) if parameters.pruning_macs_kept else _quantize(job, network)
        write_json(job.checkpoints / REPORT, {"identity": _identity(job), **vars(begun)})
    begun = Begun(**json.loads(job.team.from_leader(json.dumps(vars(begun)) if begun else "")))
    if begun.kind == "pruning":
        return without(network, find_groups(network, parameters.image_size), begun.removed), begun
    return _calibrated(job, network), begun


def finish(job: Job, begun: Begun, folder: Path, output: Path, card: dict[str, Any]) -> None:
    """Write compression.json into the model folder and the output, and what a scan found into the output.

    card: the model card's content; it gains the same report, and its metrics and metrics.json gain `compression`, by
    which a release is judged: kept says whether the model lost no more than it may.
    """
    assert job.parent is not None
    primary = card["metrics"]["primary"]["value"]
    graphs = [job.parent / model_folder.GRAPH, folder / model_folder.GRAPH]
    before_ms, after_ms = cost.latencies_ms(graphs, job.parameters.image_size)
    macs, parameters = begun.after["macs"], begun.after["parameters"]
    size_bytes = graphs[1].stat().st_size
    after_finetune = _figures(primary, size_bytes, macs, parameters, after_ms)
    drop = relative_drop(begun.before["primary"], primary)
    allowed = job.parameters.compression_max_drop
    verdict = {"kind": begun.kind, "drop": drop, "allowed": allowed, "kept": drop is not None and drop <= allowed}
    content = {
        **verdict,
        "metric": job.task.primary_name,
        "before": {**begun.before, "latency_ms": before_ms},
        # The same graph with other values: it is as fast.
        "after": {**begun.after, "latency_ms": after_ms},
        "after_finetune": after_finetune,
        "channels": begun.channels,
    }
    for place in (folder, output):
        write_json(place / REPORT, content, indent=1)
    if begun.scan:
        write_scan(output, begun.scan)
    card["compression"] = content
    card["metrics"]["compression"] = {**verdict, "parent_primary": begun.before["primary"], "primary": primary}
    write_json(output / "metrics.json", card["metrics"], indent=1)


def relative_drop(before: float | None, after: float | None) -> float | None:
    """Share of the metric that was lost, negative where it rose; None when it cannot be said."""
    if before is None or after is None or before <= 0:
        return None
    return 1 - after / before


def write_scan(folder: Path, scan: Mapping[str, Any]) -> None:
    """Write sensitivity.json and sensitivity.svg."""
    write_json(folder / "sensitivity.json", scan, indent=1)
    replace_file(folder / "sensitivity.svg", picture.draw(scan).encode())


def _prune(job: Job, network: nn.Module) -> Begun:
    size = job.parameters.image_size
    groups, applied = find_groups(network, size), cost.positions(network, size)
    scan = None
    if job.parameters.pruning_source == "scan":
        rows, split = _scan_rows(job)
        measure = sensitivity.judge(job.task, rows, job.store, job.dataset.labels, job.device)
        scan = sensitivity.scan(network, groups, applied, measure, on_progress=_reporter(job, "scan", "networks"))
        network.to("cpu")
        report = sensitivity.report(scan, job.task.primary_name, split, len(rows))
    arithmetic = planning.Arithmetic(network, groups, applied)
    kept = planning.plan(groups, arithmetic, job.parameters.pruning_macs_kept, scan)
    removed = {group.name: group.weakest(kept[group.name]) for group in groups}
    say("pruned", macs=arithmetic.macs(kept), of=arithmetic.macs({}), channels=kept)
    channels = {group.name: [group.channels, kept[group.name]] for group in groups}
    before, after = _measured(job, network, without(network, groups, removed))
    return Begun("pruning", before, after, removed, channels, report if scan else None)


def _quantize(job: Job, network: nn.Module) -> Begun:
    before, after = _measured(job, network, _calibrated(job, network))
    return Begun("quantization", before, after, {}, {}, None)


def _calibrated(job: Job, network: nn.Module) -> nn.Module:
    rows = job.task.usable(job.dataset.train)[:_CALIBRATION_IMAGES]
    quantized = quantization.quantize(network)
    quantization.calibrate(quantized, (torch.from_numpy(images) for images, _ in input_batches(rows, job.store)))
    return quantized


def _scan_rows(job: Job) -> tuple[Sequence[Row], str]:
    """Never the test split: what is chosen by it cannot be judged by it."""
    for split, rows in (("val", job.dataset.val), ("train", job.dataset.train)):
        usable = job.task.usable(rows)
        if usable:
            return usable[:_SCAN_IMAGES], split
    return (), "train"


def _measured(job: Job, network: nn.Module, compressed: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of the parent and of the compressed network as it is, without their latencies."""
    assert job.parent is not None
    graph = job.parent / model_folder.GRAPH
    size = job.parameters.image_size
    applied = cost.positions(network, size)
    before = _figures(_primary(job, graph), graph.stat().st_size, cost.macs(network, applied), _count(network))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / model_folder.GRAPH
        onnx.convert(compressed.eval(), job.task, size, path)
        macs = cost.macs(compressed, applied)
        after = _figures(_primary(job, path), path.stat().st_size, macs, _count(compressed))
    return before, after


def _primary(job: Job, graph: Path) -> float | None:
    rows = job.task.usable(job.dataset.test)
    run = onnx_runner(graph, job.parameters.threads)
    advanced = _reporter(job, "measure", "images")
    predictions = predict(run, job.task, rows, job.store, job.task.decode_settings(), advanced)
    return job.task.score(rows, predictions, (*job.dataset.labels, *job.dataset.unknown_labels), 0.0).primary


def _figures(
    primary: float | None, size_bytes: int, macs: int, parameters: int, latency_ms: float | None = None
) -> dict[str, Any]:
    return {
        "primary": primary,
        "size_bytes": size_bytes,
        "macs": macs,
        "parameters": parameters,
        "latency_ms": latency_ms,
    }


def _count(network: nn.Module) -> int:
    return cost.parameter_count(network)


def _reporter(job: Job, phase: str, unit: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        job.stop.leave_if_requested()
        job.progress.report(phase, done, total, unit)

    return report


def _identity(job: Job) -> dict[str, Any]:
    assert job.parent is not None
    return {**job.identity, "parent": model_folder.file_sha256(job.parent / model_folder.WEIGHTS)}


def _stored(job: Job) -> Begun | None:
    """What an earlier start of this very run began with."""
    path = job.checkpoints / REPORT
    content = read_json(path) if path.is_file() else None
    # Written as JSON, so compared as JSON: a tuple comes back as a list.
    if not content or content.pop("identity") != json.loads(json.dumps(_identity(job))):
        return None
    return Begun(**content)
