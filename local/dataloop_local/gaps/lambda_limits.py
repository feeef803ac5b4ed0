"""Gap: a burst starts one Python per waiting request, 64 of them on two cores.

Stock scales a function like AWS: every concurrent invocation gets an environment. A Distributed Map of 200 items started
66 processes and failed on time-outs.
We give each function a few environments and let the next invocation wait for one. The wait is bounded: a function that
(directly or through a workflow) waits for itself gets an extra environment after it, instead of a deadlock.
Noticed by: tests/local/test_lambda.py::test_a_burst_shares_few_environments and
tests/local/test_stock_gaps.py::test_stock_has_no_environment_limit.
"""

from __future__ import annotations

import threading
from typing import Any

from ministack.services import lambda_svc


def install(*, environments: int, wait_s: float) -> None:
    """At most `environments` processes a function; after `wait_s` seconds an invocation gets one regardless."""
    slots: dict[str, threading.BoundedSemaphore] = {}
    lock = threading.Lock()
    stock = lambda_svc._execute_function_provided_warm

    def execute(function: dict[str, Any], event: dict[str, Any], request_id: str) -> dict[str, Any]:
        name = (function.get("config") or function).get("FunctionArn", "")
        with lock:
            slot = slots.setdefault(name, threading.BoundedSemaphore(environments))
        waited_for = slot.acquire(timeout=wait_s)
        try:
            result: dict[str, Any] = stock(function, event, request_id)
            return result
        finally:
            if waited_for:
                slot.release()

    lambda_svc._execute_function_provided_warm = execute
