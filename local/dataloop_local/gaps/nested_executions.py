"""Gap: a nested execution (states:startExecution.sync) is not one.

Stock runs the child inline as an express workflow: it emits no status events, forgets a name that was used before,
goes on when its parent is stopped, and reports the child's own error where AWS reports States.TaskFailed with the
child's description as Cause.
We start a real execution and wait for it; stopping the parent stops the child.
Noticed by: tests/local/test_workflows.py::test_nested_executions and
tests/local/test_stock_gaps.py::test_stock_runs_children_inline.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.services import stepfunctions

from dataloop_local.gaps.workflow_waits import wait_for


def install() -> None:
    ended: dict[str, threading.Event] = {}
    stock_emit = stepfunctions._emit_execution_status_event

    def emit(execution: dict[str, Any]) -> None:
        stock_emit(execution)
        if execution["status"] != "RUNNING" and execution["executionArn"] in ended:
            ended[execution["executionArn"]].set()

    def run_child(resource: str, data: dict[str, Any]) -> Any:
        request = stepfunctions._nested_start_execution_request(data)
        status, _, body = stepfunctions._start_execution(request)
        answer = json.loads(body)
        if status >= 400:
            kind = answer.get("__type", "ExecutionFailed").rpartition("#")[2]
            raise stepfunctions._ExecutionError(f"StepFunctions.{kind}Exception", answer.get("message", ""))
        arn = answer["executionArn"]
        child = stepfunctions._executions[arn]
        done = ended.setdefault(arn, threading.Event())
        if child["status"] != "RUNNING":
            done.set()
        stop = {"executionArn": arn, "cause": "the parent execution was stopped"}
        completed = wait_for(done, lambda: stepfunctions._stop_execution(stop))
        ended.pop(arn, None)
        return _outcome(resource, child) if completed else {}

    stepfunctions._emit_execution_status_event = emit
    stepfunctions._invoke_nested_start_execution_sync = run_child


def _outcome(resource: str, child: dict[str, Any]) -> dict[str, Any]:
    description = {
        "ExecutionArn": child["executionArn"],
        "Input": child["input"],
        "InputDetails": {"Included": True},
        "Name": child["name"],
        "StartDate": child["startDate"],
        "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"],
        "StopDate": child["stopDate"],
    }
    if child["status"] != "SUCCEEDED":
        description.update(Error=child.get("error"), Cause=child.get("cause"))
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(description))
    output: Any = child["output"]
    if resource.endswith(".sync:2"):
        # sync:2 gives JSON, sync gives text (Step Functions developer guide, "Start execution").
        output = json.loads(output)
        description["Input"] = json.loads(child["input"])
    return {**description, "Output": output, "OutputDetails": {"Included": True}}
