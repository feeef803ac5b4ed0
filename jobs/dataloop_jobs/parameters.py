"""Hyperparameters: each declared once, with type, range, default and meaning; decoded and checked in one place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataloop_jobs.declarations import ARCHITECTURES, TASK_TYPES, find
from dataloop_jobs.faults import BadParameter


@dataclass(frozen=True)
class Rule:
    """What a value must be: low ≤ value ≤ high, a multiple, or one of the choices; text says what it does."""

    text: str
    low: float = -math.inf
    high: float = math.inf
    multiple_of: int = 1
    choices: tuple[str, ...] = ()


def declared(default: Any, text: str, **limits: Any) -> Any:
    """A dataclass field that carries its rule."""
    return dataclasses.field(default=default, metadata={"rule": Rule(text, **limits)})


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
    warmup: float = declared(0.1, "share of all steps in which the learning rate rises", low=0.0, high=0.9)
    gradient_clip: float = declared(5.0, "largest gradient norm; larger ones are scaled down", low=1e-3, high=1e6)
    ema_decay: float = declared(
        0.0,
        "decay of the averaged weights that are evaluated and kept; 0 keeps the last weights",
        low=0.0,
        high=0.99999,
    )
    frozen_stages: int = declared(3, "stages of the body that stay as they are (0 trains all of it)", low=0, high=7)
    augment: str = declared(
        "light", "none; light = zoom, shift, colour; flip = light and mirrored", choices=("flip", "light", "none")
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
    precision: str = declared("float32", "arithmetic of the training steps", choices=("bfloat16", "float32"))
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
        return parameters

    def to_dict(self) -> dict[str, Any]:
        """Name → value, for checkpoints and model cards."""
        return dataclasses.asdict(self)


def _checked(field: dataclasses.Field[Any], value: object) -> object:
    rule: Rule = field.metadata["rule"]
    kind = {"int": int, "float": float, "str": str}[str(field.type)]
    if kind is str:
        if not isinstance(value, str) or value not in rule.choices:
            raise BadParameter(field.name, value, f"must be one of {', '.join(rule.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadParameter(field.name, value, f"must be {'a whole number' if kind is int else 'a number'}")
    if kind is int and value != int(value):
        raise BadParameter(field.name, value, "must be a whole number")
    if not rule.low <= value <= rule.high:
        raise BadParameter(field.name, value, f"must be from {rule.low:g} to {rule.high:g}")
    if kind is int and int(value) % rule.multiple_of:
        raise BadParameter(field.name, value, f"must be a multiple of {rule.multiple_of}")
    return kind(value)
