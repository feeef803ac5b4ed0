"""Stream consumers see every record at least once, in order, and only what failed is tried again or set aside."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.local.stack import LocalStack
from tests.local.waiting import until


def put(stack: LocalStack, pk: str, sk: str, **attributes: str) -> None:
    item = {"pk": {"S": pk}, "sk": {"S": sk}, **{name: {"S": value} for name, value in attributes.items()}}
    stack.client("dynamodb").put_item(TableName=stack.output("TableName"), Item=item)


def seen(stack: LocalStack, pk: str) -> dict[str, int]:
    """How often the consumer has seen each item of a partition."""
    answer = stack.client("dynamodb").query(
        TableName=stack.output("TableName"),
        KeyConditionExpression="pk = :pk AND begins_with(sk, :start)",
        ExpressionAttributeValues={":pk": {"S": "seen"}, ":start": {"S": f"{pk}/"}},
    )
    return {item["sk"]["S"].split("/", 1)[1]: int(item["times"]["N"]) for item in answer["Items"]}


def discarded(stack: LocalStack, found: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    found.extend(stack.received("StreamDlqUrl"))
    return found if len(found) >= count else []


def test_records_reach_the_consumer_and_filtered_ones_do_not(stack: LocalStack) -> None:
    pk = f"watched#{uuid.uuid4().hex}"
    for number in range(25):
        put(stack, pk, f"{number:02}")
        put(stack, f"un{pk}", f"{number:02}")

    assert until(lambda: len(seen(stack, pk)) == 25, what="25 records at the consumer")
    assert seen(stack, f"un{pk}") == {}


def test_a_reported_record_is_retried_and_then_set_aside_alone(stack: LocalStack) -> None:
    # Given five records of which the third is reported as failed
    pk = f"watched#{uuid.uuid4().hex}"
    for number in range(5):
        put(stack, pk, str(number), **({"behaviour": "report"} if number == 2 else {}))

    # When the consumer has worked through them
    (record,) = until(lambda: discarded(stack, [], 1), what="the discarded record")

    # Then only that one is set aside, and the ones after it were seen
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["DDBStreamBatchInfo"]["batchSize"] == 1
    assert until(lambda: set(seen(stack, pk)) == {"0", "1", "3", "4"}, what="the records around it")


def test_a_batch_that_raises_is_bisected_down_to_the_culprit(stack: LocalStack) -> None:
    pk = f"watched#{uuid.uuid4().hex}"
    table = stack.output("TableName")
    requests = [
        {
            "PutRequest": {
                "Item": {"pk": {"S": pk}, "sk": {"S": str(n)}, **({"behaviour": {"S": "raise"}} if n == 4 else {})}
            }
        }
        for n in range(8)
    ]
    stack.client("dynamodb").batch_write_item(RequestItems={table: requests})

    (record,) = until(lambda: discarded(stack, [], 1), what="the discarded record")
    assert json.dumps(record["DDBStreamBatchInfo"]["batchSize"]) == "1"
    assert until(lambda: set(seen(stack, pk)) == set("0123567"), what="all the others")
