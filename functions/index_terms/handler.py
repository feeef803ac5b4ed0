"""DynamoDB stream → the term index of projects: what a request left undone behind an image's row is done here."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from dataloop.repositories.codec import decode_item
from edge import telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Settle what a batch of changed images concerns; the first record that must come again is named."""
    records = event["Records"]
    undone = services.indexing.changed([(_image(record, "OldImage"), _image(record, "NewImage")) for record in records])
    if undone:
        # Records behind it come again too, which does no harm.
        logger.warning("indexing stopped", extra={"undone": len(undone)})
        return {"batchItemFailures": [{"itemIdentifier": records[undone[0]]["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def _image(record: dict[str, Any], name: str) -> dict[str, Any] | None:
    image = record["dynamodb"].get(name)
    return decode_item(image) if image else None
