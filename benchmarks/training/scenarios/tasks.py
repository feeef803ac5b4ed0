"""Each task type on real images composed of real parts: what a budget of CPU seconds buys, with and without ImageNet.

Ours starts from ImageNet weights, as by default. The first rival is the same code from random weights with the same CPU
seconds of training; the second, where the package is installed, another architecture with the same seconds. The whole job
is measured (loading, training, ONNX export and verification, scoring of the test split), one thread.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.scenario import Bench, Budget, Figure, counted
from benchmarks.training import composed, nuclei
from benchmarks.training.folders import Example, JobRun
from dataloop_demo.scenes import Kind

_SIZE = 192
# Any number: it only has to be the same in every run.
_SEED = 11
_CPU_LIMIT_S = 200.0


Examples = Callable[[Kind, int, int], Iterator[Example]]


@dataclass(frozen=True)
class Trial:
    """One task type: its images, how many and how many epochs; least: what the metric must reach (None: no promise)."""

    task_type: str
    metric: str
    examples: Examples
    train: int
    epochs: int
    least: float | None
    parameters: dict[str, Any] = field(default_factory=dict)


TRIALS = (
    Trial("classification", "accuracy", composed.crops, 400, 8, None, {"image_size": 96}),
    Trial("multilabel_classification", "mAP", composed.presence, 320, 8, None),
    Trial("detection", "AP50", composed.scenes, 320, 6, 0.5),
    # The design's figures for these two heads at this size (§7).
    Trial("semantic_segmentation", "mIoU", composed.scenes, 320, 9, 0.4),
    Trial("instance_segmentation", "mask AP50", composed.scenes, 320, 8, 0.36),
)
# Architectures of the second family, for the whole-image and the dense task types alike.
_OTHERS = {"torchvision": "torchvision_mobilenet_v3_large", "timm": "timm_resnet18"}


def run(bench: Bench) -> list[Figure]:
    """All five task types; --quick takes two of them."""
    figures: list[Figure] = []
    for trial in TRIALS[1:3] if bench.quick else TRIALS:
        figures += _trial(bench, trial)
    if not bench.quick:
        figures += _nuclei(bench)
    for package in _OTHERS:
        if importlib.util.find_spec(package) is None:
            bench.note(f"tasks: {package} is not installed here, so its architectures took no part")
    return figures


def _trial(bench: Bench, trial: Trial) -> list[Figure]:
    counts: tuple[tuple[Kind, int], ...] = (("train", trial.train), ("val", 60), ("test", 120))
    splits: dict[str, list[Example]] = {kind: list(trial.examples(kind, count, _SEED)) for kind, count in counts}
    given = {"image_size": _SIZE, **trial.parameters, "epochs": trial.epochs}
    value, cpu_s, trained_s = _train(bench, trial, "imagenet", splits, given)
    same = {**given, "max_cpu_seconds": round(trained_s, 1), "epochs": 4 * trial.epochs, "frozen_stages": 0}
    scratch, _, _ = _train(bench, trial, "scratch", splits, {**same, "pretrained": False})
    least = None if trial.least is None else Budget(trial.least, of="ours", at_least=True)
    name = trial.task_type
    figures = [
        Figure(f"{name}: {trial.metric}", "", counted(value), "from scratch, same CPU", counted(scratch), least),
        Figure(f"{name}: CPU of the job", "s", counted(cpu_s), budget=Budget(_CPU_LIMIT_S, of="ours")),
        Figure(f"{name}: {trial.metric} per 100 CPU s", "", counted(100 * value / cpu_s)),
    ]
    for package, architecture in _OTHERS.items():
        if importlib.util.find_spec(package) is not None:
            other, _, _ = _train(
                bench, trial, package, splits, {**same, "architecture": architecture, "pretrained": False}
            )
            figures.append(
                Figure(f"{name}: {trial.metric}", "", counted(value), f"{architecture}, same CPU", counted(other))
            )
    return figures


def _train(
    bench: Bench, trial: Trial, name: str, splits: Mapping[str, list[Example]], parameters: dict[str, Any]
) -> tuple[float, float, float]:
    """(metric on the test split, CPU seconds of the job, CPU seconds of its training loop)."""
    job = JobRun(bench.folder / f"{trial.task_type}-{name}").write(splits, composed.LABELS)
    usage = job.train(task_type=trial.task_type, threads=1, seed=0, **parameters)
    trained_s = sum(entry["cpu_seconds"] for entry in job.report("history.json"))
    bench.say(f"{trial.task_type}, {name}: {trial.metric} {job.primary():.3f} in {usage.cpu_s:.0f} CPU s")
    return job.primary(), usage.cpu_s, trained_s


def _nuclei(bench: Bench) -> list[Figure]:
    """Instance segmentation on an image whose nuclei people outlined: the one truly annotated data set at hand."""
    try:
        wheel = nuclei.fetch(bench.folder / "wheels")
    except nuclei.NucleiUnavailable as error:
        bench.note(f"tasks: {error}")
        return []
    splits = {split: list(nuclei.tiles(wheel, split)) for split in ("train", "val", "test")}
    job = JobRun(bench.folder / "nuclei").write(splits, [nuclei.LABEL])
    usage = job.train(task_type="instance_segmentation", image_size=128, epochs=6, augment="flip", threads=1, seed=0)
    outlines = sum(len(example.labels) for example in splits["test"])
    bench.note(
        f"tasks: the nuclei are scored on {len(splits['test'])} tiles with {outlines} outlines of one photograph"
    )
    return [
        Figure("nuclei, outlined by hand: mask AP50", "", counted(job.primary()), budget=Budget(0.36, "ours", True)),
        Figure("nuclei: CPU of the job", "s", counted(usage.cpu_s)),
    ]
