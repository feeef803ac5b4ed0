"""The surface every task type has; the engine, evaluation and export know nothing else about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_jobs.dataset import Dataset, Row
from dataloop_jobs.images import Letterbox
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.predictions import Prediction, Scores

Arrays = Mapping[str, NDArray[Any]]


class TaskType(Protocol):
    """One kind of learning. All functions are pure; sizes are in pixels of the square network input."""

    name: ClassVar[str]
    primary_name: ClassVar[str]
    needs_boxes: ClassVar[bool]
    output_names: ClassVar[tuple[str, ...]]

    def check(self, dataset: Dataset) -> None:
        """Raises BadDataset when nothing can be learnt from the training rows."""

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        """Raises BadDataset when a row's labels contradict each other. labels: names by index."""

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """The rows that can be learnt from and scored."""

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        """The network: float32 (N, 3, S, S) → list of output tensors, in the order of `output_names`."""

    def targets(self, labels: NDArray[np.int64], boxes: NDArray[np.float32], size: int) -> Arrays:
        """What the network should say about one image: arrays that can be stacked over a batch."""

    def loss(self, outputs: Sequence[Tensor], targets: Mapping[str, Tensor], num_classes: int) -> Tensor:
        """Scalar to minimise."""

    def decode(
        self, outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
    ) -> list[list[Prediction]]:
        """Network outputs of a batch → predictions of each image, best first. Shared by torch and ONNX Runtime."""

    def decode_settings(self) -> dict[str, Any]:
        """Everything `decode` needs to know, for model.json."""

    def score(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str], threshold: float
    ) -> Scores:
        """Compare predictions with the rows' labels. Order of both sequences is the same."""

    def choose_threshold(
        self, rows: Sequence[Row], predictions: Sequence[Sequence[Prediction]], labels: Sequence[str]
    ) -> float | None:
        """The score from which a prediction should count, chosen on these rows; None where there is no such thing."""

    def class_rows(self) -> tuple[str, ...]:
        """Names of the tensors whose first rows stand for classes, for carrying weights over to another label map."""
