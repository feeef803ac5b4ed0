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
_ALL_TASK_TYPES = tuple(entry.name for entry in TASK_TYPES)
# Those of torchvision and timm can be used where the training container has the package.
ARCHITECTURES = (
    Architecture("efficientnet_lite0", _ALL_TASK_TYPES),
    Architecture("torchvision_mobilenet_v3_large", _ALL_TASK_TYPES),
    Architecture("torchvision_resnet50", _ALL_TASK_TYPES),
    Architecture("timm_convnext_atto", _ALL_TASK_TYPES),
    Architecture("timm_resnet18", _ALL_TASK_TYPES),
)


def by_name(name: str) -> Architecture | None:
    """The declaration, or None."""
    return next((entry for entry in ARCHITECTURES if entry.name == name), None)
