"""Gap: a stopped or timed-out execution goes on waiting, and an aborted one can turn FAILED.

Stock marks an execution ABORTED and leaves the thread of its current task alone: a nested execution or a job keeps
running, and when that thread later fails, the ABORTED record is overwritten with FAILED.
We give every waiting task a `Waiting` that knows its execution, so it can stop what it waits for (as AWS does, best
effort), and keep a final status final.
Noticed by: tests/local/test_workflows.py::test_stop_execution_stops_its_job and
tests/local/test_stock_gaps.py::test_stock_has_no_sagemaker_integration.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from ministack.services import stepfunctions

_LOOK_AGAIN_S = 0.1


class Waiting:
    """The task that the current thread runs for an execution."""

    def __init__(self, execution: dict[str, Any]) -> None:
        self._execution = execution
        self._timed_out = threading.Event()

    def time_out(self) -> None:
        self._timed_out.set()

    def is_over(self) -> bool:
        """Nobody wants the result any more: the execution ended, or the task's TimeoutSeconds passed."""
        return self._timed_out.is_set() or self._execution["status"] != "RUNNING"


_current: contextvars.ContextVar[Waiting | None] = contextvars.ContextVar("dataloop_waiting", default=None)


def wait_for(done: threading.Event, stop: Callable[[], None]) -> bool:
    """Wait until `done` is set; returns True. When the execution ends first: calls `stop` and returns False."""
    waiting = _current.get()
    while not done.wait(_LOOK_AGAIN_S):
        if waiting is not None and waiting.is_over():
            stop()
            return False
    return True


def install() -> None:
    stock_task, stock_timeout = stepfunctions._execute_task, stepfunctions._invoke_resource_with_timeout
    stock_fail = stepfunctions._fail_execution

    def execute_task(state: dict[str, Any], raw_input: Any, execution: dict[str, Any], context: dict[str, Any]) -> Any:
        token = _current.set(Waiting(execution))
        try:
            return stock_task(state, raw_input, execution, context)
        finally:
            _current.reset(token)

    def invoke_with_timeout(resource: str, data: Any, timeout: float) -> Any:
        try:
            return stock_timeout(resource, data, timeout)
        except (stepfunctions._ExecutionError, FutureTimeoutError) as error:
            waiting = _current.get()
            if waiting is not None and getattr(error, "error", "") == "States.Timeout":
                waiting.time_out()
            raise

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            stock_fail(execution, error, cause)

    stepfunctions._execute_task = execute_task
    stepfunctions._invoke_resource_with_timeout = invoke_with_timeout
    stepfunctions._fail_execution = fail_execution
