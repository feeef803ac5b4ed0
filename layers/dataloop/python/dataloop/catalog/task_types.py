"""Task types: what a model learns to say about an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TaskType:
    """name as jobs know it; annotation_types: what clients call such annotations (seed 000 says object and detection
    for the same thing); primary: the metric that decides; needs: what each label must carry; also: task types whose
    annotations carry all that this one needs; one_label: an image has exactly one."""

    name: str
    annotation_types: tuple[str, ...]
    primary: str
    needs: Literal["nothing", "box", "mask"] = "nothing"
    also: tuple[str, ...] = ()
    one_label: bool = False


TASK_TYPES = (
    TaskType(
        "detection", ("detection", "object", "object_detection", "bbox"), "AP50", "box", ("instance_segmentation",)
    ),
    TaskType("classification", ("classification", "class", "image_classification"), "accuracy", one_label=True),
    TaskType("multilabel_classification", ("multilabel_classification", "multilabel", "multi_label"), "mAP"),
    TaskType("instance_segmentation", ("instance_segmentation", "instance", "polygon"), "mask_AP50", "mask"),
    TaskType(
        "semantic_segmentation",
        ("semantic_segmentation", "semantic", "segmentation"),
        "mIoU",
        "mask",
        ("instance_segmentation",),
    ),
)


def by_name(name: str) -> TaskType | None:
    """The declaration, or None."""
    return next((entry for entry in TASK_TYPES if entry.name == name), None)


def mean_the_same(one: str, other: str) -> bool:
    """True for equal words and for two words of one task type: seed 000 says both object and detection."""
    kind = of_annotation_type(one)
    return one == other or (kind is not None and kind is of_annotation_type(other))


def teaches(wanted: str, given: str) -> bool:
    """True when annotations of the type given say what the wanted type is about: outlined objects have boxes too."""
    kind, source = of_annotation_type(wanted), of_annotation_type(given)
    return mean_the_same(wanted, given) or (kind is not None and source is not None and source.name in kind.also)


def of_annotation_type(annotation_type: str) -> TaskType | None:
    """The task type that learns from annotations of this type, or None."""
    return next((entry for entry in TASK_TYPES if annotation_type.lower() in entry.annotation_types), None)
