"""The meter counts what AWS would bill."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.local.stack import LocalStack
from tests.local.test_sagemaker import create, ended
from tests.local.test_workflows import ended as execution_ended
from tests.local.test_workflows import start


@pytest.fixture
def meter(stack: LocalStack) -> Any:
    def report() -> dict[str, Any]:
        return dict(json.loads(stack.http("GET", "/_local/metering")[2]))

    stack.http("POST", "/_local/metering/reset", b"")
    return report


def units(report: dict[str, Any], which: str) -> float:
    return float(report.get("dynamodb", {}).get(which, 0))


def item(pk: str, sk: str = "1", **attributes: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}, **{name: {"S": value} for name, value in attributes.items()}}


def test_capacity_follows_size_kind_and_index(stack: LocalStack, meter: Any) -> None:
    dynamodb, table, pk = stack.client("dynamodb"), stack.output("TableName"), f"meter-{uuid.uuid4().hex}"

    def cost(which: str, action: Any) -> float:
        before = units(meter(), which)
        action()
        return units(meter(), which) - before

    small, large = item(pk), item(pk, "2", text="x" * 2500)
    assert cost("write_units", lambda: dynamodb.put_item(TableName=table, Item=small)) == 1
    assert cost("write_units", lambda: dynamodb.put_item(TableName=table, Item=large)) == 3
    # The index holds keys only: one unit for its entry, whatever the item's size.
    indexed = {**large, "g1": {"S": pk}}
    assert cost("write_units", lambda: dynamodb.put_item(TableName=table, Item=indexed)) == 3 + 1
    moved = {**large, "g1": {"S": pk + "x"}}
    assert cost("write_units", lambda: dynamodb.put_item(TableName=table, Item=moved)) == 3 + 2
    # In a transaction the table counts twice, its indexes once.
    transaction = [{"Put": {"TableName": table, "Item": {**small, "sk": {"S": "3"}, "g1": {"S": pk}}}}]
    assert cost("write_units", lambda: dynamodb.transact_write_items(TransactItems=transaction)) == 2 + 1
    refused = {"TableName": table, "Item": large, "ConditionExpression": "attribute_not_exists(pk)"}

    def refuse() -> None:
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(**refused)

    assert cost("write_units", refuse) == 3

    key = {"pk": {"S": pk}, "sk": {"S": "2"}}
    assert cost("read_units", lambda: dynamodb.get_item(TableName=table, Key=key)) == 0.5
    assert cost("read_units", lambda: dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)) == 1
    reads = [{"Get": {"TableName": table, "Key": key}}]
    assert cost("read_units", lambda: dynamodb.transact_get_items(TransactItems=reads)) == 2
    for number in range(4, 10):
        dynamodb.put_item(TableName=table, Item=item(pk, str(number), text="x" * 2500))
    query = {
        "TableName": table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": pk}},
        "Select": "COUNT",
    }
    # Seven items of 2.5 KB and two small ones are read, though none is returned: five blocks of 4 KB.
    assert cost("read_units", lambda: dynamodb.query(**query)) == 2.5


def test_requests_functions_transitions_and_jobs_are_counted(stack: LocalStack, meter: Any) -> None:
    name = f"job-{uuid.uuid4().hex}"
    stack.client("s3").put_object(Bucket=stack.output("ArtifactsBucketName"), Key="metered", Body=b"12345")
    stack.client("s3").head_object(Bucket=stack.output("ArtifactsBucketName"), Key="metered")
    stack.client("sqs").get_queue_attributes(QueueUrl=stack.output("StreamDlqUrl"))
    stack.client("events").put_events(Entries=[{"Source": "probe", "DetailType": "x", "Detail": "{}"}])
    execution_ended(stack, start(stack, "StepsMachineArn", {"kind": "catch"}))
    create(stack, name, epochs="1")
    ended(stack, name)

    report = meter()
    calls = report["calls"]
    assert (calls["s3"]["PutObject"] >= 1, calls["s3"]["HeadObject"]) == (True, 1)
    assert calls["sqs"]["GetQueueAttributes"] == 1
    assert report["eventbridge"]["events"] == 1
    assert calls["states"]["StartExecution"] == 1
    # Which, Catching, Caught.
    assert report["stepfunctions"]["transitions"]["probe-test-steps"] == 3
    function = report["lambda"][stack.output("ProbeFunctionName")]
    assert (function["invocations"], function["errors"]) == (1, 1)
    assert function["gb_seconds"] == pytest.approx(function["seconds"] / 2, abs=0.001)
    assert report["sagemaker"]["training_job_seconds"]["ml.m5.large"] > 0
    assert report["until"] > report["since"]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "äb"}, 3),
        ({"N": "0"}, 1),
        ({"N": "-12.50"}, 4),
        ({"N": "1000"}, 2),
        ({"B": "AAAA"}, 3),
        ({"B": "AA=="}, 1),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["ab", "c"]}, 3),
        ({"L": [{"S": "ab"}, {"BOOL": False}]}, 3 + 3 + 2),
        ({"M": {"k": {"S": "ab"}}}, 3 + 1 + 1 + 2),
    ],
)
def test_sizes_of_values(value: dict[str, Any], size: int) -> None:
    from dataloop_local.metering.capacity import value_bytes

    assert value_bytes(value) == size
