"""Hyperparameters: each declared once, with type, range, default and meaning; decoded and checked in one place."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataloop_jobs.declarations import ARCHITECTURES, TASK_TYPES, find
from dataloop_jobs.faults import BadParameter


@dataclass(frozen=True)
class Rule:
    """What a value must be: low ≤ value ≤ high, a multiple, or one of the choices; text says what it does.

    only: the task types that use it; empty means all. A value other than the default is refused for the others.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    multiple_of: int = 1
    choices: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


def declared(default: Any, text: str, **limits: Any) -> Any:
    """A dataclass field that carries its rule."""
    return dataclasses.field(default=default, metadata={"rule": Rule(text, **limits)})


# Task types that say which labels an image has, and those that say where.
_OF_WHOLE_IMAGES = ("classification", "multilabel_classification")
_OF_OBJECTS = ("detection", "instance_segmentation")


@dataclass(frozen=True)
class Parameters:
    """A training job's hyperparameters. The defaults suit some hundred images of a few classes on two CPU cores."""

    task_type: str = declared("", "what is learnt", choices=tuple(sorted(TASK_TYPES)))
    architecture: str = declared("efficientnet_lite0", "the network's body", choices=tuple(sorted(ARCHITECTURES)))
    image_size: int = declared(
        192, "side of the square network input, pixels; images are scaled into it", low=32, high=1280, multiple_of=32
    )
    epochs: int = declared(12, "passes over the training images", low=1, high=10_000)
    batch_size: int = declared(8, "images a step", low=1, high=1024)
    learning_rate: float = declared(0.002, "highest learning rate of the head (AdamW)", low=1e-7, high=1.0)
    backbone_rate: float = declared(0.3, "learning rate of the body as a share of the head's", low=0.0, high=1.0)
    weight_decay: float = declared(0.02, "AdamW weight decay", low=0.0, high=1.0)
    schedule: str = declared(
        "cosine",
        "learning rate after the warm-up: cosine falls to 0, step falls at each milestone, constant stays",
        choices=("constant", "cosine", "step"),
    )
    warmup: float = declared(0.1, "share of all steps in which the learning rate rises", low=0.0, high=0.9)
    milestones: tuple[float, ...] = declared(
        (0.6, 0.85), "schedule step: shares of all steps after which the learning rate falls", low=0.0, high=1.0
    )
    step_gamma: float = declared(
        0.1, "schedule step: what the learning rate is multiplied by at a milestone", low=0.001, high=1.0
    )
    gradient_clip: float = declared(5.0, "largest gradient norm; larger ones are scaled down", low=1e-3, high=1e6)
    ema_decay: float = declared(
        0.0,
        "decay of the averaged weights that are evaluated and kept; 0 keeps the last weights",
        low=0.0,
        high=0.99999,
    )
    frozen_stages: int = declared(3, "stages of the body that stay as they are (0 trains all of it)", low=0, high=7)
    pretrained: bool = declared(True, "start from ImageNet weights; false starts from random ones")
    augment: str = declared(
        "light", "none; light = zoom, shift, colour; flip = light and mirrored", choices=("flip", "light", "none")
    )
    colour: float = declared(
        1.0, "strength of the colour change of light and flip: 0 none, 1 usual, 2 twice that", low=0.0, high=3.0
    )
    blur: float = declared(0.0, "largest radius of a random Gaussian blur, pixels; 0 never", low=0.0, high=10.0)
    rotate: float = declared(0.0, "largest random rotation to either side, degrees; 0 never", low=0.0, high=180.0)
    mixup: float = declared(
        0.0,
        "alpha of the Beta distribution that two images and their labels are mixed by; 0 never",
        low=0.0,
        high=10.0,
        only=_OF_WHOLE_IMAGES,
    )
    mosaic: float = declared(
        0.0, "share of images that are put together from four", low=0.0, high=1.0, only=_OF_OBJECTS
    )
    class_balance: str = declared(
        "none",
        "none; sampling = images of rare labels come more often; loss = rare labels weigh more (whole-image labels only)",
        choices=("loss", "none", "sampling"),
    )
    early_stop_patience: int = declared(
        0, "validations without a better result before stopping; 0 never", low=0, high=10_000
    )
    evaluate_every: int = declared(1, "epochs between two validations; the last epoch always has one", low=1, high=1000)
    max_cpu_seconds: float = declared(0.0, "stop after so much CPU time, all starts together; 0 no limit", low=0.0)
    seed: int = declared(0, "seed of weights, order and augmentation", low=0, high=2**31 - 1)
    threads: int = declared(
        2, "CPU threads of torch and ONNX Runtime; more than the idle cores makes it slower", low=1, high=256
    )
    workers: int = declared(
        0, "threads that prepare images ahead; 0 prepares them in the training loop", low=0, high=64
    )
    image_cache_mb: int = declared(1024, "memory for decoded, scaled images", low=0, high=1_000_000)
    precision: str = declared(
        "float32",
        "arithmetic of the training steps; float16 needs a GPU",
        choices=("bfloat16", "float16", "float32"),
    )
    compile: bool = declared(False, "compile the network with torch.compile; needs a C++ compiler in the container")
    processes_per_host: int = declared(
        0, "training processes on each instance, which share every batch; 0 = one a GPU, at least one", low=0, high=64
    )
    tensorboard: bool = declared(False, "write TensorBoard event files to output/tensorboard")
    pruning_macs_kept: float = declared(
        0.0,
        "prune the parent's network to this share of its multiplications before training; 0 = do not prune",
        low=0.0,
        high=1.0,
    )
    pruning_source: str = declared(
        "scan",
        "how layers are chosen: magnitude = the same share of each; scan = by a sensitivity scan",
        choices=("magnitude", "scan"),
    )
    compression_max_drop: float = declared(
        0.02,
        "share of the parent's primary metric that a pruned or quantised model may lose and still be released",
        low=0.0,
        high=1.0,
    )
    quantization: str = declared(
        "none", "int8 = train the parent's network on as it will compute in int8", choices=("int8", "none")
    )
    # The threshold is otherwise chosen on the validation split: see task_types.
    score_threshold: float = declared(
        0.0, "score from which a box counts as found; 0 = best F1 on val", low=0.0, high=1.0
    )

    @classmethod
    def decode(cls, given: Mapping[str, object]) -> Parameters:
        """Check the given values and fill in defaults. Raises BadParameter naming parameter and value."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in given.items():
            if name not in fields:
                raise BadParameter(name, value, f"unknown hyperparameter; there is {', '.join(fields)}")
        values: dict[str, Any] = {name: _checked(fields[name], value) for name, value in given.items()}
        if "task_type" not in values:
            raise BadParameter("task_type", None, f"missing; choose one of {', '.join(sorted(TASK_TYPES))}")
        parameters = cls(**values)
        supported = find(ARCHITECTURES, "architecture", parameters.architecture).supports
        if parameters.task_type not in supported:
            raise BadParameter("architecture", parameters.architecture, f"only for task_type {' or '.join(supported)}")
        _refuse_unused(parameters, fields)
        return parameters

    def to_dict(self) -> dict[str, Any]:
        """Name → value, for checkpoints and model cards."""
        return dataclasses.asdict(self)


def _refuse_unused(parameters: Parameters, fields: Mapping[str, dataclasses.Field[Any]]) -> None:
    """A value that nothing would read is a misunderstanding: say so before hours are spent."""
    task_type = parameters.task_type
    for name, field in fields.items():
        only = field.metadata["rule"].only
        value = getattr(parameters, name)
        if only and task_type not in only and value != field.default:
            raise BadParameter(name, value, f"not used by task_type {task_type}; only by {' and '.join(only)}")
    if parameters.class_balance == "loss" and task_type not in _OF_WHOLE_IMAGES:
        raise BadParameter(
            "class_balance",
            "loss",
            f"not used by task_type {task_type}; only by {' and '.join(_OF_WHOLE_IMAGES)}: use sampling",
        )


def _checked(field: dataclasses.Field[Any], value: object) -> object:
    """The value as the type the field has. Raises BadParameter."""
    rule: Rule = field.metadata["rule"]
    if field.type == "str":
        if not isinstance(value, str) or value not in rule.choices:
            raise BadParameter(field.name, value, f"must be one of {', '.join(rule.choices)}")
        return value
    if field.type == "bool":
        if not isinstance(value, bool):
            raise BadParameter(field.name, value, "must be true or false")
        return value
    if field.type == "tuple[float, ...]":
        if not isinstance(value, (list, tuple)):
            raise BadParameter(field.name, value, "must be a list of numbers")
        numbers = tuple(_number(field.name, rule, one, float) for one in value)
        if list(numbers) != sorted(set(numbers)):
            raise BadParameter(field.name, value, "must rise from each number to the next")
        return numbers
    return _number(field.name, rule, value, int if field.type == "int" else float)


def _number(name: str, rule: Rule, value: object, kind: type[int] | type[float]) -> int | float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or value in (math.inf, -math.inf)
        or value != value
    ):
        raise BadParameter(name, value, f"must be {'a whole number' if kind is int else 'a number'}")
    if kind is int and value != int(value):
        raise BadParameter(name, value, "must be a whole number")
    # JSON has whole numbers that no float can hold.
    high = min(rule.high, sys.float_info.max)
    if not rule.low <= value <= high:
        allowed = f"{rule.low:.10g} or more" if value < rule.low and math.isinf(rule.high) else ""
        raise BadParameter(name, value, f"must be {allowed or f'from {rule.low:.10g} to {high:.10g}'}")
    if kind is int and int(value) % rule.multiple_of:
        raise BadParameter(name, value, f"must be a multiple of {rule.multiple_of}")
    return kind(value)
