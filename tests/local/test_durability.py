"""What a client saw succeed is there after kill -9."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from dataloop_local.server import forget_unfinished_first_start
from dataloop_local.settings import Settings
from tests.local.stack import LocalStack, alive
from tests.local.test_sagemaker import create, running
from tests.local.test_streams import put, seen
from tests.local.test_workflows import start, status_events, training_input
from tests.local.waiting import until

NewStack = Callable[..., LocalStack]


class Writer(threading.Thread):
    """Writes as fast as it can until the runtime is gone, and remembers what was acknowledged."""

    def __init__(self, stack: LocalStack, number: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[str, str] = {}
        self.counted = 0
        self.versions: dict[str, list[tuple[str, bytes]]] = {}
        self._stack = stack
        self._name = f"w{number}-{uuid.uuid4().hex[:6]}"
        self._dynamodb = stack.client("dynamodb", read_timeout=5)
        self._s3 = stack.client("s3", read_timeout=5)

    def run(self) -> None:
        table, bucket = self._stack.output("TableName"), self._stack.output("RawBucketName")
        number = 0
        try:
            while True:
                number += 1
                self._item(table, number)
                self._count(table)
                self._object(bucket, number)
        except (BotoCoreError, ClientError):
            return  # the runtime was killed; whatever was under way was not acknowledged

    def _item(self, table: str, number: int) -> None:
        key, value = f"{self._name}-{number}", uuid.uuid4().hex
        item = {"pk": {"S": "watched#" + self._name}, "sk": {"S": key}, "value": {"S": value}, "g1": {"S": self._name}}
        if number % 3:
            self._dynamodb.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(pk)")
        else:
            self._dynamodb.transact_write_items(
                TransactItems=[
                    {"Put": {"TableName": table, "Item": item}},
                    {"Put": {"TableName": table, "Item": {**item, "sk": {"S": f"{key}-twin"}}}},
                ]
            )
            self.acknowledged[f"{key}-twin"] = value
        self.acknowledged[key] = value

    def _count(self, table: str) -> None:
        self._dynamodb.update_item(
            TableName=table,
            Key={"pk": {"S": "counter"}, "sk": {"S": self._name}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        self.counted += 1

    def _object(self, bucket: str, number: int) -> None:
        key, body = f"{self._name}/{number % 3}", uuid.uuid4().hex.encode() * 50
        answer = self._s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"n": str(number)})
        self.versions.setdefault(key, []).append((answer["VersionId"], body))

    def check(self, stack: LocalStack) -> None:
        """Everything acknowledged is there; at most the one request under way came on top."""
        dynamodb, s3 = stack.client("dynamodb"), stack.client("s3")
        table, bucket = stack.output("TableName"), stack.output("RawBucketName")
        pages = dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "watched#" + self._name}},
        )
        stored = {item["sk"]["S"]: item["value"]["S"] for page in pages for item in page["Items"]}
        assert stored.items() >= self.acknowledged.items()
        assert len(stored) <= len(self.acknowledged) + 2
        indexed = dynamodb.query(
            TableName=table,
            IndexName="gsi1",
            Select="COUNT",
            KeyConditionExpression="g1 = :g1",
            ExpressionAttributeValues={":g1": {"S": self._name}},
        )["Count"]
        assert indexed == len(stored)
        counter = dynamodb.get_item(TableName=table, Key={"pk": {"S": "counter"}, "sk": {"S": self._name}})
        count = int(counter.get("Item", {"n": {"N": "0"}})["n"]["N"])
        assert self.counted <= count <= self.counted + 1
        for key, written in self.versions.items():
            for version, body in written:
                assert s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == body
            current = s3.get_object(Bucket=bucket, Key=key)
            last = [version for version, _ in written]
            listed = s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
            assert len(listed) <= len(written) + 1
            if current["VersionId"] in last:
                assert current["Body"].read() == dict(written)[current["VersionId"]]
            assert int(current["Metadata"]["n"]) >= 1


def test_acknowledged_writes_survive_kills_at_random_moments(new_stack: NewStack) -> None:
    # A small log limit makes snapshots happen between the kills and under load, too.
    stack = new_stack("--snapshot-log-bytes", "200000", "--services-save", "0.2").start()
    chance = random.Random(20261122)
    everyone: list[Writer] = []
    for _ in range(3):
        writers = [Writer(stack, number) for number in range(2)]
        for writer in writers:
            writer.start()
        until(lambda: all(len(w.versions) >= 2 for w in writers), what="writers under way")  # noqa: B023
        moment = time.monotonic() + chance.uniform(0.05, 0.8)
        until(lambda: time.monotonic() > moment, what="the random moment")  # noqa: B023
        stack.kill()
        for writer in writers:
            writer.join(timeout=20)
        stack.start()
        for writer in writers:
            writer.check(stack)
        everyone += writers
    # What was there before an earlier kill is there after every later one.
    for writer in everyone:
        writer.check(stack)

    # The consumer of the stream sees every record, though it may see some again.
    for writer in everyone:
        wanted = set(writer.acknowledged)
        until(lambda: wanted <= set(seen(stack, writer_pk(writer))), within_s=60, what="all records at the consumer")  # noqa: B023


def test_a_kill_after_a_clean_stop_loses_nothing(new_stack: NewStack) -> None:
    stack = new_stack().start()
    table, dynamodb = stack.output("TableName"), stack.client("dynamodb")
    item = {"pk": {"S": "kill-after-stop"}, "sk": {"S": "#"}}
    dynamodb.put_item(TableName=table, Item=item | {"n": {"N": "1"}})
    stack.stop()
    stack.start()
    stack.client("dynamodb").put_item(TableName=table, Item=item | {"n": {"N": "2"}})
    stack.kill()
    stack.start()
    assert stack.client("dynamodb").get_item(TableName=table, Key=item)["Item"]["n"] == {"N": "2"}


def writer_pk(writer: Writer) -> str:
    return "watched#" + writer._name


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """A stack that did a little of everything, was killed, and runs again."""
    stack = LocalStack(tmp_path_factory.mktemp("killed"), "--services-save", "600", "--jobs-at-once", "2").start()
    facts = Killed(stack)
    facts.write_objects()
    facts.start_workflows()
    facts.send_messages()
    facts.start_stubborn_job()
    stack.received("EventsQueueUrl")
    stack.kill()
    until(lambda: not alive(facts.job_pid), within_s=5, what="the end of the job's process, which ignores SIGTERM")
    stack.start()
    yield facts
    stack.kill()


class Killed:
    """What was acknowledged before the kill."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.bucket = stack.output("RawBucketName")
        self.versions: dict[str, Any] = {}
        self.training = f"train-{uuid.uuid4().hex}"
        self.running = self.done = ""
        self.job_pid = 0

    def write_objects(self) -> None:
        s3, bucket, key = self.stack.client("s3"), self.bucket, "a/ü +.bin"
        put = {"Bucket": bucket, "Key": key}
        self.versions = {
            "first": s3.put_object(**put, Body=b"one", Metadata={"uid": "1"}, ChecksumAlgorithm="SHA256"),
            "marker": s3.delete_object(**put),
            "again": s3.put_object(**put, Body=b"three"),
        }
        s3.put_object(Bucket=bucket, Key="gone", Body=b"x")
        self.versions["hidden"] = s3.delete_object(Bucket=bucket, Key="gone")
        purged = s3.put_object(Bucket=bucket, Key="purged", Body=b"x")
        s3.delete_object(Bucket=bucket, Key="purged", VersionId=purged["VersionId"])
        upload = {"Bucket": bucket, "Key": "large"}
        upload["UploadId"] = s3.create_multipart_upload(**upload, ChecksumAlgorithm="SHA256")["UploadId"]
        part = s3.upload_part(**upload, PartNumber=1, Body=b"p" * 100, ChecksumAlgorithm="SHA256")
        parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
        self.versions["large"] = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "large"})
        s3.put_object_tagging(Bucket=bucket, Key="copied", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})

    def start_workflows(self) -> None:
        self.running = start(self.stack, "TrainingMachineArn", training_input(self.stack, self.training, wait="1"))
        self.done = start(self.stack, "StepsMachineArn", {"kind": "call", "event": {"op": "echo", "n": 1}})
        states = self.stack.client("stepfunctions")
        until(
            lambda: states.describe_execution(executionArn=self.done)["status"] == "SUCCEEDED",
            what="the short execution",
        )
        until(lambda: self.job().get("SecondaryStatus") == "Training", what="a running job")

    def send_messages(self) -> None:
        """One that stays, one that is deleted, one that is received but not deleted."""
        sqs, url = self.stack.client("sqs"), self.stack.output("StreamDlqUrl")
        for number in range(3):
            sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"n": number}))
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        deleted = next(message for message in received if json.loads(message["Body"]) == {"n": 1})
        sqs.delete_message(QueueUrl=url, ReceiptHandle=deleted["ReceiptHandle"])

    def start_stubborn_job(self) -> None:
        self.job_pid = running(self.stack, create(self.stack, f"job-{uuid.uuid4().hex}", wait="stubborn"))["pid"]

    def job(self) -> dict[str, Any]:
        try:
            return dict(self.stack.client("sagemaker").describe_training_job(TrainingJobName=self.training))
        except ClientError:
            return {}


def test_versions_checksums_and_metadata_survive(killed: Killed) -> None:
    s3, bucket, key = killed.stack.client("s3"), killed.bucket, "a/ü +.bin"
    first = killed.versions["first"]
    old = s3.get_object(Bucket=bucket, Key=key, VersionId=first["VersionId"], ChecksumMode="ENABLED")
    assert (old["Body"].read(), old["Metadata"], old["ChecksumSHA256"]) == (
        b"one",
        {"uid": "1"},
        first["ChecksumSHA256"],
    )
    assert s3.get_object(Bucket=bucket, Key=key)["VersionId"] == killed.versions["again"]["VersionId"]
    large, done = s3.head_object(Bucket=bucket, Key="large", ChecksumMode="ENABLED"), killed.versions["large"]
    assert [large[name] for name in ("VersionId", "ETag", "ChecksumSHA256")] == [
        done[name] for name in ("VersionId", "ETag", "ChecksumSHA256")
    ]
    assert s3.get_object_tagging(Bucket=bucket, Key="copied")["TagSet"] == [{"Key": "k", "Value": "v"}]


def test_delete_markers_and_deletions_survive(killed: Killed) -> None:
    s3 = killed.stack.client("s3")
    markers = {marker["VersionId"] for marker in s3.list_object_versions(Bucket=killed.bucket)["DeleteMarkers"]}
    assert markers == {killed.versions["marker"]["VersionId"], killed.versions["hidden"]["VersionId"]}
    present = {entry["Key"] for entry in s3.list_objects_v2(Bucket=killed.bucket)["Contents"]}
    assert present == {"a/ü +.bin", "large", "copied"}


def test_messages_survive(killed: Killed) -> None:
    messages = killed.stack.received("StreamDlqUrl")

    assert sorted(message["n"] for message in messages) == [0, 2]


def test_notifications_survive(killed: Killed) -> None:
    events = [record for body in killed.stack.received("IngestQueueUrl") for record in body.get("Records", [])]
    seen = {(e["eventName"], e["s3"]["object"]["versionId"]) for e in events}

    versions = {name: answer["VersionId"] for name, answer in killed.versions.items()}
    assert seen >= {
        ("ObjectCreated:Put", versions["first"]),
        ("ObjectRemoved:DeleteMarkerCreated", versions["marker"]),
        ("ObjectCreated:Put", versions["again"]),
        ("ObjectCreated:CompleteMultipartUpload", versions["large"]),
    }


def test_running_executions_come_back_failed_and_say_so(killed: Killed) -> None:
    states = killed.stack.client("stepfunctions")
    described = states.describe_execution(executionArn=killed.running)
    assert (described["status"], described["error"]) == ("FAILED", "States.Runtime")
    assert described["cause"] == "local runtime restarted"
    assert json.loads(states.describe_execution(executionArn=killed.done)["output"]) == {"op": "echo", "n": 1}
    assert (killed.job()["TrainingJobStatus"], "restarted" in killed.job()["FailureReason"]) == ("Failed", True)

    events: list[dict[str, Any]] = []
    until(lambda: status_events(killed.stack, events, killed.running, "FAILED"), what="the execution's event")

    def job_event() -> bool:
        events.extend(killed.stack.received("EventsQueueUrl"))
        details = [event.get("detail", {}) for event in events]
        return any(d.get("TrainingJobName") == killed.training and d["TrainingJobStatus"] == "Failed" for d in details)

    until(job_event, what="the job's event")


def test_an_interrupted_deploy_is_done_again(new_stack: NewStack) -> None:
    # Given a stack with data, and a deploy of another template content that never ended
    stack = new_stack().start()
    put(stack, "plain", "1")
    stack.kill()
    (stack.state_dir / "deployed.json").write_text('{"digest": "of a deploy that was cut off"}')

    # When the runtime starts with a changed parameter
    stack.start(Marker="two")

    # Then the new content is deployed and the data is there
    assert stack.invoke({"op": "environment"})["PROBE_MARKER"] == "two"
    answer = stack.client("dynamodb").get_item(
        TableName=stack.output("TableName"), Key={"pk": {"S": "plain"}, "sk": {"S": "1"}}
    )
    assert "Item" in answer


def test_a_first_start_that_was_cut_off_starts_over(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    for folder in (settings.services_dir, settings.objects_dir, settings.log_dir):
        folder.mkdir()
        (folder / "half").touch()
    forget_unfinished_first_start(settings)
    assert list(tmp_path.iterdir()) == []

    # Once a deploy has ended, nothing is ever forgotten.
    settings.log_dir.mkdir()
    settings.deployed_file.write_text('{"digest": "x"}')
    forget_unfinished_first_start(settings)
    assert settings.log_dir.exists()
