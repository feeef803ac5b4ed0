"""Wiring of what runs models: the prediction operations, quick tests, suggestions and region proposals."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from api_customvision import faults, routes_prediction, routes_quicktest
from api_customvision.paths import normalised
from edge import telemetry
from edge.faults import install

logger = telemetry.logger()
app = APIGatewayHttpResolver()
MODULES = (routes_prediction, routes_quicktest)
for module in MODULES:
    app.include_router(module.router)
install(app, faults.TABLE, faults.render, logger)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request (payload format 2.0)."""
    logger.set_correlation_id(event.get("requestContext", {}).get("requestId"))
    return app.resolve(normalised(event), context)
