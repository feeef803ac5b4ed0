"""A stand-in for AWS in a process of its own, so that its CPU is nobody's: moto, and before it a server that replays.

Two ports. `url` is moto itself: it keeps state. `replay_url` asks moto once per kind of request and then repeats the
answer: fast and steady, for measuring warm handlers that make the same calls again and again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.lambda_environment import ARTIFACTS_BUCKET, ONCE_TABLE, RAW_BUCKET, REGION, TABLE
from benchmarks.servers import Server

_KEYS = {"by_time": ("g1pk", "g1sk"), "by_parent": ("g2pk", "g2sk")}


class AwsDouble:
    """Context manager: tables and buckets as the template makes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> AwsDouble:
        self._server = Server("aws_server", self._folder)
        ports = self._server.__enter__()
        self.url = f"http://127.0.0.1:{ports['moto']}"
        self.replay_url = f"http://127.0.0.1:{ports['replay']}"
        self._create()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def client(self, service: str) -> Any:
        """A client of moto for preparing and looking."""
        session = boto3.session.Session("bench", "bench", region_name=REGION)
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4") if service == "s3" else None
        return session.client(service, endpoint_url=self.url, config=config)

    def table_definition(self) -> dict[str, Any]:
        """The table as metering.capacity wants it: indexes, and the names of the keys."""
        found: dict[str, Any] = self.client("dynamodb").describe_table(TableName=TABLE)["Table"]
        return found | {"pk_name": "pk", "sk_name": "sk"}

    def _create(self) -> None:
        dynamodb, s3 = self.client("dynamodb"), self.client("s3")
        names = ["pk", "sk", *(name for pair in _KEYS.values() for name in pair)]
        dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=_schema("pk", "sk"),
            GlobalSecondaryIndexes=[
                {"IndexName": name, "KeySchema": _schema(*pair), "Projection": {"ProjectionType": "ALL"}}
                for name, pair in _KEYS.items()
            ],
        )
        dynamodb.create_table(
            TableName=ONCE_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        for bucket in (RAW_BUCKET, ARTIFACTS_BUCKET):
            s3.create_bucket(Bucket=bucket)
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
