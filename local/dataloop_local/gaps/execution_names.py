"""Gap: starting the same execution twice is an error.

On AWS, StartExecution of a standard workflow with the name and input of a running execution succeeds and returns that
execution; only a closed one (or another input) is ExecutionAlreadyExists. Stock always refuses.
Noticed by: tests/local/test_workflows.py::test_start_execution_is_idempotent and
tests/local/test_stock_gaps.py::test_stock_refuses_a_second_start.
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id, get_region, json_response
from ministack.services import stepfunctions


def install() -> None:
    stock_start = stepfunctions._start_execution

    def start(data: dict[str, Any]) -> tuple[Any, ...]:
        name = data.get("name")
        machine = stepfunctions._state_machines.get(data.get("stateMachineArn", ""))
        if name and machine:
            arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{name}"
            running = stepfunctions._executions.get(arn)
            same = running is not None and running["input"] == data.get("input", "{}")
            if same and running["status"] == "RUNNING":
                again: tuple[Any, ...] = json_response({"executionArn": arn, "startDate": running["startDate"]})
                return again
        response: tuple[Any, ...] = stock_start(data)
        return response

    stepfunctions._start_execution = start
