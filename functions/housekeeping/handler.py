"""Schedule → orphan halves, lost events, stuck tasks, loops that nobody woke."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from edge import telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """`source` schedule looks two days back; `start` (the one-machine runtime) and `full` look at everything.

    `hashes` asks for the perceptual hashes of pictures that were registered before there were any, of one `day` or of all.
    At a start nothing can be under way yet, so nothing is given a grace period.
    """
    source = event.get("source")
    if source == "hashes":
        return services.hashing.ask(event.get("day"))
    if source == "start":
        return services.sweeping.sweep(full=True, grace_s=0)
    return services.sweeping.sweep(full=source == "full")
