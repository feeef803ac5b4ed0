"""Classification: one label an image, a linear head, accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_jobs.dataset import Dataset, Row
from dataloop_jobs.declarations import ARCHITECTURES
from dataloop_jobs.evaluation import accuracy
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.images import Letterbox
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.predictions import Prediction, Scores
from dataloop_jobs.task_types.surface import Arrays

_DROPOUT = 0.1


class ClassificationNetwork(nn.Module):
    """Body, mean over positions of its two deepest outputs, linear layer. Output: one (N, classes) tensor of logits.

    The middle output is there because the last one has seen only ImageNet's categories; strokes and textures that those
    do not need survive in the middle.
    """

    def __init__(self, backbone: nn.Module, channels: Mapping[int, int], num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.strides = tuple(sorted(channels))[-2:]
        self.dropout = nn.Dropout(_DROPOUT)
        self.classes = nn.Linear(sum(channels[stride] for stride in self.strides), num_classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.backbone(images)
        pooled = torch.cat([features[stride].mean(dim=(2, 3)) for stride in self.strides], dim=1)
        return [self.classes(self.dropout(pooled))]


class Classification:
    """See `TaskType`."""

    name: ClassVar[str] = "classification"
    primary_name: ClassVar[str] = "accuracy"
    needs_boxes: ClassVar[bool] = False
    output_names: ClassVar[tuple[str, ...]] = ("logits",)

    def check(self, dataset: Dataset) -> None:
        if len(dataset.labels) < 2:
            raise BadDataset(f"classification needs at least two labels; label_map.json has one: {dataset.labels[0]!r}")
        if not dataset.train:
            raise BadDataset("the train split is empty: annotate images or change the split, then build again")
        self.check_rows((*dataset.train, *dataset.val, *dataset.test), (*dataset.labels, *dataset.unknown_labels))
        seen = {truth.label for row in dataset.train for truth in row.truths}
        if len(seen) < 2:
            said = ", ".join(repr(dataset.labels[label]) for label in seen) or "none"
            raise BadDataset(f"the training images hold fewer than two labels ({said}): there is nothing to tell apart")

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        for row in rows:
            names = sorted({truth.label for truth in row.truths})
            if len(names) > 1:
                said = ", ".join(repr(labels[name]) for name in names)
                raise BadDataset(f"image uid={row.uid} has several labels ({said}); classification takes one an image")

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        # An image without a label says nothing about which one it should have.
        return tuple(row for row in rows if row.truths)

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        architecture = ARCHITECTURES[parameters.architecture].load()
        backbone = architecture.build_backbone(parameters.frozen_stages, pretrained=pretrained)
        return ClassificationNetwork(backbone, backbone.channels, num_classes)

    def targets(self, labels: NDArray[np.int64], boxes: NDArray[np.float32], size: int) -> Arrays:
        return {"label": labels[0]}

    def loss(self, outputs: Sequence[Tensor], targets: Mapping[str, Tensor], num_classes: int) -> Tensor:
        return F.cross_entropy(outputs[0].float(), targets["label"])

    def decode(
        self, outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
    ) -> list[list[Prediction]]:
        logits = outputs[0].astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            [Prediction(int(label), float(row[label]), None) for label in ranks]
            for row, ranks in zip(probabilities, order, strict=True)
        ]

    def decode_settings(self) -> dict[str, Any]:
        return {"kind": "softmax"}

    def score(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
    ) -> Scores:
        return accuracy.score(rows, predictions, labels)

    def choose_threshold(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
    ) -> float | None:
        return None

    def class_rows(self) -> tuple[str, ...]:
        return ("classes.weight", "classes.bias")


IMPLEMENTATION = Classification()
