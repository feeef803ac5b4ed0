"""Batches from a queue: every message gets its own answer (ReportBatchItemFailures)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger


def each(event: dict[str, Any], process: Callable[[dict[str, Any]], None], logger: Logger) -> dict[str, Any]:
    """Process every message's JSON body; those that raised come back alone, and in the end go to the dead letters."""
    failures = []
    for message in event["Records"]:
        try:
            process(json.loads(message["body"]))
        except Exception:
            logger.exception("message failed", extra={"message_id": message["messageId"]})
            failures.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failures}
