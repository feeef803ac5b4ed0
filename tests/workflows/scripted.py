"""Runs a state machine on ministack's Step Functions with scripted results, in this process.

What is real: ministack's interpreter of the machine as template.yaml deploys it (substitutions applied), its intrinsic
functions, paths, retries, catches, maps and task tokens. What is scripted: the answer of every step, job and nested
machine. Every request is checked before it is answered: no path may be missing (on AWS that fails the execution;
ministack yields null), job requests must pass botocore's own validator, and nested machines must be deployed ones.

ministack also reads AWS's mock-config format; it is not used because it answers before the request is built, so a wrong
path or field in `Parameters` would pass.
"""

from __future__ import annotations

import json
import re
import threading
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import botocore.session
from botocore.validate import ParamValidator
from ministack.services import s3, stepfunctions

from tests.infra.template import Project, target_of

Json = Any
BUCKET = "scripted-artifacts"
READER = "s3:listObjectsV2"  # script this key to make a map's listing fail; it really lists otherwise
WAIT_LIMIT_S = 20
ACCOUNT_ARN = "us-east-1:000000000000"
_EXECUTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True)
class Call:
    """One request that a machine made: what it called (a step, a job's API, a nested machine) and with what."""

    key: str
    request: dict[str, Json]


@dataclass
class Run:
    """How an execution went: status, error, the states it entered in order, and the calls it made."""

    status: str
    error: str | None
    cause: str | None
    visited: list[str]
    children: list[list[str]]
    calls: list[Call]
    output: Json = None

    def requests(self, key: str) -> list[dict[str, Json]]:
        """The requests of one key, in order."""
        return [call.request for call in self.calls if call.key == key]


@dataclass
class Script:
    """Answers by key; each a list used one by one, the last one for all later calls.

    An answer is {"return": result} or {"throw": {"Error", "Cause"}}. A call without an answer fails the execution with
    the error `Unscripted`, so no test passes by an answer it did not mean to give.
    """

    answers: dict[str, list[dict[str, Json]]]
    calls: list[Call] = field(default_factory=list)
    _used: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, key: str, request: dict[str, Json]) -> Json:
        """The next answer for a key; raises what the script throws."""
        problem = missing_path(request)
        if problem:
            raise stepfunctions._ExecutionError("States.ParameterPathFailure", f"{key}: {problem} is null")
        with self._lock:
            self.calls.append(Call(key, request))
            given = self.answers.get(key)
            if not given:
                raise stepfunctions._ExecutionError("Unscripted", f"no answer for {key}")
            index = self._used.get(key, 0)
            self._used[key] = index + 1
        reply = given[min(index, len(given) - 1)]
        if "throw" in reply:
            raise stepfunctions._ExecutionError(reply["throw"]["Error"], reply["throw"].get("Cause", ""))
        return reply.get("return")

    def unused(self) -> set[str]:
        """Keys that were scripted but never called."""
        return set(self.answers) - set(self._used)


def missing_path(value: Json, path: str = "request") -> str | None:
    """Where a resolved request has a null, or None. No state of ours sends null on purpose."""
    if value is None:
        return path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, item in items if (found := missing_path(item, f"{path}.{key}"))), None)


def deployed(project: Project, stem: str) -> tuple[str, str]:
    """(name, definition) of a machine as the template deploys it in stage test, partition aws."""
    _, properties = project.machine_resource(stem)
    definition = project.machine_texts[stem]
    for key, value in properties["DefinitionSubstitutions"].items():
        definition = definition.replace("${" + key + "}", _substitution(project, value))
    return str(properties["Name"]["Fn::Sub"]).replace("${Stage}", "test"), definition


def _substitution(project: Project, value: Json) -> str:
    if value == {"Ref": "AWS::Partition"}:
        return "aws"
    target = target_of(value) or ""
    body = project.resources[target]
    if body["Type"] == "AWS::Serverless::Function":
        return f"arn:aws:lambda:{ACCOUNT_ARN}:function:{target}"
    name = str(body["Properties"]["Name"]["Fn::Sub"]).replace("${Stage}", "test")
    return f"arn:aws:states:{ACCOUNT_ARN}:stateMachine:{name}"


def run(
    project: Project, stem: str, answers: dict[str, list[dict[str, Json]]], parts: list[str], execution_input: Json
) -> tuple[Run, Script]:
    """Execute one machine to its end. `parts`: keys that the artifacts bucket holds. Waits of Retry are skipped."""
    name, definition = deployed(project, stem)
    script = Script(answers)
    with _scripted(project, script) as (finished, entered):
        arn = _created(name, definition, parts)
        try:
            started = _ok(
                stepfunctions._start_execution(
                    {"stateMachineArn": arn, "name": "run", "input": json.dumps(execution_input)}
                )
            )
            execution_arn = started["executionArn"]
            assert finished.wait(WAIT_LIMIT_S), (
                f"{stem} did not end in {WAIT_LIMIT_S} s; calls so far: {[c.key for c in script.calls]}"
            )
            execution = stepfunctions._executions[execution_arn]
            history = _ok(stepfunctions._get_execution_history({"executionArn": execution_arn, "maxResults": 1000}))
        finally:
            _forget(arn)
    visited = [e["stateEnteredEventDetails"]["name"] for e in history["events"] if e["type"].endswith("StateEntered")]
    children = [states for child, states in entered.items() if child != execution_arn]
    return Run(
        execution["status"],
        execution.get("error"),
        execution.get("cause"),
        visited,
        children,
        script.calls,
        json.loads(execution["output"]) if execution.get("output") else None,
    ), script


@contextmanager
def _scripted(project: Project, script: Script) -> Iterator[tuple[threading.Event, dict[str, list[str]]]]:
    """Puts the script behind ministack's service integrations for the length of one execution."""
    finished = threading.Event()
    entered: dict[str, list[str]] = {}
    execute_task, read_items = stepfunctions._execute_task, stepfunctions._read_map_items

    def call_lambda(_function: str, event: dict[str, Json]) -> Json:
        token = event["input"].get("task_token")
        if token is None:
            return script.answer(event["step"], event)
        # The answer of a waiting step comes later and from outside: approve and reject are calls of their own.
        shown = {**event, "input": {**event["input"], "task_token": "given"}}
        try:
            stepfunctions._send_task_success(
                {"taskToken": token, "output": json.dumps(script.answer(event["step"], shown))}
            )
        except stepfunctions._ExecutionError as error:
            stepfunctions._send_task_failure({"taskToken": token, "error": error.error, "cause": error.cause})
        return {}

    def job(operation: str) -> Any:
        def start(_resource: str, request: dict[str, Json]) -> Json:
            check_job_request(operation, request)
            return script.answer(operation, request)

        return start

    def nested(_resource: str, request: dict[str, Json]) -> Json:
        machine = request["StateMachineArn"].rpartition(":dataloop-test-")[2]
        known = {deployed(project, stem)[0] for stem in project.machines}
        assert f"dataloop-test-{machine}" in known, f"{machine} is not deployed by template.yaml"
        assert _EXECUTION_NAME.fullmatch(request["Name"]), request["Name"]
        assert set(request["Input"]) == {"tenant", "task_id"}, request["Input"]
        return script.answer(machine, request)

    def read_parts(reader: Json, effective: Json, ctx: Json) -> Json:
        if READER in script.answers:
            script.answer(READER, {"resource": reader["Resource"]})
        return read_items(reader, effective, ctx)

    def note_task(state_def: Json, raw_input: Json, execution: Json, ctx: Json) -> Json:
        entered.setdefault(execution["executionArn"], []).append(ctx["State"]["Name"])
        return execute_task(state_def, raw_input, execution, ctx)

    def note_status(execution: dict[str, Json]) -> None:
        if execution["status"] != "RUNNING":
            finished.set()

    clock = types.SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("_")})
    clock.sleep = _no_wait
    jobs = {
        f"arn:aws:states:::sagemaker:{name[0].lower()}{name[1:]}": job(name)
        for name in ("CreateTrainingJob", "CreateProcessingJob")
    }
    with (
        patch.object(stepfunctions, "time", clock),
        patch.object(stepfunctions, "_call_lambda", call_lambda),
        patch.object(stepfunctions, "_execute_task", note_task),
        patch.object(stepfunctions, "_read_map_items", read_parts),
        patch.object(stepfunctions, "_invoke_nested_start_execution_sync", nested),
        patch.object(stepfunctions, "_emit_execution_status_event", note_status),
        patch.dict(stepfunctions._SERVICE_DISPATCH, jobs),
    ):
        yield finished, entered


def _no_wait(_seconds: float) -> None:
    """Stands in for the waits of Retry."""


def check_job_request(operation: str, request: dict[str, Json]) -> None:
    """Raise if SageMaker's API description refuses the request."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise stepfunctions._ExecutionError("SageMaker.ValidationException", report.generate_report())


def _created(name: str, definition: str, parts: list[str]) -> str:
    created = _ok(
        stepfunctions._create_state_machine(
            {"name": name, "definition": definition, "roleArn": "arn:aws:iam::000000000000:role/scripted"}
        )
    )
    s3._buckets[BUCKET] = {"objects": {key: {"etag": "", "size": 1, "last_modified": 0} for key in parts}}
    return str(created["stateMachineArn"])


def _forget(arn: str) -> None:
    s3._buckets.pop(BUCKET, None)
    stepfunctions._delete_state_machine({"stateMachineArn": arn})
    for execution_arn in list(stepfunctions._executions):
        stepfunctions._executions.pop(execution_arn, None)


def _ok(response: tuple[int, dict[str, str], bytes | str]) -> dict[str, Json]:
    status, _, body = response
    parsed = json.loads(body)
    assert status == 200, parsed
    assert isinstance(parsed, dict)
    return parsed
