"""Architectures: the backbones with their task types."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """name as jobs know it, and what it can be trained for."""

    name: str
    task_types: tuple[str, ...]


DEFAULT = "efficientnet_lite0"
ARCHITECTURES = (Architecture("efficientnet_lite0", ("classification", "detection")),)


def by_name(name: str) -> Architecture | None:
    """The declaration, or None."""
    return next((entry for entry in ARCHITECTURES if entry.name == name), None)
