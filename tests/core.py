"""The core over AWS doubles: tables made from template.yaml's own definitions, a clock that tests move, a call recorder.

S3, SQS, EventBridge, Step Functions and SageMaker are moto's. DynamoDB is moto's where a test says so, and otherwise the
engine of the one-machine runtime, called in this process: its conditional writes are atomic between threads, and it is
ten times faster.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from ministack.services import dynamodb as engine
from moto import mock_aws
from moto.core.models import botocore_stubber

from dataloop import bootstrap
from dataloop.bootstrap import Services
from dataloop.services.clock import Clock
from dataloop.settings import Settings
from tests.infra.template import load_project

REGION = "us-east-1"
TABLE, ONCE, RAW, ARTIFACTS = "table", "once", "raw-bucket", "artifacts-bucket"
MACHINES = (
    "dataset-build",
    "dataset-import",
    "dataset-files",
    "project-batch",
    "erasure",
    "training",
    "evaluation",
    "model-export",
    "analysis",
    "release",
    "retrain-loop",
    "project-training",
)


class _Body:
    """What botocore reads an answer's body from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._data


_engine_lock = threading.Lock()


def _answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """One DynamoDB request, answered by the engine; it never awaits anything, so one step finishes it."""
    headers = {name.lower(): v.decode() if isinstance(v, bytes) else v for name, v in request.headers.items()}
    body = request.body.encode() if isinstance(request.body, str) else request.body
    with _engine_lock:
        work = engine.handle_request("POST", "/", headers, body, {})
        try:
            work.send(None)
        except StopIteration as done:
            status, answered, data = done.value
        else:
            raise AssertionError("the engine waits for something")
    raw = data if isinstance(data, bytes) else str(data).encode()
    return AWSResponse(request.url, status, {str(k).lower(): str(v) for k, v in answered.items()}, _Body(raw))


class StoppedClock(Clock):
    """Time stands until a test moves it; random bytes are counted, so that runs can be repeated."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
        self._counter = itertools.count(1)
        self.meanwhile: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        """Time passes, and whoever waits for something to happen meanwhile may make it happen."""
        self.moment += timedelta(seconds=seconds)
        self.meanwhile()

    def move(self, **delta: float) -> None:
        self.moment += timedelta(**delta)

    def random(self, count: int) -> bytes:
        return next(self._counter).to_bytes(count, "big")


@cache
def _session() -> Any:
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)


@cache
def _client(service: str, moto_tables: bool) -> Any:
    """Making a client costs more than most tests: each is made once."""
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=20, signature_version=None)
    if service == "s3":
        config = config.merge(Config(signature_version="s3v4"))
    client = _session().client(service, config=config)
    if service == "dynamodb" and not moto_tables:
        client.meta.events.unregister("before-send", botocore_stubber)
        client.meta.events.register("before-send", _answer)
    return client


class Clients:
    """boto3 clients in the shape `bootstrap.build` takes, with every call written down while they are open."""

    def __init__(self, moto_tables: bool = False) -> None:
        self.calls: list[str] = []
        self.dynamodb = _client("dynamodb", moto_tables)
        self.s3 = _client("s3", moto_tables)
        self.sqs = _client("sqs", moto_tables)
        self.events = _client("events", moto_tables)
        self.states = _client("stepfunctions", moto_tables)
        self.sagemaker = _client("sagemaker", moto_tables)
        self.secrets = _client("secretsmanager", moto_tables)
        for client in self.all():
            client.meta.events.register("before-call.*.*", self._note, unique_id="calls")

    def credentials(self) -> Any:
        return _session().get_credentials()

    def all(self) -> list[Any]:
        return [self.dynamodb, self.s3, self.sqs, self.events, self.states, self.sagemaker, self.secrets]

    def close(self) -> None:
        for client in self.all():
            client.meta.events.unregister("before-call.*.*", unique_id="calls")

    def _note(self, model: Any, **_: Any) -> None:
        self.calls.append(f"{model.service_model.service_name}.{model.name}")

    def of(self, service: str) -> Counter[str]:
        return Counter(name for name in self.calls if name.startswith(f"{service}."))


@cache
def _resources() -> dict[str, Any]:
    found: dict[str, Any] = load_project().document["Resources"]
    return found


def table_definition(logical_id: str, name: str) -> dict[str, Any]:
    """CreateTable's request as the template declares it, so that keys and indexes cannot drift."""
    properties = _resources()[logical_id]["Properties"]
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {"TableName": name} | {key: properties[key] for key in wanted if key in properties}


@dataclass
class Core:
    """Services over one moto account."""

    services: Services
    clients: Clients
    clock: StoppedClock
    settings: Settings

    @property
    def stores(self) -> Any:
        return self.services.stores

    def again(self) -> Services:
        """The same account through new service objects: nothing is remembered between invocations."""
        return bootstrap.build(self.clients, self.settings, self.clock)

    def items(self, table: str = TABLE) -> list[dict[str, Any]]:
        """Everything in a table as plain values, in key order."""
        from dataloop.repositories.codec import decode_item

        pages = self.clients.dynamodb.get_paginator("scan").paginate(TableName=table)
        found = [decode_item(item) for page in pages for item in page["Items"]]
        return sorted(found, key=lambda item: json.dumps([item.get("pk"), item.get("sk"), item.get("id")]))

    def entity(self, kind: str) -> list[dict[str, Any]]:
        """Root items of one kind, for example RAW or TASK."""
        return [item for item in self.items() if f"|{kind}#" in item["pk"] and item["sk"] == "#"]

    def objects(self, bucket: str = ARTIFACTS) -> dict[str, bytes]:
        listed = self.clients.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {e["Key"]: self.clients.s3.get_object(Bucket=bucket, Key=e["Key"])["Body"].read() for e in listed}

    def messages(self, url: str) -> list[dict[str, Any]]:
        """Take everything out of a queue, delayed messages too (moto waits in real time, so they are read at once)."""
        taken = []
        sqs = self.clients.sqs
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                taken.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken


@contextlib.contextmanager
def account(*, moto_tables: bool = False, **settings: Any) -> Iterator[Core]:
    """A fresh account with the template's tables, two versioned buckets, queues, bus and machines."""
    with mock_aws():
        engine.reset()
        clients, clock = Clients(moto_tables), StoppedClock()
        for logical_id, name in (("Table", TABLE), ("OnceTable", ONCE)):
            clients.dynamodb.create_table(**table_definition(logical_id, name))
        for bucket in (RAW, ARTIFACTS):
            clients.s3.create_bucket(Bucket=bucket)
            clients.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        urls = {name: clients.sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("ingest", "loop")}
        clients.events.create_event_bus(Name="bus")
        clients.secrets.create_secret(Name="signing", SecretString="the root of all signing keys")
        definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Pass", "End": True}}})
        for machine in MACHINES:
            clients.states.create_state_machine(
                name=f"dataloop-{machine}", definition=definition, roleArn="arn:aws:iam::123456789012:role/machines"
            )
        given = {
            "stage": "test",
            "table": TABLE,
            "once_table": ONCE,
            "raw_bucket": RAW,
            "artifacts_bucket": ARTIFACTS,
            "region": REGION,
            "account_id": "123456789012",
            "event_bus": "bus",
            "ingest_queue_url": urls["ingest"],
            "loop_queue_url": urls["loop"],
            "job_role_arn": "arn:aws:iam::123456789012:role/jobs",
            "code_uri": f"s3://{ARTIFACTS}/code/",
            "signing_secret": "signing",
        }
        read = Settings(**(given | settings))
        core = Core(bootstrap.build(clients, read, clock), clients, clock, read)
        clients.calls.clear()
        try:
            yield core
        finally:
            clients.close()
