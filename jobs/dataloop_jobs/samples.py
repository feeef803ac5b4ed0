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

from dataloop_inference.images import normalise
from dataloop_jobs.augmentation import UNCHANGED, Changes, augment, mosaic
from dataloop_jobs.dataset import Row
from dataloop_jobs.examples import Example
from dataloop_jobs.images import ImageStore
from dataloop_jobs.sampling import WHOLE, Share, epoch_length, order
from dataloop_jobs.task_types.surface import Arrays, TaskType

# Separates the random streams that share a seed (sampling.py has its own number).
_AUGMENT = 2
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


@dataclass(frozen=True)
class _Chunk:
    """Rows of one batch; start is the place of the first in the epoch."""

    start: int
    indexes: tuple[int, ...]

    @classmethod
    def cut(cls, order: Sequence[int] | NDArray[np.int64], start: int, size: int, share: Share) -> _Chunk:
        whole = order[start : start + size]
        begin, end = share.bounds(len(whole))
        if begin == end:
            begin, end = 0, 1
        return cls(start + begin, tuple(int(index) for index in whole[begin:end]))


class Samples:
    """The images of one split as batches.

    num_classes: how many labels the model can say. changes: what happens to an image, nothing by default.
    """

    def __init__(
        self,
        task: TaskType,
        rows: Sequence[Row],
        store: ImageStore,
        *,
        num_classes: int,
        seed: int,
        changes: Changes = UNCHANGED,
        class_balance: str = "none",
    ):
        self._task, self._rows, self._store, self._num_classes = task, rows, store, num_classes
        self._changes, self._seed, self._class_balance = changes, seed, class_balance

    def __len__(self) -> int:
        """Images in an epoch; an image that class balance repeats counts each time."""
        return epoch_length(self._rows, self._class_balance)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Indexes of the epoch's rows, in the order they are seen."""
        return order(self._rows, epoch, self._seed, self._class_balance)

    def batches(
        self,
        order: Sequence[int] | NDArray[np.int64],
        epoch: int,
        batch_size: int,
        *,
        workers: int = 0,
        first: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """This process's share of the batches of `order`, from number `first` on.

        workers: threads that prepare ahead; the batches are the same. Where a batch has no image for this process, it
        gets the batch's first one, so that all processes take every step together; the engine does not count it.
        """
        chunks = [_Chunk.cut(order, start, batch_size, share) for start in range(0, len(order), batch_size)][first:]
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

    def _batch(self, chunk: _Chunk, epoch: int) -> Batch:
        samples = (self._sample(index, epoch, place) for place, index in enumerate(chunk.indexes, chunk.start))
        pixels, targets = zip(*samples, strict=True)
        stacked = {name: torch.from_numpy(np.stack([one[name] for one in targets])) for name in targets[0]}
        return Batch(torch.from_numpy(normalise(np.stack(pixels))), stacked)

    def _sample(self, index: int, epoch: int, place: int) -> tuple[NDArray[np.uint8], Arrays]:
        """One image. place: its position in the epoch, so that an image that comes twice is changed in two ways."""
        if self._changes == UNCHANGED:
            example = self._example(index)
            return example.pixels, self._task.targets(example, self._num_classes)
        rng = np.random.default_rng([self._seed, _AUGMENT, epoch, place])
        pixels, targets = self._changed(index, rng)
        if not self._changes.mixup:
            return pixels, targets
        share = np.float32(rng.beta(self._changes.mixup, self._changes.mixup))
        others, other_targets = self._changed(int(rng.integers(len(self._rows))), rng)
        mixed = share * pixels + (1 - share) * others.astype(np.float32)
        soft = {name: share * value + (1 - share) * other_targets[name] for name, value in targets.items()}
        return np.rint(mixed).astype(np.uint8), soft

    def _changed(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Arrays]:
        example = self._example(index)
        if self._changes.mosaic and rng.random() < self._changes.mosaic:
            partners = rng.integers(len(self._rows), size=3)
            example = mosaic([example, *(self._example(int(partner)) for partner in partners)], rng)
        example = augment(example, self._changes, rng)
        return example.pixels, self._task.targets(example, self._num_classes)

    def _example(self, index: int) -> Example:
        row = self._rows[index]
        pixels, fit = self._store.load(row)
        corners = [fit.to_input(truth.box) if truth.box else (0.0, 0.0, 0.0, 0.0) for truth in row.truths]
        return Example(
            pixels,
            np.array([truth.label for truth in row.truths], dtype=np.int64),
            np.array(corners, dtype=np.float32).reshape(-1, 4),
            # A crowd is no object; its pixels still have its label.
            np.array([not truth.is_crowd for truth in row.truths], dtype=bool),
            self._store.regions(row, fit) if self._task.needs == "mask" else None,
        )
