"""Detection: labelled boxes, an FCOS head, COCO average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from torch import Tensor, nn

from dataloop_inference.decoding.fcos import DecodeSettings
from dataloop_inference.predictions import Prediction
from dataloop_jobs import fcos
from dataloop_jobs.architectures import build_backbone
from dataloop_jobs.dataset import Dataset, Needs, Row
from dataloop_jobs.evaluation import average_precision
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.examples import Example
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import Arrays

_STRIDES = (8, 16, 32)


class DetectionNetwork(nn.Module):
    """Body and FCOS head; raw convolution outputs, smallest stride first."""

    def __init__(self, backbone: nn.Module, num_classes: int):
        super().__init__()
        channels: Mapping[int, int] = backbone.channels  # type: ignore[assignment]
        self.backbone = backbone
        self.head = fcos.Head(channels, num_classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        outputs: list[Tensor] = self.head(self.backbone(images))
        return outputs


class Detection:
    """See `TaskType`."""

    name: ClassVar[str] = "detection"
    primary_name: ClassVar[str] = "AP50"
    needs: ClassVar[Needs] = "box"
    default_threshold: ClassVar[float | None] = average_precision.DEFAULT_THRESHOLD
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
        backbone = build_backbone(parameters, pretrained=pretrained)
        return DetectionNetwork(backbone, num_classes)

    def targets(self, example: Example, num_classes: int) -> Arrays:
        seen = example.visible
        targets = fcos.assign(example.boxes[seen], example.labels[seen], example.size, _STRIDES)
        return {"classes": targets.classes, "sides": targets.sides, "centre": targets.centre}

    def loss(
        self,
        outputs: Sequence[Tensor],
        targets: Mapping[str, Tensor],
        num_classes: int,
        class_weights: Tensor | None = None,
    ) -> list[Term]:
        parts = fcos.loss(outputs, targets["classes"], targets["sides"], targets["centre"], num_classes)
        return list(parts.values())

    def decode_settings(self) -> dict[str, Any]:
        return {"kind": "fcos", "strides": list(_STRIDES), **asdict(DecodeSettings())}

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


IMPLEMENTATION = Detection()
