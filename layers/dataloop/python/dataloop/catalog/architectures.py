"""Architectures: the backbones with their task types."""

from __future__ import annotations

from dataclasses import dataclass

from dataloop.catalog.task_types import TASK_TYPES


@dataclass(frozen=True, slots=True)
class Architecture:
    """name as jobs know it, and what it can be trained for."""

    name: str
    task_types: tuple[str, ...]


DEFAULT = "efficientnet_lite0"
# Each of them ends in feature maps, from which every task type can read what it needs.
_ALL = tuple(kind.name for kind in TASK_TYPES)
ARCHITECTURES = (
    Architecture("efficientnet_lite0", _ALL),
    Architecture("torchvision_mobilenet_v3_large", _ALL),
    Architecture("torchvision_resnet50", _ALL),
    Architecture("timm_convnext_atto", _ALL),
    Architecture("timm_resnet18", _ALL),
)


def by_name(name: str) -> Architecture | None:
    """The declaration, or None."""
    return next((entry for entry in ARCHITECTURES if entry.name == name), None)
