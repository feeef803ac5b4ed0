"""ResNet-18 from timm: a small, plain body."""

from __future__ import annotations

from dataloop_jobs import timm_backbones
from dataloop_jobs.staged_backbone import StagedBackbone


def build_backbone(frozen_stages: int, *, pretrained: bool) -> StagedBackbone:
    """The body; a frozen_stages larger than its stages freezes all. Raises MissingRequirement without timm or weights."""
    return timm_backbones.build("timm_resnet18", "resnet18", frozen_stages, pretrained)
