"""{"step": name, "input": {…}} → a small JSON object. Errors keep their class name: state machines retry by it."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from dataloop.services.steps import run_step
from edge import telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run one step."""
    given = event.get("input") or {}
    logger.info("step", extra={"step": event.get("step"), "task_id": given.get("task_id")})
    return dict(run_step(services, event))
