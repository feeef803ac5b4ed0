"""The proof that an artefact computes what its reference computes, on real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.faults import VerificationFailed
from dataloop_jobs.inference import Outputs

# Raw network outputs are of the order of 1 to 10 and feed a sigmoid; this is far below what a score can show.
TOLERANCE = 1e-3
SAMPLES = 32


@dataclass(frozen=True)
class Agreement:
    """How far two networks were apart at most, over all outputs of all samples."""

    samples: int
    max_abs_diff: float
    tolerance: float


def compare(
    name: str,
    reference: Callable[[NDArray[np.float32]], Outputs],
    candidate: Callable[[NDArray[np.float32]], Outputs],
    batches: Iterable[NDArray[np.float32]],
) -> Agreement:
    """Run both on every batch. Raises VerificationFailed, with both numbers, when they differ by more than 0.001."""
    largest, samples = 0.0, 0
    for images in batches:
        for wanted, got in zip(reference(images), candidate(images), strict=True):
            if wanted.shape != got.shape:
                raise VerificationFailed(f"{name}: an output has shape {got.shape}, the reference has {wanted.shape}")
            # NaN would lose every comparison silently.
            difference = float(np.nan_to_num(np.abs(wanted - got).max(), nan=np.inf))
            largest = max(largest, difference)
        samples += len(images)
    if largest > TOLERANCE:
        raise VerificationFailed(
            f"{name}: outputs differ from the reference by {largest:.3g} on {samples} samples; "
            f"at most {TOLERANCE:g} is allowed"
        )
    return Agreement(samples, largest, TOLERANCE)
