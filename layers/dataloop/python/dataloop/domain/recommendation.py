"""Training parameters for a data set and a machine, each with its reason. Pure rules; docs/jobs.md says their sources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.errors import InvalidInput

# Input sides in pixels: jobs/dataloop_jobs/parameters.py takes multiples of 32 from 32 to 1280.
_STRIDE = 32
_USUAL_SIDE, _LEAST_SIDE, _LARGEST_SIDE = 192, 64, 640
# The finest feature map has a cell for 8 × 8 pixels; an object needs about two cells a side to be told from its ground.
_LEAST_OBJECT_PX = 16
# Bytes of memory for each pixel of each image of a batch, measured (docs/training.md): activations and gradients.
_BYTES_PER_PIXEL = 1200
# Interpreter, torch and weights: 250 MB measured, and as much again for ONNX Runtime and the optimiser.
_FIXED_BYTES = 500_000_000
# Share of the memory that training may plan with; the rest is for decoded images and the system.
_MEMORY_SHARE = 0.5
_USUAL_BATCH = {"cpu": 8, "gpu": 32}
_LARGEST_BATCH = 1024
# The jobs' default at their default batch; Adam's rate goes with the root of the batch (Malladi et al., "On the SDEs and
# Scaling Rules for Adaptive Gradient Algorithms", arXiv 2205.10287), which docs/training.md checks at a batch of 2.
_RATE, _RATE_BATCH = 0.002, 8
# Steps of a training from ImageNet weights; where they come from: docs/training.md.
_STEPS = {"classification": 200, "multilabel_classification": 200}
_STEPS_OTHER = 400
_STEPS_PER_LABEL = 10
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 300
# A warm start continues from weights that know the data already.
_WARM_SHARE = 0.5
# With fewer validation images than this the metric jumps too much to stop by it.
_LEAST_VALIDATION = 50
# The most frequent label on this many times as many images as the rarest one.
_IMBALANCE = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known before a training.

    task_type: one of the catalog's, as the caller has checked. images, validation_images: of the training and the
    validation split. labels: images that have each label. longest_side: pixels, the median image's. object_side: the
    small objects' side (their 10th percentile) as a share of the image's longer side, for tasks with boxes or masks.
    memory_bytes: of the instance, or of one GPU where there are any. is_warm: starts from a model that was trained on
    earlier data of this kind.
    """

    task_type: str
    images: int
    labels: Mapping[str, int]
    validation_images: int = 0
    longest_side: int | None = None
    object_side: float | None = None
    memory_bytes: int | None = None
    gpus: int = 0
    is_warm: bool = False
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a parameter has this value."""

    parameter: str
    value: Any
    text: str


@dataclass(slots=True)
class Recommendation:
    """parameters: hyperparameters for `train`. steps_per_epoch: steps of one full pass; steps: of the whole training."""

    parameters: dict[str, Any] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    steps_per_epoch: int = 0
    steps: int = 0

    def add(self, parameter: str, value: Any, text: str) -> None:
        """Recommend a value."""
        self.parameters[parameter] = value
        self.reasons.append(Reason(parameter, value, text))


def recommend(facts: Facts) -> Recommendation:
    """Parameters with reasons. Raises InvalidInput naming the fact that cannot be used."""
    _check(facts)
    advice = Recommendation()
    side = _add_image_size(facts, advice)
    batch = _add_batch_size(facts, advice, side)
    rate = _RATE * math.sqrt(batch / _RATE_BATCH) * (_WARM_SHARE if facts.is_warm else 1)
    rate = float(f"{rate:.2g}")
    warm = ", halved because a warm start needs only to adjust" if facts.is_warm else ""
    advice.add(
        "learning_rate",
        rate,
        f"{_RATE:g} is the default at a batch of {_RATE_BATCH}, and the rate goes with the root of the batch ({batch}){warm}",
    )
    _add_epochs(facts, advice, batch)
    _add_class_balance(facts, advice)
    return advice


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps (iterations) of one full pass; the last one may have fewer images."""
    if batch_size < 1:
        raise InvalidInput("batch_size", "must be at least 1", batch_size)
    return math.ceil(images / batch_size)


def _check(facts: Facts) -> None:
    if facts.images < 1:
        raise InvalidInput("images", "must be at least 1: the training split is empty", facts.images)
    if facts.object_side is not None and not 0 < facts.object_side <= 1:
        raise InvalidInput("object_side", "must be a share of the image, above 0 and at most 1", facts.object_side)
    for name in ("longest_side", "memory_bytes", "batch_size"):
        value = getattr(facts, name)
        if value is not None and value < 1:
            raise InvalidInput(name, "must be at least 1", value)


def _add_image_size(facts: Facts, advice: Recommendation) -> int:
    side, why = _USUAL_SIDE, f"{_USUAL_SIDE} pixels is the size the network's defaults are measured at"
    if facts.object_side is not None:
        side = math.ceil(_LEAST_OBJECT_PX / facts.object_side)
        why = (
            f"small objects have {facts.object_side:.3g} of the image's side; {_LEAST_OBJECT_PX} pixels, two cells of "
            f"the finest feature map, need {side}"
        )
    if facts.longest_side is not None and facts.longest_side < side:
        side, why = facts.longest_side, f"the images have {facts.longest_side} pixels; scaling up adds nothing"
    rounded = _STRIDE * math.ceil(side / _STRIDE)
    chosen = min(_LARGEST_SIDE, max(_LEAST_SIDE, rounded))
    if chosen != rounded:
        why += f"; kept within {_LEAST_SIDE} and {_LARGEST_SIDE}"
    elif chosen != side:
        why += f"; rounded up to a multiple of {_STRIDE}"
    advice.add("image_size", chosen, why)
    return chosen


def _add_batch_size(facts: Facts, advice: Recommendation, side: int) -> int:
    if facts.batch_size is not None:
        advice.add("batch_size", facts.batch_size, "as asked")
        return facts.batch_size
    batch = min(_LARGEST_BATCH, _USUAL_BATCH["gpu"] * facts.gpus) if facts.gpus else _USUAL_BATCH["cpu"]
    why = f"{batch} is usual for {f'{facts.gpus} GPUs' if facts.gpus else 'a CPU'}"
    if facts.memory_bytes is not None:
        room = facts.memory_bytes * _MEMORY_SHARE - _FIXED_BYTES
        fitting = max(1, int(room / (_BYTES_PER_PIXEL * side * side))) * max(1, facts.gpus)
        if fitting < batch:
            batch = fitting
            why = (
                f"{facts.memory_bytes / 1e9:.1f} GB of memory hold {fitting} images of {side} × {side} pixels "
                f"at {_BYTES_PER_PIXEL} bytes a pixel"
            )
    half = max(1, facts.images // 2)
    if half < batch:
        batch, why = half, f"half of the {facts.images} training images, so that an epoch has at least two steps"
    advice.add("batch_size", batch, why)
    return batch


def _add_epochs(facts: Facts, advice: Recommendation, batch: int) -> None:
    per_epoch = steps_per_epoch(facts.images, batch)
    base = _STEPS.get(facts.task_type, _STEPS_OTHER)
    wanted = base + _STEPS_PER_LABEL * len(facts.labels)
    if facts.is_warm:
        wanted = round(wanted * _WARM_SHARE)
    epochs = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, math.ceil(wanted / per_epoch)))
    advice.steps_per_epoch, advice.steps = per_epoch, per_epoch * epochs
    advice.add(
        "epochs",
        epochs,
        f"{facts.images} images in batches of {batch} are {per_epoch} steps a pass; {facts.task_type} with "
        f"{len(facts.labels)} labels wants about {wanted} steps{' after a warm start' if facts.is_warm else ''}, and "
        f"between {_LEAST_EPOCHS} and {_MOST_EPOCHS} passes",
    )
    if facts.validation_images >= _LEAST_VALIDATION:
        patience = max(3, math.ceil(epochs / 4))
        text = f"{facts.validation_images} validation images judge an epoch well enough to stop a quarter of them later"
        advice.add("early_stop_patience", patience, text)
    else:
        text = f"{facts.validation_images} validation images are too few to stop by; from {_LEAST_VALIDATION} on it is"
        advice.add("early_stop_patience", 0, text)


def _add_class_balance(facts: Facts, advice: Recommendation) -> None:
    counts = {label: count for label, count in facts.labels.items() if count > 0}
    if len(counts) < 2:
        return
    often, rare = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    ratio = counts[often] / counts[rare]
    text = f"{often!r} is on {counts[often]} images, {rare!r} on {counts[rare]}: {ratio:.1f} times as many"
    if ratio >= _IMBALANCE:
        advice.add("class_balance", "sampling", f"{text}; images of rare labels come more often")
    else:
        advice.add("class_balance", "none", f"{text}; below {_IMBALANCE} times nothing has to be done")
