"""From domain errors to responses. A surface gives its table; nobody catches errors in routes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver

from dataloop.domain.errors import DomainError, Unavailable

# An error class and the HTTP status and code that a surface gives it; the first that fits counts.
FaultTable = Sequence[tuple[type[Exception], int, str]]
Render = Callable[[str, str, Mapping[str, Any]], Mapping[str, Any]]

INTERNAL = "InternalError"


def find(table: FaultTable, error: Exception) -> tuple[int, str]:
    """(status, code) of an error."""
    for kind, status, code in table:
        if isinstance(error, kind):
            return status, code
    return 500, INTERNAL


def install(app: ApiGatewayResolver, table: FaultTable, render: Render, logger: Logger) -> None:
    """Answer every error of the routes in the surface's shape; unknown ones become one logged stack trace."""

    def respond(status: int, code: str, message: str, details: Mapping[str, Any]) -> Response[str]:
        headers: dict[str, str | list[str]] = {}
        if "retry_after_s" in details:
            headers["Retry-After"] = str(details["retry_after_s"])
        body = json.dumps(render(code, message, details), ensure_ascii=False)
        return Response(status_code=status, content_type="application/json", body=body, headers=headers)

    @app.exception_handler(DomainError)
    def domain_error(error: DomainError) -> Response[str]:
        status, code = find(table, error)
        if isinstance(error, Unavailable):
            logger.warning("unavailable", extra={"reason": str(error)})
        return respond(status, code, str(error), error.details())

    @app.exception_handler(Exception)
    def unknown_error(error: Exception) -> Response[str]:
        logger.exception("unexpected error")
        return respond(500, INTERNAL, "the service made a mistake; the request id leads to its log", {})

    @app.not_found
    def no_route(error: Exception) -> Response[str]:
        event = app.current_event
        message = f"there is no {event.http_method} {event.path}"
        return respond(404, "NotFound", message, {"entity": "route", "id": f"{event.http_method} {event.path}"})
