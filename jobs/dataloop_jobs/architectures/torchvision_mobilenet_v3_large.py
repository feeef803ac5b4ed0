"""MobileNetV3-Large from torchvision: about as fast as the default body. Stages: its blocks, grouped by stride."""

from __future__ import annotations

from typing import Any

from torch import nn

from dataloop_jobs import torchvision_backbones
from dataloop_jobs.staged_backbone import StagedBackbone

# First and last + 1 of the blocks of each stage; the last one, a 1 × 1 convolution for the classifier, is left out.
_BLOCKS = ((0, 2), (2, 4), (4, 7), (7, 13), (13, 16))


def build_backbone(frozen_stages: int, *, pretrained: bool) -> StagedBackbone:
    """The body; 5 stages, a larger frozen_stages freezes all. Raises MissingRequirement without torchvision or weights."""
    return torchvision_backbones.build(
        "torchvision_mobilenet_v3_large",
        "mobilenet_v3_large",
        _cut,
        (2, 4, 8, 16, 32),
        (16, 24, 40, 112, 160),
        frozen_stages,
        pretrained,
    )


def _cut(network: Any) -> list[nn.Module]:
    return [nn.Sequential(*network.features[first:end]) for first, end in _BLOCKS]
