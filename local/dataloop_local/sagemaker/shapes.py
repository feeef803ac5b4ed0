"""Request validation against AWS's own SageMaker model, as botocore ships it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

# A refused value is quoted, but a whole file that was passed by mistake is not.
_SHOWN_MAX = 200


class SageMakerError(Exception):
    """An error the API answers with; `code` is the name in the service model."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@cache
def service_model() -> ServiceModel:
    return botocore.session.get_session().get_service_model("sagemaker")


def validate(operation: str, request: dict[str, Any]) -> None:
    """Raise ValidationException unless `request` fits the operation's input: types, required members, lengths,
    patterns, enumerations. botocore checks the first half, clients never check the second, the service does."""
    shape = service_model().operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise SageMakerError("ValidationException", report.generate_report())
    problems = [] if shape is None else list(_constraint_errors(shape, request, ""))
    if problems:
        count = len(problems)
        raise SageMakerError(
            "ValidationException", f"{count} validation error{'s' * (count > 1)} detected: {'; '.join(problems)}"
        )


def _constraint_errors(shape: Shape, value: Any, where: str) -> list[str]:
    if value is None:
        return []
    if shape.type_name == "structure":
        members: dict[str, Shape] = shape.members
        return [
            e
            for name, v in value.items()
            if name in members
            for e in _constraint_errors(members[name], v, f"{where}.{name}")
        ]
    found = _own_errors(shape, value, where.lstrip("."))
    if shape.type_name == "list":
        for index, item in enumerate(value):
            found += _constraint_errors(shape.member, item, f"{where}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            found += _constraint_errors(shape.key, key, f"{where}.key")
            found += _constraint_errors(shape.value, item, f"{where}.{key}")
    return found


def _own_errors(shape: Shape, value: Any, where: str) -> list[str]:
    limits = shape.metadata
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_MAX else f"{shown[:_SHOWN_MAX]}…"
    start = f"Value {shown} at '{where}' failed to satisfy constraint: Member must"
    found = []
    size = len(value) if isinstance(value, str | list | dict) else value
    if "max" in limits and isinstance(size, int | float) and size > limits["max"]:
        found.append(f"{start} be at most {limits['max']}")
    if isinstance(value, str):
        if limits.get("enum") and value not in limits["enum"]:
            found.append(f"{start} satisfy enum value set: {limits['enum']}")
        if limits.get("pattern") and not _pattern(limits["pattern"]).fullmatch(value):
            found.append(f"{start} satisfy regular expression pattern: {limits['pattern']}")
    return found


@cache
def _pattern(text: str) -> re.Pattern[str]:
    # The model's patterns are Java's; the few with constructs Python lacks are taken as matching anything.
    try:
        return re.compile(text)
    except re.error:
        return re.compile(r"[\s\S]*")
