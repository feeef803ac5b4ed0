"""Gap: a function that fails to take a task token leaves its execution waiting for ever.

With lambda:invoke.waitForTaskToken AWS fails the task when the invocation fails; stock swallows the error and waits for a
callback that nobody will send.
We hand the function's error to the waiting task as if it had been sent with SendTaskFailure.
Noticed by: tests/local/test_workflows.py::test_a_failing_token_function_fails_its_task and
tests/local/test_stock_gaps.py::test_stock_swallows_callback_errors.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import stepfunctions

_token: ContextVar[str | None] = ContextVar("dataloop_task_token", default=None)


def install() -> None:
    stock_callback, stock_call = stepfunctions._invoke_with_callback, stepfunctions._call_lambda

    def invoke_with_callback(resource: str, data: Any, token: str, state: dict[str, Any]) -> Any:
        reset = _token.set(token)
        try:
            return stock_callback(resource, data, token, state)
        finally:
            _token.reset(reset)

    def call_lambda(function: str, event: Any) -> Any:
        try:
            return stock_call(function, event)
        except stepfunctions._ExecutionError as error:
            waiting = stepfunctions._task_tokens.get(_token.get() or "")
            if waiting is not None:
                waiting["error"] = {"Error": error.error, "Cause": error.cause}
                waiting["event"].set()
            raise

    stepfunctions._invoke_with_callback = invoke_with_callback
    stepfunctions._call_lambda = call_lambda
