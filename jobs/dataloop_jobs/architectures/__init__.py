"""Network bodies. One file an architecture, exposing `build_backbone`; the declaration is in `declarations.py`."""

from __future__ import annotations

from torch import nn

from dataloop_jobs.declarations import ARCHITECTURES
from dataloop_jobs.parameters import Parameters


def build_backbone(parameters: Parameters, *, pretrained: bool) -> nn.Module:
    """The body that a training asks for. Raises MissingRequirement.

    A training from random weights freezes nothing, whatever frozen_stages says: random stages that never learn are noise.
    """
    frozen = parameters.frozen_stages if parameters.pretrained else 0
    module = ARCHITECTURES[parameters.architecture].load()
    backbone: nn.Module = module.build_backbone(frozen, pretrained=pretrained)
    return backbone
