"""State machines: errors by name, children, jobs, tokens, stops."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.stack import LocalStack
from tests.local.waiting import until


def start(stack: LocalStack, machine: str, data: dict[str, Any], name: str | None = None) -> str:
    answer = stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.output(machine), input=json.dumps(data), name=name or uuid.uuid4().hex
    )
    return str(answer["executionArn"])


def ended(stack: LocalStack, arn: str, within_s: float = 30) -> dict[str, Any]:
    client = stack.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        described = client.describe_execution(executionArn=arn)
        return described if described["status"] != "RUNNING" else None

    return until(look, within_s=within_s, what="the end of the execution")


def training_input(stack: LocalStack, name: str, **parameters: str) -> dict[str, Any]:
    return {
        "name": name,
        "parameters": parameters,
        "code_uri": stack.output("CodeUri"),
        "output_uri": f"s3://{stack.output('ArtifactsBucketName')}/training",
    }


def status_events(stack: LocalStack, found: list[dict[str, Any]], arn: str, status: str) -> list[dict[str, Any]]:
    found.extend(stack.received("EventsQueueUrl"))
    return [e for e in found if e.get("detail", {}).get("executionArn") == arn and e["detail"]["status"] == status]


def test_an_error_is_caught_by_its_name(stack: LocalStack) -> None:
    result = ended(stack, start(stack, "StepsMachineArn", {"kind": "catch"}))

    assert result["status"] == "SUCCEEDED"
    assert json.loads(result["output"])["caught"]["Error"] == "NotReady"


def test_a_distributed_map_of_many_items_stays_within_its_environments(stack: LocalStack) -> None:
    s3, bucket, prefix = stack.client("s3"), stack.output("ArtifactsBucketName"), f"map/{uuid.uuid4().hex}/"
    for number in range(40):
        s3.put_object(Bucket=bucket, Key=f"{prefix}{number:03}", Body=b"")

    result = ended(stack, start(stack, "StepsMachineArn", {"kind": "map", "prefix": prefix}), within_s=60)

    assert result["status"] == "SUCCEEDED", result.get("cause")
    assert len(json.loads(result["output"])) == 40
    assert len(set(json.loads(result["output"]))) <= 2


def test_a_failing_token_function_fails_its_task(stack: LocalStack) -> None:
    result = ended(stack, start(stack, "StepsMachineArn", {"kind": "token"}))

    assert (result["status"], result["error"]) == ("FAILED", "NotReady")


def test_start_execution_is_idempotent(stack: LocalStack) -> None:
    name, data = uuid.uuid4().hex, {"kind": "call", "event": {"op": "wait", "seconds": 0.5}}

    first = start(stack, "StepsMachineArn", data, name)
    assert start(stack, "StepsMachineArn", data, name) == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(stack, "StepsMachineArn", {**data, "other": True}, name)
    assert ended(stack, first)["status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(stack, "StepsMachineArn", data, name)


def test_nested_executions(stack: LocalStack) -> None:
    # A child that succeeds
    child = {"kind": "call", "event": {"op": "echo", "n": 7}}
    name = uuid.uuid4().hex
    result = ended(stack, start(stack, "ParentMachineArn", {"child": child, "child_name": name}))
    assert json.loads(result["output"])["result"]["Output"] == {"op": "echo", "n": 7}

    # A child that fails: States.TaskFailed, with the child's description as Cause, and its own status event
    name = uuid.uuid4().hex
    failing = {"child": {"kind": "call", "event": {"op": "raise"}}, "child_name": name}
    result = ended(stack, start(stack, "ParentMachineArn", failing))
    error = json.loads(result["output"])["error"]
    cause = json.loads(error["Cause"])
    assert (error["Error"], cause["Error"], cause["Status"]) == ("States.TaskFailed", "NotReady", "FAILED")
    assert cause["Name"] == name
    events: list[dict[str, Any]] = []
    assert until(lambda: status_events(stack, events, cause["ExecutionArn"], "FAILED"), what="the child's event")


def test_a_training_runs_inside_a_workflow(stack: LocalStack) -> None:
    name = f"train-{uuid.uuid4().hex}"
    result = ended(stack, start(stack, "TrainingMachineArn", training_input(stack, name, epochs="2")))

    job = json.loads(result["output"])["job"]
    assert job["TrainingJobStatus"] == "Completed"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"/{name}/output/model.tar.gz")


def test_a_failed_training_says_why(stack: LocalStack) -> None:
    name = f"train-{uuid.uuid4().hex}"
    data = training_input(stack, name, fail="learning_rate must be positive, got -1")
    result = ended(stack, start(stack, "TrainingMachineArn", data))

    assert (result["status"], result["error"]) == ("FAILED", "States.TaskFailed")
    assert "learning_rate must be positive, got -1" in json.loads(result["cause"])["FailureReason"]


def test_stop_execution_stops_its_job(stack: LocalStack) -> None:
    # Given a parent whose child's training waits for ever
    name, child = f"train-{uuid.uuid4().hex}", f"child-{uuid.uuid4().hex}"
    arn = start(stack, "ParentMachineArn", {"train": training_input(stack, name, wait="1"), "child_name": child})
    sagemaker, s3 = stack.client("sagemaker"), stack.client("stepfunctions")

    def secondary() -> str:
        try:
            return str(sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"])
        except ClientError:
            return "not there"

    until(lambda: secondary() == "Training", what="a running job")

    # When the parent is stopped
    s3.stop_execution(executionArn=arn, cause="the user asked")

    # Then child and job stop too, and what is stopped stays ABORTED
    until(lambda: secondary() == "Stopped", what="the end of the job")
    child_arn = f"{stack.output('TrainingMachineArn').replace(':stateMachine:', ':execution:')}:{child}"
    assert ended(stack, child_arn)["status"] == "ABORTED"
    assert ended(stack, arn)["status"] == "ABORTED"
    events: list[dict[str, Any]] = []
    assert until(lambda: status_events(stack, events, child_arn, "ABORTED"), what="the child's event")
    assert not list(Path(stack.state_dir, "jobs").glob(f"{name}*"))
