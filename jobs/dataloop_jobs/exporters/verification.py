"""The proof that an artefact computes what its reference computes, on real images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.session import Outputs
from dataloop_jobs.faults import VerificationFailed

Runner = Callable[[NDArray[np.float32]], Outputs]

SAMPLES = 32
# Single-image runs that latency is the median of, after the warm-up.
_RUNS, _WARM_UP = 15, 3


@dataclass(frozen=True)
class Tolerance:
    """How far raw outputs may be apart (one limit for all, or one for each output), and why that is right for the format."""

    limit: float | tuple[float, ...]
    reason: str


# Raw network outputs are of the order of 1 to 10 and feed a sigmoid; this is far below what a score can show.
FLOAT32 = Tolerance(1e-3, "the same float32 arithmetic in another order; a score moves by less than 0.0003")
# A value between two steps of int8 is rounded one way by torch and the other by ONNX Runtime, and later layers carry the
# difference on. Of 110,000 prototype values of an instance segmentation model the largest difference was 0.33 to 0.44 of
# their standard deviation (RMS 0.03); one layer whose weights are 1.5 times too large is off by 1.5 to 3.
_ROUNDED_SPREAD = 0.75
# Logits and log distances beyond this are no network's that learnt something.
_LARGEST_SOUND = 1e3


def rounded(reference: Runner, batches: Iterable[NDArray[np.float32]]) -> Tolerance:
    """The tolerance of a network that computes in int8: for each output three quarters of its own spread.

    reference: the network in torch or ONNX Runtime; batches: those of the comparison. Spread is the standard deviation.
    A wrongly converted graph is off by more than one; what the rounding costs shows in the metrics, which are measured
    with the artefact itself.
    """
    outputs = [reference(images) for images in batches]
    spreads = [
        float(np.concatenate([output.ravel() for output in parts]).std()) for parts in zip(*outputs, strict=True)
    ]
    return Tolerance(
        tuple(_ROUNDED_SPREAD * spread for spread in spreads),
        "three quarters of each output's standard deviation: sums lie near the border of two int8 steps",
    )


@dataclass(frozen=True)
class Agreement:
    """How far two networks were apart at most on all samples; with several limits, of the output nearest to its own."""

    samples: int
    max_abs_diff: float
    tolerance: float


@dataclass(frozen=True)
class Verification:
    """What was proved of an artefact; becomes verification.json.

    checked: outputs (its runtime's raw outputs), answers (what its server says), accuracy (what it costs on the test
    split), program (its saved operators, run by an interpreter of ours because its runtime is not available here).
    latency_ms: median of single images on this machine, None where the artefact's runtime cannot run here.
    """

    checked: Literal["outputs", "answers", "accuracy", "program"]
    reference: Literal["torch", "onnx"]
    agreement: Agreement
    reason: str
    latency_ms: float | None
    reference_latency_ms: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def compare(
    name: str,
    reference: Runner,
    candidate: Runner,
    batches: Iterable[NDArray[np.float32]],
    limit: float | tuple[float, ...] = FLOAT32.limit,
) -> Agreement:
    """Run both on every batch. Raises VerificationFailed, with both numbers, when they differ by more than `limit`."""
    apart: list[float] = []
    reach, samples = 0.0, 0
    for images in batches:
        pairs = list(zip(reference(images), candidate(images), strict=True))
        apart = apart or [0.0] * len(pairs)
        for number, (wanted, got) in enumerate(pairs):
            if wanted.shape != got.shape:
                raise VerificationFailed(f"{name}: an output has shape {got.shape}, the reference has {wanted.shape}")
            difference = float(np.abs(wanted - got).max())
            # NaN would lose every comparison silently.
            apart[number] = max(apart[number], difference if np.isfinite(difference) else np.inf)
            reach = max(reach, float(np.abs(wanted).max()))
        samples += len(images)
    if not samples:
        raise VerificationFailed(f"{name}: there is no image to verify on")
    limits = limit if isinstance(limit, tuple) else (limit,) * len(apart)
    excess, largest, allowed = max(
        ((found - own, found, own) for found, own in zip(apart, limits, strict=True)), key=lambda each: each[0]
    )
    if not np.isfinite(apart).all():
        excess, largest = np.inf, np.inf
    if excess > 0:
        said = f"; outputs reach {reach:.3g}: the training has probably diverged, use a lower learning_rate"
        raise VerificationFailed(
            f"{name}: outputs differ from the reference by {largest:.3g} on {samples} samples; "
            f"at most {allowed:g} is allowed{said if reach > _LARGEST_SOUND else ''}"
        )
    return Agreement(samples, largest, allowed)


def latency_ms(run: Runner, image: NDArray[np.float32]) -> float:
    """Median milliseconds of one image, float32 (1, 3, S, S). Cost: 18 runs."""
    spent = []
    for number in range(_WARM_UP + _RUNS):
        start = time.perf_counter()
        run(image)
        if number >= _WARM_UP:
            spent.append(time.perf_counter() - start)
    return round(1000 * statistics.median(spent), 2)


def one_by_one(run: Runner) -> Runner:
    """A runner for artefacts of batch size one: each image alone, outputs joined."""

    def run_all(images: NDArray[np.float32]) -> Outputs:
        outputs = [run(images[index : index + 1]) for index in range(len(images))]
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]

    return run_all


def verify_outputs(
    name: str,
    reference: Runner,
    candidate: Runner,
    batches: Iterable[NDArray[np.float32]],
    tolerance: Tolerance,
    *,
    against: Literal["torch", "onnx"] = "onnx",
    details: Mapping[str, Any] | None = None,
) -> Verification:
    """The usual proof: both on every sample, then both timed on the first image. Raises VerificationFailed."""
    kept = list(batches)
    agreement = compare(name, reference, candidate, kept, tolerance.limit)
    first = kept[0][:1]
    return Verification(
        "outputs",
        against,
        agreement,
        tolerance.reason,
        latency_ms(candidate, first),
        latency_ms(reference, first),
        details or {},
    )
