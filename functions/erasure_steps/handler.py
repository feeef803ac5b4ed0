"""{"step": "erasure.…", "input": {…}} → a small JSON object, as workflow_steps; a function of its own for its role's sake."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from dataloop.domain.errors import InvalidInput
from dataloop.services.steps import run_step
from edge import telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run one step of a deletion. Raises InvalidInput for any other step: those are workflow_steps' business."""
    if not str(event.get("step")).startswith("erasure."):
        raise InvalidInput("step", "is not a step of a deletion", event.get("step"))
    given = event.get("input") or {}
    logger.info("step", extra={"step": event.get("step"), "task_id": given.get("task_id")})
    return dict(run_step(services, event))
