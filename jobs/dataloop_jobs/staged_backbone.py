"""Bodies from other libraries, as task types want them: three strides, our preprocessing, weights from a file.

torchvision and timm are no requirement of the jobs: an architecture of theirs can be used where the package is
installed, as in the AWS training containers. Their weights are never fetched: a file beside the architecture's module,
`architectures/<name>.pth`, is packaged with the code, and without it the network starts from random weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from dataloop_inference.images import PAD_VALUE
from dataloop_jobs.faults import MissingRequirement

STRIDES = (8, 16, 32)
# What both libraries' ImageNet weights were trained with: shares of 255, by colour.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Our input is (pixel - 127) / 128.
_UNIT = 128
FOLDER = Path(__file__).parent / "architectures"


class _Renormalise(nn.Module):
    """(pixel - 127) / 128 → (pixel / 255 - mean) / std. Fixed; not folded into the first convolution, whose padding
    would then be of another colour."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
        self.register_buffer("scale", (_UNIT / 255 / std).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((PAD_VALUE / 255 - mean) / std).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.scale + self.shift


class StagedBackbone(nn.Module):
    """A body cut into stages, each at one stride. Input and output as `efficientnet_lite0.Backbone`.

    has_fixed_norms: BatchNorm keeps the statistics it came with. Small batches cannot estimate better ones than those of
    pretrained weights; random weights need their own.
    """

    def __init__(
        self,
        stages: Iterable[nn.Module],
        strides: Sequence[int],
        channels: Sequence[int],
        *,
        frozen_stages: int,
        has_fixed_norms: bool,
    ):
        super().__init__()
        self.renormalise = _Renormalise()
        self.stages = nn.ModuleList(stages)
        self.strides = tuple(strides)
        self.channels = {stride: count for stride, count in zip(strides, channels, strict=True) if stride in STRIDES}
        self.frozen_stages, self.has_fixed_norms = frozen_stages, has_fixed_norms
        self.stages[:frozen_stages].requires_grad_(False)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x = self.renormalise(images)
        taps: dict[int, Tensor] = {}
        for stride, stage in zip(self.strides, self.stages, strict=True):
            x = stage(x)
            if stride in STRIDES:
                taps[stride] = x
        return taps

    def train(self, mode: bool = True) -> StagedBackbone:
        super().train(mode)
        fixed = self.stages if self.has_fixed_norms else self.stages[: self.frozen_stages]
        for module in fixed.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def library(name: str, architecture: str) -> ModuleType:
    """An installed library. Raises MissingRequirement naming package and architecture."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a build for another torch fails with RuntimeError, not ImportError
        raise MissingRequirement(
            f"architecture {architecture!r} needs the package {name.split('.')[0]}, which cannot be imported here "
            f"({error}); install it beside torch, or choose another architecture"
        ) from error


def weights_file(architecture: str) -> Path:
    """Where the pretrained weights of an architecture lie. Raises MissingRequirement when they do not."""
    path = FOLDER / f"{architecture}.pth"
    if not path.is_file():
        raise MissingRequirement(
            f"parameter pretrained=True: architecture {architecture!r} has no weights; put its published state dict at "
            f"dataloop_jobs/architectures/{path.name} before the code is deployed, or set pretrained to false"
        )
    return path
