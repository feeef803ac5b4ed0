"""Rows → batches: pixels, augmentation, targets. A batch depends only on seed, epoch and position, never on history."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataloop_jobs.augmentation import augment
from dataloop_jobs.dataset import Row
from dataloop_jobs.images import ImageStore, normalise
from dataloop_jobs.task_types.surface import Arrays, TaskType

# Separates the random streams that share a seed.
_ORDER, _AUGMENT = 1, 2
# Batches prepared ahead by each worker: enough to hide a slow one, little memory.
_AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """images: float32 (N, 3, S, S). targets: tensors by name, first axis N."""

    images: Tensor
    targets: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """The batch on another device; images are stored channels last, which convolutions prefer."""
        images = self.images.to(device, memory_format=torch.channels_last, non_blocking=True)
        return Batch(images, {name: value.to(device, non_blocking=True) for name, value in self.targets.items()})


class Samples:
    """The images of one split as batches. augment_kind "none" gives them as they are."""

    def __init__(self, task: TaskType, rows: Sequence[Row], store: ImageStore, *, augment_kind: str, seed: int):
        self._task, self._rows, self._store = task, rows, store
        self._augment_kind, self._seed = augment_kind, seed

    def __len__(self) -> int:
        return len(self._rows)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The epoch's permutation of the rows."""
        return np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._rows))

    def batches(
        self, order: Sequence[int] | NDArray[np.int64], epoch: int, batch_size: int, *, workers: int = 0, first: int = 0
    ) -> Iterator[Batch]:
        """Batches of `order`, from number `first` on. workers: threads that prepare ahead; the batches are the same."""
        chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)][first:]
        if not workers:
            for chunk in chunks:
                yield self._batch(chunk, epoch)
            return
        with ThreadPoolExecutor(workers) as pool:
            pending: deque[Future[Batch]] = deque()
            for chunk in chunks:
                pending.append(pool.submit(self._batch, chunk, epoch))
                if len(pending) > workers * _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _batch(self, chunk: Sequence[int] | NDArray[np.int64], epoch: int) -> Batch:
        pixels, targets = zip(*(self._sample(int(index), epoch) for index in chunk), strict=True)
        stacked = {name: torch.from_numpy(np.stack([one[name] for one in targets])) for name in targets[0]}
        return Batch(torch.from_numpy(normalise(np.stack(pixels))), stacked)

    def _sample(self, index: int, epoch: int) -> tuple[NDArray[np.uint8], Arrays]:
        row = self._rows[index]
        pixels, fit = self._store.load(row)
        labels = np.array([truth.label for truth in row.truths], dtype=np.int64)
        corners = [fit.to_input(truth.box) if truth.box else (0.0, 0.0, 0.0, 0.0) for truth in row.truths]
        boxes = np.array(corners, dtype=np.float32).reshape(-1, 4)
        if self._augment_kind != "none":
            rng = np.random.default_rng([self._seed, _AUGMENT, epoch, index])
            pixels, boxes, visible = augment(pixels, boxes, self._augment_kind, rng)
            if self._task.needs_boxes:
                labels, boxes = labels[visible], boxes[visible]
        return pixels, self._task.targets(labels, boxes, self._store.size)
