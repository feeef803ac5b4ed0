"""The errors of /api/v1, which more than one function serves: 4xx `{code, message, details}` (design §3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataloop.domain import errors

TABLE = (
    (errors.Unauthenticated, 401, "Unauthenticated"),
    (errors.Forbidden, 403, "Forbidden"),
    (errors.ResidencyViolation, 403, "ResidencyViolation"),
    (errors.NotFound, 404, "NotFound"),
    (errors.Conflict, 409, "Conflict"),
    (errors.IllegalTransition, 409, "IllegalTransition"),
    (errors.GateRefused, 409, "GateRefused"),
    (errors.LimitExceeded, 413, "LimitExceeded"),
    (errors.InvalidInput, 422, "InvalidInput"),
    (errors.Throttled, 503, "Throttled"),
    (errors.Unavailable, 503, "Unavailable"),
)


def render(code: str, message: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of an error response."""
    return {"code": code, "message": message, "details": dict(details)}


def item(error: errors.DomainError) -> dict[str, Any]:
    """The entry of one failed item in a batch: the same shape as a failed request."""
    code = next((name for kind, _, name in TABLE if isinstance(error, kind)), "InternalError")
    return {"error": render(code, str(error), error.details())}
