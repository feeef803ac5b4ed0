"""AnnotationsRegistered and RawDataRegistered (through the delay queue) and the schedule → absorb, decide, start."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from edge import batches, telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """A batch of queue messages, or the schedule's tick."""
    if "Records" not in event:
        services.sweeping.wake_all()
        return {}
    return batches.each(event, process, logger)


def process(body: dict[str, Any]) -> None:
    """One message: an EventBridge event with new ids, or our own note that a run has ended."""
    detail = body.get("detail")
    if detail is None:
        services.looping.consider(body["tenant"], body["loop_id"])
        return
    tenant, data = detail["scope"]["tenant"], detail["data"]
    if "uids" in data:
        touched = services.looping.absorb_files(tenant, data["uids"])
    else:
        touched = services.looping.absorb(tenant, data["annotation_ids"])
    for loop in touched:
        decision, _ = services.looping.consider(tenant, loop.id)
        logger.info("loop considered", extra={"loop_id": loop.id, "start": decision.start, "reason": decision.reason})
