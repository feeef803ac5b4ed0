"""Label formats: what can be imported, what can be exported, and which annotation types each can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "detection", "classification", "multilabel_classification", "instance_segmentation", "semantic_segmentation"
]
_OBJECTS: tuple[Kind, ...] = ("detection", "instance_segmentation")
_WHOLE: tuple[Kind, ...] = ("classification", "multilabel_classification")
_MASKS: tuple[Kind, ...] = ("instance_segmentation", "semantic_segmentation")
_BY_CLASS: tuple[Kind, ...] = ("detection", "semantic_segmentation", *_WHOLE)
_ALL: tuple[Kind, ...] = (*_OBJECTS, "semantic_segmentation", *_WHOLE)


@dataclass(frozen=True, slots=True)
class Format:
    """name: the module dataloop.formats.<name>. kinds: the annotation types whose labels it can carry whole."""

    name: str
    title: str
    reads: bool
    writes: bool
    kinds: tuple[Kind, ...]


_DECLARED = (
    Format("coco", "COCO instances (JSON)", True, True, (*_OBJECTS, *_WHOLE)),
    Format("voc", "Pascal VOC (XML)", True, True, ("detection",)),
    Format("yolo", "YOLO detection and segmentation (text)", True, True, _OBJECTS),
    Format("labelme", "LabelMe (JSON)", True, False, (*_OBJECTS, *_WHOLE)),
    Format("cvat", "CVAT for images (XML)", True, False, _ALL),
    Format("imagenet", "ImageNet folders", True, True, ("classification",)),
    Format("masks", "Segmentation masks (PNG and label map)", True, True, _MASKS),
    # Masks of one class become one; outlines lose which object they are.
    Format("ground_truth", "SageMaker Ground Truth manifest", True, True, _BY_CLASS),
    Format("modelarts", "ModelArts manifest", True, True, _BY_CLASS),
    Format("label_studio", "Label Studio (JSON)", True, False, _ALL),
    Format("jsonl", "Dataloop JSON lines", True, True, _ALL),
    Format("parquet", "Parquet tables", False, True, _ALL),
    Format("croissant", "Croissant (JSON-LD with Parquet tables)", False, True, _ALL),
)
FORMATS = {entry.name: entry for entry in _DECLARED}
