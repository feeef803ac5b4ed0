"""Answers that are no JSON object: a bare number or truth value, and nothing at all."""

from __future__ import annotations

import json

from aws_lambda_powertools.event_handler import Response


def plain(value: float | bool | str, status: int = 200) -> Response[str]:
    """A bare JSON value."""
    return Response(status_code=status, content_type="application/json", body=json.dumps(value))


def nothing(status: int = 204) -> Response[str]:
    """No body: 204, or 202 for what goes on after the answer."""
    return Response(status_code=status, body="")
