"""DynamoDB stream → domain events on the bus.

A record whose event was not accepted stops the batch there: the stream delivers it and what follows again, in order.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from dataloop.gateways.bus import PublishFailed
from dataloop.repositories.codec import decode_item
from dataloop.services.publishing import events_of
from edge import telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Publish what a batch of changes means; the first record that failed is named (ReportBatchItemFailures)."""
    records = event["Records"]
    events = events_of([(_image(record, "OldImage"), _image(record, "NewImage")) for record in records])
    try:
        services.stores.bus.publish([entry for _, entry in events])
    except PublishFailed as error:
        record = records[events[error.first][0]]
        logger.warning("publishing stopped", extra={"reason": str(error)})
        return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def _image(record: dict[str, Any], name: str) -> dict[str, Any] | None:
    image = record["dynamodb"].get(name)
    return decode_item(image) if image else None
