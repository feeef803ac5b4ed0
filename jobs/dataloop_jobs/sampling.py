"""Class balance: how often each image comes in an epoch, and how much each label weighs in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.dataset import Row

# Separates the random streams that share a seed (samples.py has its own numbers).
_ORDER = 1


@dataclass(frozen=True)
class Share:
    """The part of every batch that a training process takes: contiguous, nearly equal."""

    rank: int = 0
    processes: int = 1

    def bounds(self, size: int) -> tuple[int, int]:
        """First and last + 1 of this process's images in a batch of `size`; equal where there is none for it."""
        return size * self.rank // self.processes, size * (self.rank + 1) // self.processes


WHOLE = Share()


def order(rows: Sequence[Row], epoch: int, seed: int, balance: str) -> NDArray[np.int64]:
    """The indexes of the epoch's images, in order: a permutation, with repeats for balance "sampling".

    It depends on the arguments alone, and its length is `epoch_length` for every epoch.
    """
    rng = np.random.default_rng([seed, _ORDER, epoch])
    if balance != "sampling":
        return rng.permutation(len(rows))
    factors = repeat_factors(rows)
    # Systematic sampling: image i comes floor or ceil of its factor, on average its factor, and the total is fixed.
    ends = np.floor(np.cumsum(factors) + rng.random())
    # The sum of factors is whole; rounding errors of the running sum must not lose or add an image.
    ends[-1] = round(factors.sum())
    counts = np.diff(ends, prepend=0.0).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(rows)), counts))


def epoch_length(rows: Sequence[Row], balance: str) -> int:
    """Images in an epoch, repeats counted."""
    return round(repeat_factors(rows).sum()) if balance == "sampling" else len(rows)


def repeat_factors(rows: Sequence[Row]) -> NDArray[np.float64]:
    """How often each image comes in an epoch on average, at least about once; the sum is a whole number.

    An image's factor is that of its rarest label: sqrt(mean frequency / frequency), where a label's frequency is the
    number of images it is on. Source: repeat factor sampling, Gupta et al., "LVIS", arXiv 1908.03195; its threshold
    (0.001, made for 1,200 labels) is the mean over the labels here, so that it suits any number of them.
    """
    labels = [frozenset(truth.label for truth in row.truths) for row in rows]
    images: dict[int, int] = {}
    for label in (label for found in labels for label in found):
        images[label] = images.get(label, 0) + 1
    if not images:
        return np.ones(len(rows))
    mean = sum(images.values()) / len(images)
    of_label = {label: max(1.0, (mean / count) ** 0.5) for label, count in images.items()}
    factors = np.array([max((of_label[label] for label in found), default=1.0) for found in labels])
    total = factors.sum()
    return np.asarray(factors * (round(total) / total))


def class_weights(rows: Sequence[Row], num_classes: int) -> NDArray[np.float32]:
    """How much each label weighs in the loss, mean 1: float32 (num_classes,).

    The inverse of the effective number of examples, (1 - b^n) / (1 - b). Source: Cui et al., "Class-Balanced Loss Based
    on Effective Number of Samples", arXiv 1901.05555, with b = 1 - 1/N for N labelled examples. A label without an
    example weighs as much as one with a single example.
    """
    counts = np.zeros(num_classes)
    for row in rows:
        for label in {truth.label for truth in row.truths}:
            counts[label] += 1
    total = max(2.0, counts.sum())
    effective = (1 - (1 - 1 / total) ** np.maximum(counts, 1)) * total
    weights = 1 / effective
    return np.asarray(weights / weights.mean(), dtype=np.float32)
