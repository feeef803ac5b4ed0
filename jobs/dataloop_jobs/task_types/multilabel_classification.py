"""Multilabel classification: any number of labels an image, each judged by itself; mean average precision."""

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
from dataloop_jobs.evaluation import multilabel
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.examples import Example
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.classification import ClassificationNetwork
from dataloop_jobs.task_types.surface import Arrays


class MultilabelClassification:
    """See `TaskType`."""

    name: ClassVar[str] = "multilabel_classification"
    primary_name: ClassVar[str] = "mAP"
    needs: ClassVar[Needs] = "nothing"
    default_threshold: ClassVar[float | None] = 0.5
    output_names: ClassVar[tuple[str, ...]] = ("logits",)

    def check(self, dataset: Dataset) -> None:
        if not dataset.train:
            raise BadDataset("the train split is empty: annotate images or change the split, then build again")
        images: dict[int, int] = {}
        for row in dataset.train:
            for label in {truth.label for truth in row.truths}:
                images[label] = images.get(label, 0) + 1
        if not any(0 < count < len(dataset.train) for count in images.values()):
            raise BadDataset(
                f"each label is on all or none of the {len(dataset.train)} training images: there is nothing to tell apart"
            )

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        """Any number of labels is fine, none too."""

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(rows)

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        backbone = build_backbone(parameters, pretrained=pretrained)
        return ClassificationNetwork(backbone, num_classes)

    def targets(self, example: Example, num_classes: int) -> Arrays:
        shares = np.zeros(num_classes, dtype=np.float32)
        shares[example.labels] = 1
        return {"shares": shares}

    def loss(
        self,
        outputs: Sequence[Tensor],
        targets: Mapping[str, Tensor],
        num_classes: int,
        class_weights: Tensor | None = None,
    ) -> list[Term]:
        entropy = F.binary_cross_entropy_with_logits(outputs[0].float(), targets["shares"], reduction="none")
        weights = torch.ones_like(entropy) if class_weights is None else class_weights.expand_as(entropy)
        return [Term((entropy * weights).sum(), weights.sum())]

    def decode_settings(self) -> dict[str, Any]:
        return {"kind": "sigmoid"}

    def score(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
    ) -> Scores:
        return multilabel.score(rows, predictions, labels, threshold)

    def choose_threshold(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
    ) -> float | None:
        return multilabel.best_threshold(rows, predictions, labels)

    def class_rows(self) -> tuple[str, ...]:
        return ("classes.weight", "classes.bias")


IMPLEMENTATION = MultilabelClassification()
