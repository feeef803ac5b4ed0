"""What stock ministack 1.5.33 does where a gap is filled. A failure here means that an upgrade closed or moved a gap:
look at the file of gaps/ that names the test, and drop it or adapt it."""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
import textwrap
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.core import lambda_runtime
from ministack.services import s3

from tests.local.stack import free_port
from tests.local.waiting import until

CODE = """
import os, time
class NotReady(Exception): pass
def handler(event, context):
    if event.get("op") == "raise": raise NotReady("no")
    time.sleep(event.get("seconds", 0))
    return {"pid": os.getpid(), "leak": os.environ.get("PROBE_HOST_SECRET")}
"""
ROLE = "arn:aws:iam::000000000000:role/probe"


class Stock:
    """A stock emulator in a process of its own, with persistence on as the runtime has it."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"
        self.port = free_port()
        # Below a file, where nothing can be written: what does an acknowledged object mean then?
        blocked = folder / "file"
        blocked.write_text("")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env={
                **os.environ,
                "GATEWAY_PORT": str(self.port),
                "BIND_HOST": "127.0.0.1",
                "PERSIST_STATE": "1",
                "STATE_DIR": str(self.state_dir),
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(blocked / "s3"),
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
                "PROBE_HOST_SECRET": "leaked",
                "TMPDIR": str(folder),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def client(self, service: str, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}, **config),
        )

    def machine(self, states: dict[str, Any], first: str) -> str:
        definition = json.dumps({"StartAt": first, "States": states})
        made = self.client("stepfunctions").create_state_machine(
            name=f"m-{uuid.uuid4().hex[:8]}", definition=definition, roleArn=ROLE
        )
        return str(made["stateMachineArn"])

    def run(self, machine: str, name: str | None = None) -> dict[str, Any]:
        states = self.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=machine, name=name or uuid.uuid4().hex)["executionArn"]

        def ended() -> dict[str, Any] | None:
            found = states.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        return until(ended, what="the end of the execution")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    running = Stock(tmp_path_factory.mktemp("stock"))

    def answers() -> bool:
        try:
            running.client("s3").list_buckets()
        except Exception:
            return False
        return True

    until(answers, what="stock ministack")
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def function(stock: Stock) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("index.py", CODE)
    made = stock.client("lambda").create_function(
        FunctionName="probe",
        Runtime="python3.13",
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    return str(made["FunctionArn"])


def invoke(stock: Stock, event: dict[str, Any]) -> Any:
    answer = stock.client("lambda").invoke(FunctionName="probe", Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


def test_the_version_is_the_one_the_gaps_were_read_from() -> None:
    assert version("ministack") == "1.5.33"


def test_stock_error_types(stock: Stock, function: str) -> None:
    assert invoke(stock, {"op": "raise"})["errorType"] == "Runtime.HandlerError"


def test_stock_leaks_host_environment(stock: Stock, function: str) -> None:
    assert invoke(stock, {})["leak"] == "leaked"


def test_stock_has_no_environment_limit(stock: Stock, function: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: invoke(stock, {"seconds": 0.5}), range(4)))
    assert len({answer["pid"] for answer in answers}) > 2


def test_stock_makes_a_log_stream_per_invocation(stock: Stock, function: str) -> None:
    for _ in range(3):
        invoke(stock, {})
    streams = stock.client("logs").describe_log_streams(logGroupName="/aws/lambda/probe")["logStreams"]
    assert len(streams) >= 3


def test_stock_has_no_sagemaker(stock: Stock) -> None:
    with pytest.raises(ClientError):
        stock.client("sagemaker").list_training_jobs()


def test_stock_has_no_sagemaker_integration(stock: Stock) -> None:
    resource = "arn:aws:states:::sagemaker:createTrainingJob.sync"
    ended = stock.run(stock.machine({"T": {"Type": "Task", "Resource": resource, "Parameters": {}, "End": True}}, "T"))
    assert (ended["status"], "not yet implemented" in ended["cause"]) == ("FAILED", True)


def test_stock_refuses_a_second_start(stock: Stock) -> None:
    states = stock.client("stepfunctions")
    machine = stock.machine({"W": {"Type": "Wait", "Seconds": 60, "End": True}}, "W")
    states.start_execution(stateMachineArn=machine, name="same", input="{}")
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name="same", input="{}")


def test_stock_runs_children_inline(stock: Stock) -> None:
    child = stock.machine({"F": {"Type": "Fail", "Error": "Mine", "Cause": "c"}}, "F")
    resource = "arn:aws:states:::states:startExecution.sync:2"
    parameters = {"StateMachineArn": child, "Input": {}}
    parent = {"T": {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}}
    # On AWS: States.TaskFailed, with the child's description as Cause.
    assert stock.run(stock.machine(parent, "T"))["error"] == "Mine"


def test_stock_swallows_callback_errors(stock: Stock, function: str) -> None:
    parameters = {"FunctionName": function, "Payload": {"op": "raise", "token.$": "$$.Task.Token"}}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "TimeoutSeconds": 1,
        "Parameters": parameters,
        "End": True,
    }
    assert stock.run(stock.machine({"T": task}, "T"))["error"] == "States.Timeout"


def test_stock_ignores_post_checksum(stock: Stock) -> None:
    from tests.local.test_s3 import post, sha256

    s3 = stock.client("s3", signature_version="s3v4", s3={"addressing_style": "path"})
    s3.create_bucket(Bucket="probe")
    fields = {"x-amz-checksum-sha256": sha256(b"right")}
    signed = s3.generate_presigned_post("probe", "k", Fields=fields, Conditions=[fields])
    assert post(signed, b"wrong")[0] == 204


def test_stock_serves_signature_version_2(stock: Stock) -> None:
    from tests.local.test_s3 import refusal

    s3 = stock.client("s3", signature_version="s3", s3={"addressing_style": "path"})
    s3.create_bucket(Bucket="old")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "old", "Key": "none"}, ExpiresIn=-100)
    assert refusal(url) == 404


def test_stock_ignores_ranges_of_versions(stock: Stock) -> None:
    s3 = stock.client("s3", s3={"addressing_style": "path"})
    s3.create_bucket(Bucket="ranges")
    s3.put_bucket_versioning(Bucket="ranges", VersioningConfiguration={"Status": "Enabled"})
    version_id = s3.put_object(Bucket="ranges", Key="k", Body=b"0123456789")["VersionId"]
    answer = s3.get_object(Bucket="ranges", Key="k", VersionId=version_id, Range="bytes=3-5")
    assert answer["Body"].read() == b"0123456789"


def test_stock_swallows_disk_errors(stock: Stock) -> None:
    # S3_DATA_DIR lies below a file: nothing can be on disk, and yet the write is acknowledged.
    s3 = stock.client("s3", s3={"addressing_style": "path"})
    s3.create_bucket(Bucket="nowhere")
    assert s3.put_object(Bucket="nowhere", Key="k", Body=b"x")["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_stock_saves_tables_only_at_stop(stock: Stock) -> None:
    dynamodb = stock.client("dynamodb")
    dynamodb.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )
    dynamodb.put_item(TableName="table", Item={"k": {"S": "1"}})
    assert not (stock.state_dir / "dynamodb.json").exists()


def test_stock_saves_queues_only_at_stop(stock: Stock) -> None:
    sqs = stock.client("sqs")
    sqs.send_message(QueueUrl=sqs.create_queue(QueueName="q")["QueueUrl"], MessageBody="x")
    assert not (stock.state_dir / "sqs.json").exists()


def test_stock_delivers_notifications_in_threads() -> None:
    assert "Thread" in inspect.getsource(s3._fire_s3_event_async)


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What the stock modules do where no request shows it, asked in a fresh interpreter."""
    code = textwrap.dedent("""
        import json
        from ministack.services import dynamodb, eventbridge, lambda_svc, scheduler, stepfunctions
        lambda_svc._init_stream_position("m", "arn:aws:dynamodb:us-east-1:0:table/t/stream/x", "LATEST")
        emitted = []
        eventbridge._put_events = lambda *a, **k: emitted.append(a)
        stepfunctions.load_persisted_state({"executions": {"arn:aws:states:us-east-1:0:execution:m:e": {
            "status": "RUNNING", "executionArn": "e", "stateMachineArn": "m", "name": "e"}}})
        ended = [e["status"] for e in stepfunctions._executions.all_values()]
        fired = [name for state in (scheduler.get_state(), eventbridge.get_state()) for name in state if "fired" in name]
        print(json.dumps({"position": lambda_svc._dynamodb_stream_positions["m"], "ended": ended,
                          "emitted": len(emitted), "fired": fired}))
    """)
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def test_stock_waits_for_a_log_line() -> None:
    wait = inspect.signature(lambda_runtime.Worker._drain_stderr_bounded).parameters["first_line_wait"]
    assert wait.default >= 0.05


def test_stock_positions_are_list_indexes(facts: dict[str, Any]) -> None:
    assert facts["position"] == 0


def test_stock_restores_executions_silently(facts: dict[str, Any]) -> None:
    assert (facts["ended"], facts["emitted"]) == (["FAILED"], 0)


def test_stock_forgets_last_firing(facts: dict[str, Any]) -> None:
    assert facts["fired"] == []
