"""What exists: task types, architectures, exporters. A test fails until declaration and implementation pair up.

To add one, write its file in the folder of its family and declare it here; nothing else names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from dataloop_jobs.faults import BadParameter


@dataclass(frozen=True)
class Declaration:
    """name: as clients write it. family: the folder of its module. text: one sentence for people."""

    name: str
    family: str
    text: str
    supports: tuple[str, ...] = ()

    def load(self) -> ModuleType:
        """The implementing module; imported only when it is used."""
        return importlib.import_module(f"dataloop_jobs.{self.family}.{self.name}")


TASK_TYPES: Mapping[str, Declaration] = {
    item.name: item
    for item in (
        Declaration("classification", "task_types", "one label an image; linear head; accuracy"),
        Declaration("detection", "task_types", "labelled boxes; FCOS head; average precision"),
    )
}

ARCHITECTURES: Mapping[str, Declaration] = {
    item.name: item
    for item in (
        Declaration(
            "efficientnet_lite0",
            "architectures",
            "EfficientNet-Lite0 with ImageNet weights, 3.4 million parameters",
            supports=("classification", "detection"),
        ),
    )
}

EXPORTERS: Mapping[str, Declaration] = {
    item.name: item for item in (Declaration("onnx", "exporters", "ONNX, verified against torch with ONNX Runtime"),)
}


def find(catalog: Mapping[str, Declaration], parameter: str, value: object) -> Declaration:
    """The declaration a client's value names. Raises BadParameter listing what exists."""
    if not isinstance(value, str) or value not in catalog:
        raise BadParameter(parameter, value, f"unknown; there is {', '.join(sorted(catalog))}")
    return catalog[value]
