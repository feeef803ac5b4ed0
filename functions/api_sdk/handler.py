"""Wiring of the SDK surface: Lambda entry point behind `ANY /api/v1/{proxy+}` and `GET /health`."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from api_sdk import (
    faults,
    routes_analyses,
    routes_data,
    routes_datasets,
    routes_deletions,
    routes_files,
    routes_imports,
    routes_loops,
    routes_models,
    routes_search,
    routes_system,
    routes_tasks,
    routes_versions,
)
from edge import telemetry
from edge.faults import install

logger = telemetry.logger()
app = APIGatewayHttpResolver()
for module in (
    routes_system,
    routes_data,
    routes_datasets,
    routes_deletions,
    routes_files,
    routes_imports,
    routes_tasks,
    routes_models,
    routes_analyses,
    routes_loops,
    routes_search,
    routes_versions,
):
    app.include_router(module.router)
install(app, faults.TABLE, faults.render, logger)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request (payload format 2.0)."""
    logger.set_correlation_id(event.get("requestContext", {}).get("requestId"))
    return app.resolve(event, context)
