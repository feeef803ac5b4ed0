"""Numbers and words of ModelArts beside those of the core."""

from __future__ import annotations

from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.surveys import Survey
from dataloop.services.surveying import task_type

IMAGE_CLASSIFICATION, OBJECT_DETECTION, IMAGE_SEGMENTATION, TABLE, FREE_FORMAT = 0, 1, 3, 400, 900
# Type -> its key words, as `dataset_tags` and a version's `tags` say them.
DATASET_TYPES: dict[int, tuple[str, ...]] = {
    IMAGE_CLASSIFICATION: ("Image", "Image classification"),
    OBJECT_DETECTION: ("Image", "Object detection"),
    IMAGE_SEGMENTATION: ("Image", "Image segmentation"),
    100: ("Text", "Text classification"),
    101: ("Text", "Named entity recognition"),
    102: ("Text", "Text triplet"),
    200: ("Audio", "Sound classification"),
    201: ("Audio", "Speech labeling"),
    202: ("Audio", "Speech paragraph labeling"),
    TABLE: ("Table",),
    600: ("Video", "Video labeling"),
    FREE_FORMAT: ("Free format",),
}
# A label has the type of its dataset, and a triplet's relations and entities have two types of their own.
LABEL_TYPES = (0, 1, 3, 100, 101, 102, 103, 200, 201, 202, 600)
EXPORTABLE = (IMAGE_CLASSIFICATION, OBJECT_DETECTION, FREE_FORMAT)
# Types that the core has data for, with the annotation type of what is gathered in them.
ANNOTATION_TYPES = {
    IMAGE_CLASSIFICATION: "classification",
    OBJECT_DETECTION: "detection",
    IMAGE_SEGMENTATION: "instance_segmentation",
    FREE_FORMAT: None,
}
_OF_TASK = {
    "classification": IMAGE_CLASSIFICATION,
    "multilabel_classification": IMAGE_CLASSIFICATION,
    "detection": OBJECT_DETECTION,
    "instance_segmentation": IMAGE_SEGMENTATION,
    "semantic_segmentation": IMAGE_SEGMENTATION,
}


def dataset_type(survey: Survey) -> int:
    """The type it was made with; of a dataset that came another way, the one its annotations fit; else free format."""
    kept = survey.dataset.info.get("modelarts", {}).get("dataset_type")
    return int(kept) if kept is not None else _OF_TASK.get(task_type(survey) or "", FREE_FORMAT)


def train_share(version: DatasetVersion) -> float:
    """The share of images that a version's split policy puts into training."""
    policy = version.split
    return policy.train / (policy.train + policy.val + policy.test)
