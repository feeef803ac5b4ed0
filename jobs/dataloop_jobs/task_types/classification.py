"""Classification: one label an image, a linear head, accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from dataloop_inference.predictions import Prediction
from dataloop_jobs.architectures import build_backbone
from dataloop_jobs.dataset import Dataset, Needs, Row
from dataloop_jobs.dropout import Dropout
from dataloop_jobs.evaluation import accuracy
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.examples import Example
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import Arrays

_DROPOUT = 0.1


class ClassificationNetwork(nn.Module):
    """Body, mean over positions of its two deepest outputs, linear layer. Output: one (N, classes) tensor of logits.

    The middle output is there because the last one has seen only ImageNet's categories; strokes and textures that those
    do not need survive in the middle.
    """

    def __init__(self, backbone: nn.Module, num_classes: int):
        super().__init__()
        channels: Mapping[int, int] = backbone.channels  # type: ignore[assignment]
        self.backbone = backbone
        self.strides = tuple(sorted(channels))[-2:]
        self.dropout = Dropout(_DROPOUT)
        self.classes = nn.Linear(sum(channels[stride] for stride in self.strides), num_classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.backbone(images)
        pooled = torch.cat([features[stride].mean(dim=(2, 3)) for stride in self.strides], dim=1)
        return [self.classes(self.dropout(pooled))]


class Classification:
    """See `TaskType`."""

    name: ClassVar[str] = "classification"
    primary_name: ClassVar[str] = "accuracy"
    needs: ClassVar[Needs] = "nothing"
    default_threshold: ClassVar[float | None] = None
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
        backbone = build_backbone(parameters, pretrained=pretrained)
        return ClassificationNetwork(backbone, num_classes)

    def targets(self, example: Example, num_classes: int) -> Arrays:
        shares = np.zeros(num_classes, dtype=np.float32)
        shares[example.labels[0]] = 1
        return {"shares": shares}

    def loss(
        self,
        outputs: Sequence[Tensor],
        targets: Mapping[str, Tensor],
        num_classes: int,
        class_weights: Tensor | None = None,
    ) -> list[Term]:
        shares = targets["shares"] if class_weights is None else targets["shares"] * class_weights
        entropy = -shares * F.log_softmax(outputs[0].float(), dim=1)
        return [Term(entropy.sum(), shares.sum())]

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
