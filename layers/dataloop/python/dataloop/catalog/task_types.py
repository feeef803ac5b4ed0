"""Task types: what a model learns to say about an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskType:
    """name as jobs know it; annotation_types: what clients call such annotations (seed 000 says object and detection
    for the same thing); primary: the metric that decides."""

    name: str
    annotation_types: tuple[str, ...]
    primary: str
    needs_boxes: bool = False


TASK_TYPES = (
    TaskType("detection", ("detection", "object", "object_detection", "bbox"), "AP50", needs_boxes=True),
    TaskType("classification", ("classification", "class", "image_classification"), "accuracy"),
)


def by_name(name: str) -> TaskType | None:
    """The declaration, or None."""
    return next((entry for entry in TASK_TYPES if entry.name == name), None)


def mean_the_same(one: str, other: str) -> bool:
    """True for equal words and for two words of one task type: seed 000 says both object and detection."""
    kind = of_annotation_type(one)
    return one == other or (kind is not None and kind is of_annotation_type(other))


def of_annotation_type(annotation_type: str) -> TaskType | None:
    """The task type that learns from annotations of this type, or None."""
    return next((entry for entry in TASK_TYPES if annotation_type.lower() in entry.annotation_types), None)
