"""ResNet-50 from torchvision: the usual large body. Stages: stem, then the four groups of blocks."""

from __future__ import annotations

from typing import Any

from torch import nn

from dataloop_jobs import torchvision_backbones
from dataloop_jobs.staged_backbone import StagedBackbone


def build_backbone(frozen_stages: int, *, pretrained: bool) -> StagedBackbone:
    """The body; 5 stages, a larger frozen_stages freezes all. Raises MissingRequirement without torchvision or weights."""
    return torchvision_backbones.build(
        "torchvision_resnet50",
        "resnet50",
        _cut,
        (4, 4, 8, 16, 32),
        (64, 256, 512, 1024, 2048),
        frozen_stages,
        pretrained,
    )


def _cut(network: Any) -> list[nn.Module]:
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return [stem, network.layer1, network.layer2, network.layer3, network.layer4]
