"""Training parameters as a client sends them: their form. Their meaning, types and ranges are the job's to check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataloop.domain.canonical import canonical_json, check_storable
from dataloop.domain.errors import InvalidInput

# SageMaker: a hyperparameter value has at most 2,500 characters, and there are at most 100.
MAX_PARAMETER = 2500
MAX_PARAMETERS = 80


def check_parameters(parameters: object) -> dict[str, Any]:
    """Parameters by name, JSON values. Raises InvalidInput(parameters.name)."""
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise InvalidInput("parameters", "must be an object", parameters)
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidInput("parameters", f"must have at most {MAX_PARAMETERS} entries")
    for name, value in parameters.items():
        is_plain = isinstance(value, str | int | float | bool | list) or value is None
        try:
            size = len(canonical_json(value))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"parameters.{name}", "must be a JSON value", value) from error
        if not is_plain or size > MAX_PARAMETER:
            raise InvalidInput(f"parameters.{name}", "must be a short text, number, boolean or list", value)
        check_storable(value, f"parameters.{name}")
        # SageMaker: the name of a hyperparameter has at most 256 characters.
        if not 0 < len(name) <= 256:
            raise InvalidInput("parameters", "must have names of 1 to 256 characters", name)
        if name in ("task_type", "architecture"):
            raise InvalidInput(f"parameters.{name}", "is a field of its own")
    return dict(parameters)
