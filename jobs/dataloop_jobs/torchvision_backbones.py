"""torchvision's classifiers as bodies. Their layers are its own; which of them make up a stage is said here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from dataloop_jobs.faults import MissingRequirement
from dataloop_jobs.staged_backbone import StagedBackbone, library, weights_file

Cut = Callable[[Any], Sequence[nn.Module]]


def build(
    architecture: str,
    function: str,
    cut: Cut,
    strides: Sequence[int],
    channels: Sequence[int],
    frozen_stages: int,
    pretrained: bool,
) -> StagedBackbone:
    """function: the name in torchvision.models. cut: the network → its stages. Raises MissingRequirement."""
    network: nn.Module = getattr(library("torchvision.models", architecture), function)(weights=None)
    if pretrained:
        path = weights_file(architecture)
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many kinds for a damaged or foreign file
            raise MissingRequirement(f"{path.name} is no state dict of torchvision's {function}: {error}") from error
    return StagedBackbone(cut(network), strides, channels, frozen_stages=frozen_stages, has_fixed_norms=pretrained)
