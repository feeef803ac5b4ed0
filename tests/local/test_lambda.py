"""Functions run as on AWS: real error types, their own environment, few processes, quickly."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.local.stack import LocalStack


def test_an_exception_keeps_its_type_message_and_stack(stack: LocalStack) -> None:
    error = stack.invoke({"op": "raise", "message": "no labels"})

    assert (error["errorType"], error["errorMessage"]) == ("NotReady", "no labels")
    assert any("_raise" in line for line in error["stackTrace"])


def test_a_function_that_exits_fails_and_the_next_one_runs(stack: LocalStack) -> None:
    assert stack.invoke({"op": "exit"})["errorType"] == "Runtime.ExitError"

    assert stack.invoke({"op": "echo", "n": 1}) == {"op": "echo", "n": 1}


def test_the_environment_is_the_template_s_and_not_the_host_s(stack: LocalStack) -> None:
    os.environ["PROBE_HOST_SECRET"] = "leak"
    environment = stack.invoke({"op": "environment"})

    assert environment["PROBE_TABLE"] == stack.output("TableName")
    assert environment["AWS_ENDPOINT_URL"] == stack.info.aws_endpoint_url
    assert environment["AWS_REGION"] == stack.info.region
    assert not {"PROBE_HOST_SECRET", "HOSTNAME", "USER", "VIRTUAL_ENV", "STATE_DIR"} & set(environment)
    assert Path(environment["HOME"]) != Path.home()


def test_a_layer_is_importable_from_its_own_folder(stack: LocalStack) -> None:
    layer = stack.invoke({"op": "layer"})

    assert layer["name"] == "shared"
    assert Path(layer["file"]).is_relative_to(stack.state_dir / "code")


def test_a_burst_shares_few_environments(stack: LocalStack) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: stack.invoke({"op": "wait", "seconds": 0.05}), range(24)))

    assert len({answer["pid"] for answer in answers}) <= 2


def test_warm_invocations_are_quick(stack: LocalStack) -> None:
    # A ceiling against the stock waits (50 ms for a log line, 40 ms for Nagle), far above what a busy machine needs.
    client = stack.client("lambda")
    name = stack.output("ProbeFunctionName")
    times = []
    for _ in range(15):
        started = time.perf_counter()
        client.invoke(FunctionName=name, Payload=b'{"op":"echo"}')["Payload"].read()
        times.append(time.perf_counter() - started)

    assert sorted(times)[7] < 0.05


def test_what_a_function_prints_is_in_its_log_group(stack: LocalStack) -> None:
    stack.invoke({"op": "print", "text": "a line of mine"})
    stack.invoke({"op": "echo"})

    logs = stack.client("logs")
    events = logs.filter_log_events(logGroupName=f"/aws/lambda/{stack.output('ProbeFunctionName')}")["events"]
    assert any("a line of mine" in event["message"] for event in events)


def test_invocations_share_a_log_stream(stack: LocalStack) -> None:
    stack.invoke({"op": "echo"})
    stack.invoke({"op": "echo"})

    group = f"/aws/lambda/{stack.output('ProbeFunctionName')}"
    streams = stack.client("logs").describe_log_streams(logGroupName=group)["logStreams"]
    # Two at most: one a day, and midnight may pass.
    assert 1 <= len(streams) <= 2
