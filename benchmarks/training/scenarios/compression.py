"""What pruning and int8 cost and gain: a detector, pruned to 79 % of its multiplications, and trained for int8.

Each is a training with a parent, as a client asks for it. The numbers are those of the job's own compression.json, on the
same frozen test split; the rival is the parent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.scenario import Bench, Budget, Figure, counted
from benchmarks.training import composed
from benchmarks.training.folders import Example, JobRun
from dataloop_demo.scenes import Kind

_SEED = 11
_PARENT: dict[str, Any] = {"task_type": "detection", "image_size": 192, "epochs": 8, "threads": 1, "seed": 0}
_WAYS: dict[str, dict[str, Any]] = {
    "pruned to 79 %": {
        "pruning_macs_kept": 0.79,
        "pruning_source": "scan",
        "epochs": 4,
        "frozen_stages": 0,
        "learning_rate": 0.001,
    },
    "int8": {"quantization": "int8", "epochs": 3, "learning_rate": 0.0005},
}


def run(bench: Bench) -> list[Figure]:
    """A parent and its two compressed children; --quick takes fewer images."""
    size = 80 if bench.quick else 320
    counts: tuple[tuple[Kind, int], ...] = (("train", size), ("val", 60), ("test", 120))
    splits: dict[str, list[Example]] = {kind: list(composed.scenes(kind, count, _SEED)) for kind, count in counts}
    parent = JobRun(bench.folder / "compression-parent").write(splits, composed.LABELS)
    parent.train(**_PARENT)
    bench.say(f"compression, parent: AP50 {parent.primary():.3f}")
    figures: list[Figure] = []
    for name, given in _WAYS.items():
        child = JobRun(bench.folder / f"compression-{name.split()[0]}").write(splits, composed.LABELS)
        child.train(parent=Path(parent.model), **{**_PARENT, **given})
        figures += _figures(name, child.report("compression.json"))
        bench.say(f"compression, {name}: AP50 {child.primary():.3f}")
    return figures


def _figures(name: str, said: dict[str, Any]) -> list[Figure]:
    before, after, trained = said["before"], said["after"], said["after_finetune"]
    untrained = f"parent (without fine-tuning {after['primary']:.3f})"
    return [
        # The release gate's own rule: two per cent of the parent's metric may be lost.
        Figure(
            f"{name}: AP50",
            "",
            counted(trained["primary"]),
            untrained,
            counted(before["primary"]),
            Budget(0.98, at_least=True),
        ),
        Figure(
            f"{name}: model.onnx",
            "MB",
            counted(trained["size_bytes"] / 1e6),
            "parent",
            counted(before["size_bytes"] / 1e6),
        ),
        Figure(
            f"{name}: CPU of an image", "ms", counted(trained["latency_ms"]), "parent", counted(before["latency_ms"])
        ),
    ]
