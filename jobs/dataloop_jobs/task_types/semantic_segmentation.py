"""Semantic segmentation: a label for every pixel, or background; mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from dataloop_inference.predictions import Prediction
from dataloop_jobs import semantic
from dataloop_jobs.architectures import build_backbone
from dataloop_jobs.dataset import Dataset, Needs, Row
from dataloop_jobs.evaluation import mean_iou
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.examples import Example
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.masks import BACKGROUND, NO_IMAGE, labels_of
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import Arrays

_STRIDE = 8


class SemanticNetwork(nn.Module):
    """Body and segmentation head: one (N, classes + 1, H/8, W/8) tensor of logits, background last."""

    def __init__(self, backbone: nn.Module, num_classes: int):
        super().__init__()
        channels: Mapping[int, int] = backbone.channels  # type: ignore[assignment]
        self.backbone = backbone
        self.head = semantic.Head(channels, num_classes + 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.head(self.backbone(images))]


class SemanticSegmentation:
    """See `TaskType`."""

    name: ClassVar[str] = "semantic_segmentation"
    primary_name: ClassVar[str] = "mIoU"
    needs: ClassVar[Needs] = "mask"
    default_threshold: ClassVar[float | None] = None
    output_names: ClassVar[tuple[str, ...]] = ("logits",)

    def check(self, dataset: Dataset) -> None:
        if not dataset.train:
            raise BadDataset("the train split is empty: annotate images or change the split, then build again")
        if not any(row.truths for row in dataset.train):
            raise BadDataset(f"none of the {len(dataset.train)} training images has a mask: there is nothing to learn")

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        """Any number of masks is fine, none too: such an image is all background."""

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(rows)

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        backbone = build_backbone(parameters, pretrained=pretrained)
        return SemanticNetwork(backbone, num_classes)

    def targets(self, example: Example, num_classes: int) -> Arrays:
        assert example.regions is not None
        classes = labels_of(example.regions, example.labels).astype(np.int64)
        is_outside, is_background = classes == NO_IMAGE, classes == BACKGROUND
        classes[is_background] = num_classes
        classes[is_outside] = semantic.IGNORED
        return {"classes": classes}

    def loss(
        self,
        outputs: Sequence[Tensor],
        targets: Mapping[str, Tensor],
        num_classes: int,
        class_weights: Tensor | None = None,
    ) -> list[Term]:
        return semantic.loss(outputs[0], targets["classes"])

    def decode_settings(self) -> dict[str, Any]:
        return {"kind": "semantic", "stride": _STRIDE}

    def score(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
    ) -> Scores:
        return mean_iou.score(rows, predictions, labels)

    def choose_threshold(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
    ) -> float | None:
        return None

    def class_rows(self) -> tuple[str, ...]:
        return ("head.classes.weight", "head.classes.bias")


IMPLEMENTATION = SemanticSegmentation()
