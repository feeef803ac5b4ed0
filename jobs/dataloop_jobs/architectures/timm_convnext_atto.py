"""ConvNeXt-Atto from timm: small and without BatchNorm, so batches of any size teach it from random weights, too."""

from __future__ import annotations

from dataloop_jobs import timm_backbones
from dataloop_jobs.staged_backbone import StagedBackbone


def build_backbone(frozen_stages: int, *, pretrained: bool) -> StagedBackbone:
    """The body; a frozen_stages larger than its stages freezes all. Raises MissingRequirement without timm or weights."""
    return timm_backbones.build("timm_convnext_atto", "convnext_atto", frozen_stages, pretrained)
