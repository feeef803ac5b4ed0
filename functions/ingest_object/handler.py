"""SQS (S3 created and removed) → registration, with an answer per message.

Cost per small object: 1 S3 GET, 1 DynamoDB update of 2 WRU. Duplicates and reordering change nothing (design §6.2).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.typing import LambdaContext

from dataloop import bootstrap
from dataloop.domain.raw_data import is_annotation_file, is_import_source, split_key
from dataloop.services.registering import ObjectNotice
from edge import batches, telemetry

logger = telemetry.logger()
services = bootstrap.from_environment()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Register every message; those that failed come back alone (ReportBatchItemFailures), and in the end to the DLQ."""
    return batches.each(event, process, logger)


def process(body: dict[str, Any]) -> None:
    """One message: S3 records, S3's test event, or our own note: to look at an annotation file again, or to hash pictures."""
    if "retry_import" in body:
        services.importing.import_file(**body["retry_import"])
        return
    if "hash_again" in body:
        services.hashing.hash_again(**body["hash_again"])
        return
    for record in body.get("Records", []):
        register(record)


def register(record: dict[str, Any]) -> None:
    """One S3 record. The version of the event format is not pinned: it grows, and we read what we know."""
    name, entry = record["eventName"], record["s3"]["object"]
    notice = ObjectNotice(
        key=unquote_plus(entry["key"]),
        version_id=entry.get("versionId") or "null",
        sequencer=entry["sequencer"],
        is_removal="ObjectRemoved" in name,
        is_marker="DeleteMarkerCreated" in name,
    )
    object_name = split_key(notice.key)[1]
    if is_import_source(object_name):
        return
    if is_annotation_file(object_name):
        if not notice.is_removal:
            services.importing.import_file(notice.key, notice.version_id)
    elif notice.is_removal:
        services.registering.remove_object(notice)
    else:
        services.registering.register_object(notice)
