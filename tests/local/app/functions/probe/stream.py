"""Consumes the table's stream: copies what it saw into the table, and fails where an item says so."""

import os

import boto3

_table = boto3.resource("dynamodb").Table(os.environ["PROBE_TABLE"])


def handler(event, context):
    failures = []
    for record in event["Records"]:
        image = record["dynamodb"]["NewImage"]
        if image.get("behaviour", {}).get("S") == "raise":
            raise RuntimeError("this item breaks its whole batch")
        if image.get("behaviour", {}).get("S") == "report":
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
        _table.update_item(
            Key={"pk": "seen", "sk": image["pk"]["S"] + "/" + image["sk"]["S"]},
            UpdateExpression="ADD times :one",
            ExpressionAttributeValues={":one": 1},
        )
    return {"batchItemFailures": failures}
