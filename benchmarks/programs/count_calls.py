"""Handle one SQS message with ingest_object and print its AWS calls: python -m … EVENT_JSON ours|powertools [EARLIER_JSON]

The earlier message is handled first and not counted: the first file of a process and a day also notes the day.

`powertools` does the same job as one would with Powertools' idempotency decorator: it keeps duplicates out with a
record of its own, and the handler's write is an ordinary put.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import botocore.session

CALLS: list[tuple[str, str]] = []


def note(model: Any, **_: Any) -> None:
    CALLS.append((model.service_model.service_name, model.name))


def main() -> None:
    event = json.loads(sys.argv[1])
    handler = ours() if sys.argv[2] == "ours" else powertools()
    for earlier in sys.argv[3:]:
        handler(json.loads(earlier))
    CALLS.clear()
    answer = handler(event)
    if answer.get("batchItemFailures"):
        raise SystemExit(f"the message failed: {answer}")
    sys.stdout.write(json.dumps(CALLS) + "\n")


def _watch() -> None:
    """Every client made from here on reports its calls."""
    stock = botocore.session.Session.create_client

    def create_client(self: Any, *arguments: Any, **named: Any) -> Any:
        client = stock(self, *arguments, **named)
        client.meta.events.register("before-call", note)
        return client

    botocore.session.Session.create_client = create_client


def ours() -> Any:
    _watch()
    from ingest_object.handler import handler

    context: Any = Context()
    return lambda event: handler(event, context)


def powertools() -> Any:
    """GET the object, put a record of it, once per object version."""
    _watch()
    import hashlib

    import boto3
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )

    store = DynamoDBPersistenceLayer(table_name=os.environ["DATALOOP_ONCE_TABLE"])
    config = IdempotencyConfig(event_key_jmespath="[key, versionId]")
    s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")

    @idempotent_function(data_keyword_argument="entry", persistence_store=store, config=config)
    def register(entry: dict[str, Any]) -> dict[str, str]:
        bucket = os.environ["DATALOOP_RAW_BUCKET"]
        body = s3.get_object(Bucket=bucket, Key=entry["key"], VersionId=entry["versionId"])["Body"].read()
        uid = hashlib.sha256(body).hexdigest()[:32]
        day = {"g1pk": {"S": "default|RAWDAY#20260101"}, "g1sk": {"S": uid}}
        item = {"pk": {"S": f"default|RAW#{uid}"}, "sk": {"S": "#"}, "k": {"S": entry["key"]}, **day}
        dynamodb.put_item(TableName=os.environ["DATALOOP_TABLE"], Item=item)
        return {"uid": uid}

    context: Any = Context()

    def handle(event: dict[str, Any]) -> dict[str, Any]:
        config.register_lambda_context(context)
        for message in event["Records"]:
            for record in json.loads(message["body"])["Records"]:
                register(entry=record["s3"]["object"])
        return {}

    return handle


class Context:
    """What Powertools reads of a Lambda context."""

    function_name = "bench"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


if __name__ == "__main__":
    main()
