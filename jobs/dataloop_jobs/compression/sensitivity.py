"""How much each group of channels matters: the metric without a share of them, before any retraining."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataloop_jobs.compression.channels import ChannelGroup, without
from dataloop_jobs.dataset import Row
from dataloop_jobs.faults import BadModel
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import predict, torch_runner
from dataloop_jobs.task_types.surface import TaskType

# Shares of a group's channels that are taken away, one after the other.
RATIOS = (0.25, 0.5, 0.75)

# A network in evaluation mode → its metric, None when it cannot be computed.
Judge = Callable[[nn.Module], float | None]


@dataclass(frozen=True)
class Curve:
    """What one group's channels are worth. values[i]: the metric when ratios[i] of the channels are missing.

    macs and parameters are those of the layers that make these channels; no layer makes two groups'.
    """

    name: str
    channels: int
    macs: int
    parameters: int
    ratios: tuple[float, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Scan:
    """The metric of the whole network, and a curve for each group of channels."""

    baseline: float
    curves: tuple[Curve, ...]


def judge(task: TaskType, rows: Sequence[Row], store: ImageStore, labels: Sequence[str], device: torch.device) -> Judge:
    """The task's primary metric on these rows."""

    def measure(network: nn.Module) -> float | None:
        run = torch_runner(network.to(device).eval(), device)
        return task.score(rows, predict(run, task, rows, store, task.decode_settings()), labels, 0.0).primary

    return measure


def scan(
    network: nn.Module,
    groups: Sequence[ChannelGroup],
    applied: Mapping[str, int],
    measure: Judge,
    ratios: Sequence[float] = RATIOS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Measure the whole network, then each group without each ratio. on_progress(done, total) may raise to stop.

    applied: see `cost.positions`. Ratios that come to the same number of channels are measured once; the ratios of a
    curve are the true ones. Cost: one pass over the rows for each group and ratio.
    Raises BadModel when the whole network's metric is 0 or cannot be computed.
    """
    wanted = [(group, sorted({group.rounded(1 - ratio) for ratio in ratios}, reverse=True)) for group in groups]
    total = 1 + sum(len(counts) for _, counts in wanted)
    on_progress(0, total)
    baseline = measure(network)
    if not baseline:
        raise BadModel(
            f"the model's metric is {baseline} before anything is removed, so that no layer can be told from another:"
            " train it further or measure on other images; pruning_source=magnitude prunes without a scan"
        )
    done = 1
    curves = []
    layers = dict(network.named_modules())
    for group, counts in wanted:
        points = []
        for kept in counts:
            on_progress(done, total)
            if kept < group.channels:
                value = measure(without(network, [group], {group.name: group.weakest(kept)}))
                points.append((round(1 - kept / group.channels, 4), value))
            done += 1
        makers = {member.layer for member in group.members if member.axis == 0 and member.layer in applied}
        weights = {name: layers[name].weight.numel() for name in makers}
        macs = sum(applied[name] * count for name, count in weights.items())
        ratios_taken, values = zip(*points, strict=True) if points else ((), ())
        curves.append(Curve(group.name, group.channels, macs, sum(weights.values()), ratios_taken, values))
    on_progress(total, total)
    return Scan(baseline, tuple(curves))


def report(found: Scan, metric: str, split: str, images: int) -> dict[str, Any]:
    """The content of sensitivity.json."""
    return {
        "baseline": found.baseline,
        "metric": metric,
        "split": split,
        "images": images,
        "layers": [
            {
                "name": curve.name,
                "channels": curve.channels,
                "macs": curve.macs,
                "parameters": curve.parameters,
                "ratios": list(curve.ratios),
                "values": list(curve.values),
            }
            for curve in found.curves
        ],
    }
