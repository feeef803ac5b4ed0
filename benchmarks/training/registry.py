"""Scenarios of `make bench-train`, the longest last."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scenario import Scenario
from benchmarks.training.scenarios import compression, selection, tasks

_ALL = (
    Scenario(
        "tasks",
        "accuracy or AP that a budget of CPU seconds buys, for each task type",
        "detection AP50 ≥ 0.5, semantic mIoU ≥ 0.4, instance mask AP50 ≥ 0.36; each job ≤ 200 CPU s",
        "the same code from random weights; other architectures where their packages are installed",
        tasks.run,
        source="design §7",
    ),
    Scenario(
        "compression",
        "accuracy, size and speed of a pruned and of an int8 detector",
        "≥ 0.98× the parent's AP50",
        "the parent",
        compression.run,
        source="design §7",
    ),
    Scenario(
        "selection",
        "accuracy at 160 labels that were chosen by doubt and diversity, five seeds",
        "better than at random",
        "160 labels drawn at random",
        selection.run,
        source="design §7",
    ),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
