"""What a network costs: multiplications, parameters, file size, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dataloop_inference.session import onnx_runner

# Runs of one image each, after a few that warm the caches.
LATENCY_RUNS, _WARM_UP = 30, 5


def positions(network: nn.Module, image_size: int) -> dict[str, int]:
    """How many times each convolution's or linear layer's weights are applied for one image, by layer name.

    It does not change when channels are removed. Cost: one forward pass.
    """
    counts: dict[str, int] = {}

    def counted(name: str) -> object:
        def hook(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            channel_axis = 1 if isinstance(module, nn.Conv2d) else -1
            counts[name] = counts.get(name, 0) + output.numel() // output.shape[channel_axis]

        return hook

    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(counted(name)) for name, layer in layers]  # type: ignore[arg-type]
    was_training = network.training
    device = next(network.parameters()).device
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, image_size, image_size, device=device))
    finally:
        network.train(was_training)
        for handle in hooks:
            handle.remove()
    return counts


def macs(network: nn.Module, applied: Mapping[str, int]) -> int:
    """Multiply-accumulates of one image in all convolutions and linear layers. applied: see `positions`."""
    layers = dict(network.named_modules())
    return sum(count * layers[name].weight.numel() for name, count in applied.items())


def parameter_count(network: nn.Module) -> int:
    """Number of learnt values, frozen ones too."""
    return sum(value.numel() for value in network.parameters())


def latencies_ms(graphs: Sequence[Path], image_size: int) -> list[float]:
    """Median time of one image through each ONNX file, with ONNX Runtime on one CPU thread, milliseconds.

    It is the thread's CPU time, which is the latency of an idle core, and the files take turns: another process on the
    machine changes neither the numbers nor their order much. Cost: 35 forward passes a file.
    """
    runs = [onnx_runner(graph, 1) for graph in graphs]
    image = np.zeros((1, 3, image_size, image_size), np.float32)
    times: list[list[float]] = [[] for _ in runs]
    for number in range(_WARM_UP + LATENCY_RUNS):
        for run, measured in zip(runs, times, strict=True):
            began = time.thread_time()
            run(image)
            if number >= _WARM_UP:
                measured.append((time.thread_time() - began) * 1000)
    return [round(statistics.median(measured), 3) for measured in times]
