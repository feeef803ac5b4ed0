"""Instance segmentation: a label, a box and a mask for each object; FCOS with prototype masks, COCO mask precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from dataloop_inference.decoding.fcos import DecodeSettings
from dataloop_inference.predictions import Prediction
from dataloop_jobs import fcos, prototypes
from dataloop_jobs.architectures import build_backbone
from dataloop_jobs.dataset import Dataset, Needs, Row
from dataloop_jobs.evaluation import mask_precision
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.examples import Example
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import Arrays

_STRIDES = (8, 16, 32)


class InstanceNetwork(nn.Module):
    """Body, FCOS head with a prototype's weight for each location, and the prototypes."""

    def __init__(self, backbone: nn.Module, num_classes: int):
        super().__init__()
        channels: Mapping[int, int] = backbone.channels  # type: ignore[assignment]
        self.backbone = backbone
        self.head = fcos.Head(channels, num_classes, extra=prototypes.COUNT)
        self.prototypes = prototypes.Prototypes(fcos.WIDTH)

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = self.head.levels(self.backbone(images))
        return [*(self.head.predict(level) for level in levels), self.prototypes(levels[0])]


class InstanceSegmentation:
    """See `TaskType`."""

    name: ClassVar[str] = "instance_segmentation"
    primary_name: ClassVar[str] = "mask_AP50"
    needs: ClassVar[Needs] = "mask"
    default_threshold: ClassVar[float | None] = 0.3
    output_names: ClassVar[tuple[str, ...]] = (*(f"stride_{stride}" for stride in _STRIDES), "prototypes")

    def check(self, dataset: Dataset) -> None:
        if not dataset.train:
            raise BadDataset("the train split is empty: annotate images or change the split, then build again")
        if not any(row.truths for row in dataset.train):
            raise BadDataset(f"none of the {len(dataset.train)} training images has a mask: there is nothing to learn")

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        """Any number of masks is fine, none too."""

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(rows)

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        backbone = build_backbone(parameters, pretrained=pretrained)
        return InstanceNetwork(backbone, num_classes)

    def targets(self, example: Example, num_classes: int) -> Arrays:
        assert example.regions is not None
        seen = example.visible
        boxes = example.boxes[seen]
        where = fcos.assign(boxes, example.labels[seen], example.size, _STRIDES)
        what = prototypes.assign(where, boxes, np.flatnonzero(seen), example.regions)
        return {
            "classes": where.classes,
            "sides": where.sides,
            "centre": where.centre,
            "regions": what.regions,
            "objects": what.objects,
            "boxes": what.boxes,
        }

    def loss(
        self,
        outputs: Sequence[Tensor],
        targets: Mapping[str, Tensor],
        num_classes: int,
        class_weights: Tensor | None = None,
    ) -> list[Term]:
        *maps, drawn = outputs
        numbers = [one[:, prototypes.COUNT :] for one in maps]
        boxes = fcos.loss(numbers, targets["classes"], targets["sides"], targets["centre"], num_classes)
        weights = [one[:, : prototypes.COUNT] for one in maps]
        masks = prototypes.loss(weights, drawn, targets["regions"], targets["objects"], targets["boxes"])
        return [*boxes.values(), *masks]

    def decode_settings(self) -> dict[str, Any]:
        return {
            "kind": "fcos_masks",
            "strides": list(_STRIDES),
            "prototypes": prototypes.COUNT,
            "prototype_stride": prototypes.STRIDE,
            **asdict(DecodeSettings()),
        }

    def score(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
    ) -> Scores:
        return mask_precision.score(rows, predictions, labels, threshold)

    def choose_threshold(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
    ) -> float | None:
        return mask_precision.best_threshold(rows, predictions, labels)

    def class_rows(self) -> tuple[str, ...]:
        return ("head.classes.weight", "head.classes.bias")


IMPLEMENTATION = InstanceSegmentation()
