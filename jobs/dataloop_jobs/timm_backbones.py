"""timm's networks as bodies: any whose `features_only` form is a list of layers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from dataloop_jobs.faults import MissingRequirement
from dataloop_jobs.staged_backbone import StagedBackbone, library, weights_file


def build(architecture: str, name: str, frozen_stages: int, pretrained: bool) -> StagedBackbone:
    """name: as timm.create_model takes it. Raises MissingRequirement without timm or weights."""
    timm = library("timm", architecture)
    try:
        # A file takes the place of the address that timm would download from; timm then fits the names to the layers.
        chosen = {"file": str(_checked(timm, architecture, name))} if pretrained else {}
        network = timm.create_model(name, features_only=True, pretrained=pretrained, pretrained_cfg_overlay=chosen)
    except MissingRequirement:
        raise
    except Exception as error:  # timm and torch raise many kinds for a damaged or foreign file
        raise MissingRequirement(f"timm's {name} cannot be built for architecture {architecture!r}: {error}") from error
    stages: list[list[nn.Module]] = [[]]
    for child, layer in network.items():
        stages[-1].append(layer)
        if child in network.return_layers:
            stages.append([])
    info = network.feature_info
    return StagedBackbone(
        (nn.Sequential(*stage) for stage in stages if stage),
        info.reduction(),
        info.channels(),
        frozen_stages=frozen_stages,
        has_fixed_norms=pretrained,
    )


def _checked(timm: ModuleType, architecture: str, name: str) -> Path:
    """The weights' file, if it is of this network: without classifier, timm would take any file without a word."""
    path = weights_file(architecture)
    timm.create_model(name, pretrained=False).load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return path
