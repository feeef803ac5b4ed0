"""Wiring: Lambda entry point behind `POST /api/v1/infer`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from edge import api_errors, telemetry
from edge.faults import install
from infer import routes

logger = telemetry.logger()
app = APIGatewayHttpResolver()
app.include_router(routes.router)
install(app, api_errors.TABLE, api_errors.render, logger)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request (payload format 2.0)."""
    logger.set_correlation_id(event.get("requestContext", {}).get("requestId"))
    return app.resolve(event, context)
