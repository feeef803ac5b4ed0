"""Wiring of the Custom Vision surface: Lambda entry point behind `ANY /customvision/{version}/{side}/{proxy+}`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from api_customvision import (
    faults,
    routes_exports,
    routes_images,
    routes_iterations,
    routes_performance,
    routes_predictions,
    routes_projects,
    routes_suggestions,
    routes_tags,
    routes_uploads,
)
from api_customvision.paths import normalised
from edge import telemetry
from edge.faults import install

logger = telemetry.logger()
app = APIGatewayHttpResolver()
MODULES = (
    routes_projects,
    routes_tags,
    routes_images,
    routes_uploads,
    routes_iterations,
    routes_performance,
    routes_exports,
    routes_predictions,
    routes_suggestions,
)
for module in MODULES:
    app.include_router(module.router)
install(app, faults.TABLE, faults.render, logger)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request (payload format 2.0)."""
    logger.set_correlation_id(event.get("requestContext", {}).get("requestId"))
    return app.resolve(normalised(event), context)
