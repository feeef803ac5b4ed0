"""The surface every task type has; the engine, evaluation and export know nothing else about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Dataset, Needs, Row
from dataloop_jobs.evaluation.scores import Scores
from dataloop_jobs.examples import Example
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.parameters import Parameters

Arrays = Mapping[str, NDArray[Any]]


class TaskType(Protocol):
    """One kind of learning. All functions are pure; sizes are in pixels of the square network input.

    needs: what each label must carry. default_threshold: the score from which a prediction counts where the validation
    split cannot say one; None where there is no such thing.
    """

    name: ClassVar[str]
    primary_name: ClassVar[str]
    needs: ClassVar[Needs]
    default_threshold: ClassVar[float | None]
    output_names: ClassVar[tuple[str, ...]]

    def check(self, dataset: Dataset) -> None:
        """Raises BadDataset when nothing can be learnt from the training rows."""

    def check_rows(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        """Raises BadDataset when a row's labels contradict each other. labels: names by index."""

    def usable(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """The rows that can be learnt from and scored."""

    def build(self, parameters: Parameters, num_classes: int, *, pretrained: bool) -> nn.Module:
        """The network: float32 (N, 3, S, S) → list of output tensors, in the order of `output_names`."""

    def targets(self, example: Example, num_classes: int) -> Arrays:
        """What the network should say about one image: arrays that can be stacked over a batch.

        A task type that parameters.mixup allows gives float32 arrays of which any mixture is a target, too.
        """

    def loss(
        self,
        outputs: Sequence[Tensor],
        targets: Mapping[str, Tensor],
        num_classes: int,
        class_weights: Tensor | None = None,
    ) -> list[Term]:
        """What to minimise, as terms whose totals and counts can be summed over the shares of a batch.

        Always the same number of terms, each with every output in its graph or in another's, also for a batch without
        any object. class_weights: float32 (num_classes,), only for task types that parameters.class_balance "loss"
        allows.
        """

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
