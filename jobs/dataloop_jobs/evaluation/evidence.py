"""What is kept of each image, so that the metric of any part or resample of the images needs no new matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Members = NDArray[np.int64]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong about one image.

    kind: missed (a truth nobody found), false (found, not there), confused (there, with another label), low_iou (right
    label, wrong pixels or an overlap too small). truth and prediction: positions in the row's truths and in the image's
    predictions, None where the fault has no such side. label and said: indices of the true and the predicted label.
    """

    kind: str
    label: int | None = None
    said: int | None = None
    truth: int | None = None
    prediction: int | None = None
    iou: float | None = None


@dataclass(frozen=True)
class Finding:
    """How wrong one image is. loss: 0 = nothing to complain about; comparable between images of one evaluation."""

    loss: float
    faults: tuple[Fault, ...]


class Evidence(Protocol):
    """Facts of each image of an evaluation, in the order of its rows.

    weights: float64 (B, images), how often each image counts in each of B selections: ones for all images, zeros and
    ones for a slice, counts for a bootstrap resample.
    """

    @property
    def images(self) -> int:
        """Number of images."""

    @property
    def size(self) -> int:
        """Numbers that one selection has to look at: the cost of `primary` is B × size."""

    def per_class(self, weights: Numbers) -> Numbers:
        """The class's part of the primary metric: (B, classes), NaN where it cannot be computed."""

    def primary(self, weights: Numbers) -> Numbers:
        """The primary metric: (B,), NaN where it cannot be computed."""

    def select(self, members: Members) -> Evidence:
        """The evidence of these images alone, in this order."""

    def by_size(self) -> Mapping[str, Evidence]:
        """The same images with only objects of one size (COCO's small, medium, large); empty without objects."""

    def size_images(self, name: str) -> int:
        """Images with at least one true object of that size."""

    def findings(self, threshold: float) -> Sequence[Finding]:
        """How wrong each image is."""


def mean_of_known(values: Numbers) -> Numbers:
    """(B, classes) → (B,): the mean without NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def ratio(part: Numbers, whole: Numbers) -> Numbers:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def plain(value: float) -> float | None:
    """A number for JSON: None instead of NaN."""
    return None if np.isnan(value) else float(value)
