"""The error table of ModelArts: {"error_code", "error_msg"} with the codes of its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataloop.domain import errors

INVALID, DUPLICATE, UNKNOWN, BUSY = "ModelArts.0104", "ModelArts.0103", "ModelArts.0102", "ModelArts.4712"
UNAUTHENTICATED, FORBIDDEN, NO_ROUTE = "APIGW.0301", "APIGW.0302", "APIGW.0101"
TABLE = (
    (errors.Unauthenticated, 401, UNAUTHENTICATED),
    (errors.Forbidden, 403, FORBIDDEN),
    (errors.ResidencyViolation, 403, FORBIDDEN),
    (errors.NotFound, 404, UNKNOWN),
    (errors.Conflict, 400, DUPLICATE),
    (errors.IllegalTransition, 400, BUSY),
    (errors.GateRefused, 400, "ModelArts.0105"),
    (errors.LimitExceeded, 400, "ModelArts.0106"),
    (errors.InvalidInput, 400, INVALID),
    (errors.Throttled, 503, "ModelArts.0012"),
    (errors.Unavailable, 503, "ModelArts.0012"),
)
# Errors that the documentation tells apart by what they are about. Clients of Huawei act on these two: Terraform takes
# 4352 and 4353 for "it is gone".
_OF_ENTITY = {
    (UNKNOWN, "dataset"): "ModelArts.4352",
    (UNKNOWN, "dataset version"): "ModelArts.4353",
    (DUPLICATE, "dataset version"): "ModelArts.4371",
    ("NotFound", "route"): NO_ROUTE,
}
_PREFIX = "Incorrect IAM authentication information: "


def render(code: str, message: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of an error response."""
    if code == UNAUTHENTICATED and not message.startswith(_PREFIX):
        message = _PREFIX + message
    if code == "InternalError":
        code = "ModelArts.0010"
    return {"error_code": _OF_ENTITY.get((code, str(details.get("entity"))), code), "error_msg": message}
