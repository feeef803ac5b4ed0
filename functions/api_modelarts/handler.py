"""Wiring of the ModelArts surface: Lambda entry point behind `/v2/{project_id}/datasets…`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from api_modelarts import faults, routes_datasets, routes_versions
from edge import telemetry
from edge.faults import install

logger = telemetry.logger()
app = APIGatewayHttpResolver()
for module in (routes_datasets, routes_versions):
    app.include_router(module.router)
install(app, faults.TABLE, faults.render, logger)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request (payload format 2.0)."""
    logger.set_correlation_id(event.get("requestContext", {}).get("requestId"))
    return app.resolve(event, context)
