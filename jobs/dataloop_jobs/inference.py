"""Running a network over rows: torch while training, ONNX Runtime for every score that is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataloop_inference.decoding import decode
from dataloop_inference.images import Letterbox, normalise
from dataloop_inference.predictions import Prediction
from dataloop_inference.session import Outputs
from dataloop_jobs.dataset import Row
from dataloop_jobs.images import ImageStore
from dataloop_jobs.loss_terms import mean_loss
from dataloop_jobs.samples import Samples
from dataloop_jobs.task_types.surface import TaskType

# Images a forward pass: larger gains nothing on a CPU and only takes memory.
BATCH = 8


def input_batches(rows: Sequence[Row], store: ImageStore) -> Iterator[tuple[NDArray[np.float32], list[Letterbox]]]:
    """Network input float32 (n ≤ 8, 3, S, S) and letterboxes, in the order of the rows."""
    for start in range(0, len(rows), BATCH):
        pixels, fits = zip(*(store.load(row) for row in rows[start : start + BATCH]), strict=True)
        yield normalise(np.stack(pixels)), list(fits)


def predict(
    run: Callable[[NDArray[np.float32]], Outputs],
    task: TaskType,
    rows: Sequence[Row],
    store: ImageStore,
    settings: Mapping[str, Any],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[Prediction]]:
    """Predictions of each row. run: network input → outputs. on_progress(done, total) may raise to stop."""
    predictions: list[list[Prediction]] = []
    on_progress(0, len(rows))
    for images, fits in input_batches(rows, store):
        predictions += decode(settings, run(images), fits)
        on_progress(len(predictions), len(rows))
    return predictions


def torch_runner(network: nn.Module, device: torch.device) -> Callable[[NDArray[np.float32]], Outputs]:
    """The network (in evaluation mode) as a function on numpy arrays."""

    def run(images: NDArray[np.float32]) -> Outputs:
        batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.inference_mode():
            return [output.float().cpu().numpy() for output in network(batch)]

    return run


class Validation:
    """The engine's judge: mean loss and metric of a network on the validation rows."""

    def __init__(
        self,
        task: TaskType,
        rows: Sequence[Row],
        store: ImageStore,
        labels: Sequence[str],
        device: torch.device,
        on_batch: Callable[[], None] = lambda: None,
    ):
        """on_batch is called before each batch; it may raise to stop."""
        self._task, self._rows, self._store, self._labels, self._device = task, rows, store, labels, device
        self._samples = Samples(task, rows, store, num_classes=len(labels), seed=0)
        self._on_batch = on_batch

    def __call__(self, network: nn.Module) -> tuple[float | None, float | None]:
        """One pass over the rows gives both numbers."""
        losses = 0.0
        predictions: list[list[Prediction]] = []
        settings = self._task.decode_settings()
        order = np.arange(len(self._rows))
        for number, batch in enumerate(self._samples.batches(order, 0, BATCH)):
            self._on_batch()
            rows = self._rows[number * BATCH : (number + 1) * BATCH]
            on_device = batch.to(self._device)
            with torch.inference_mode():
                outputs = [output.float() for output in network(on_device.images)]
                losses += float(mean_loss(self._task.loss(outputs, on_device.targets, len(self._labels)))) * len(rows)
            fits = [self._store.load(row)[1] for row in rows]
            predictions += decode(settings, [output.cpu().numpy() for output in outputs], fits)
        scores = self._task.score(self._rows, predictions, self._labels, 0.0)
        return losses / len(self._rows), scores.primary

    def threshold(self, predictions: Sequence[Sequence[Prediction]]) -> float | None:
        """The task's best threshold for these predictions of the validation rows."""
        return self._task.choose_threshold(self._rows, predictions, self._labels)
