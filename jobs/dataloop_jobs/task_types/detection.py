"""Detection: labelled boxes, an FCOS head, COCO average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_jobs import fcos
from dataloop_jobs.dataset import Dataset, Row
from dataloop_jobs.declarations import ARCHITECTURES
from dataloop_jobs.evaluation import average_precision
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.images import Letterbox
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.predictions import Prediction, Scores
from dataloop_jobs.task_types.surface import Arrays

_STRIDES = (8, 16, 32)


class DetectionNetwork(nn.Module):
    """Body and FCOS head; raw convolution outputs, smallest stride first."""

    def __init__(self, backbone: nn.Module, channels: Mapping[int, int], num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.head = fcos.Head(channels, num_classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        outputs: list[Tensor] = self.head(self.backbone(images))
        return outputs


class Detection:
    """See `TaskType`."""

    name: ClassVar[str] = "detection"
    primary_name: ClassVar[str] = "AP50"
    needs_boxes: ClassVar[bool] = True
    output_names: ClassVar[tuple[str, ...]] = tuple(f"stride_{stride}" for stride in _STRIDES)

    def check(self, dataset: Dataset) -> None:
        if not dataset.train:
            raise BadDataset("the train split is empty: annotate images or change the split, then build again")
        if not any(row.truths for row in dataset.train):
            raise BadDataset(f"none of the {len(dataset.train)} training images has a box: there is nothing to learn")

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        """Any number of boxes is fine, none too."""

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(rows)

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        architecture = ARCHITECTURES[parameters.architecture].load()
        backbone = architecture.build_backbone(parameters.frozen_stages, pretrained=pretrained)
        return DetectionNetwork(backbone, backbone.channels, num_classes)

    def targets(self, labels: NDArray[np.int64], boxes: NDArray[np.float32], size: int) -> Arrays:
        return asdict(fcos.assign(boxes, labels, size, _STRIDES))

    def loss(self, outputs: Sequence[Tensor], targets: Mapping[str, Tensor], num_classes: int) -> Tensor:
        parts = fcos.loss(outputs, targets["classes"], targets["sides"], targets["centre"], num_classes)
        return parts["class"] + parts["box"] + parts["centre"]

    def decode(
        self, outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
    ) -> list[list[Prediction]]:
        known = fcos.DecodeSettings(**{name: settings[name] for name in asdict(fcos.DecodeSettings())})
        found = fcos.decode(outputs, settings["strides"], known)
        return [_to_predictions(one, fit) for one, fit in zip(found, fits, strict=True)]

    def decode_settings(self) -> dict[str, Any]:
        return {"kind": "fcos", "strides": list(_STRIDES), **asdict(fcos.DecodeSettings())}

    def score(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
    ) -> Scores:
        return average_precision.score(rows, predictions, labels, threshold)

    def choose_threshold(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
    ) -> float | None:
        return average_precision.best_threshold(rows, predictions, labels)

    def class_rows(self) -> tuple[str, ...]:
        return ("head.classes.weight", "head.classes.bias")


def _to_predictions(found: fcos.Detections, fit: Letterbox) -> list[Prediction]:
    """Input pixels → shares of the image; what lies wholly in the padding is dropped."""
    predictions = []
    for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
        share = fit.to_image(box.tolist())
        if share[2] > 0 and share[3] > 0:
            predictions.append(Prediction(int(label), float(score), share))
    return predictions


IMPLEMENTATION = Detection()
