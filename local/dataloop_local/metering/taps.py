"""Where the counters are fed.

Counted: requests that arrive over HTTP (clients, functions, jobs), every Lambda invocation, every state entered, every
event put on a bus by the application. Not counted: what the emulator does inside itself (its pollers, deliveries, saves).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app as ministack_app
from ministack.core import lambda_runtime
from ministack.services import stepfunctions

from dataloop_local.metering.dynamodb_tap import tap_dynamodb
from dataloop_local.metering.meter import Meter
from dataloop_local.metering.operations import operation_of

Handler = Callable[..., Awaitable[tuple[Any, ...]]]

_COUNTED = ("dynamodb", "s3", "sqs", "events", "states", "lambda", "sagemaker", "logs", "scheduler", "monitoring")
# EventBridge bills an event per 64 KB of payload.
_EVENT_UNIT_BYTES = 64 * 1024


def tap(meter: Meter) -> None:
    """Start counting. Call once, after every gap is filled."""
    for service in _COUNTED:
        ministack_app.SERVICE_HANDLERS[service] = _counting(meter, service, ministack_app.SERVICE_HANDLERS[service])
    tap_dynamodb(meter)
    _tap_lambda(meter)
    _tap_workflows(meter)


def _counting(meter: Meter, service: str, stock: Handler) -> Handler:
    async def handle(
        method: str, path: str, headers: dict[str, Any], body: bytes, query: dict[str, Any], **rest: Any
    ) -> tuple[Any, ...]:
        operation = operation_of(service, method, path, headers, body, query)
        meter.add("calls", service, operation)
        if service == "s3" and method in ("PUT", "POST"):
            meter.add("s3", "bytes_in", amount=len(body))
        if service == "events" and operation == "PutEvents":
            entries = json.loads(body or b"{}").get("Entries", [])
            units = sum(max(1, math.ceil(len(json.dumps(entry)) / _EVENT_UNIT_BYTES)) for entry in entries)
            meter.add("eventbridge", "events", amount=units)
        answer: tuple[Any, ...] = await stock(method, path, headers, body, query, **rest)
        if service == "s3" and method == "GET" and isinstance(answer[2], bytes):
            meter.add("s3", "bytes_out", amount=len(answer[2]))
        return answer

    return handle


def _tap_lambda(meter: Meter) -> None:
    # Around the environment, not around the invocation: the wait for a free environment is a habit of this machine.
    stock = lambda_runtime.ProvidedWorker.invoke

    def invoke(worker: Any, event: Any, request_id: str, **rest: Any) -> dict[str, Any]:
        begun = time.monotonic()
        result: dict[str, Any] = stock(worker, event, request_id, **rest)
        # Lambda bills whole milliseconds, the start of an environment included (Lambda pricing).
        seconds = math.ceil((time.monotonic() - begun) * 1000) / 1000
        name = worker.func_name
        meter.add("lambda", name, "invocations")
        meter.add("lambda", name, "seconds", amount=seconds)
        meter.add("lambda", name, "gb_seconds", amount=seconds * worker.config.get("MemorySize", 128) / 1024)
        if result.get("cold_start"):
            meter.add("lambda", name, "cold_starts")
        if result.get("status") != "ok":
            meter.add("lambda", name, "errors")
        return result

    lambda_runtime.ProvidedWorker.invoke = invoke


def _tap_workflows(meter: Meter) -> None:
    stock_event, stock_task = stepfunctions._add_event, stepfunctions._run_sub_machine

    def add_event(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
        machine = execution["stateMachineArn"].rpartition(":")[2]
        if kind.endswith("StateEntered") and "mapRunArn" not in execution:
            meter.add("stepfunctions", "transitions", machine)
        return stock_event(execution, kind, details)

    def run_sub_machine(
        states: dict[str, Any], start: str, data: Any, execution: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        begun = time.monotonic()
        try:
            return stock_task(states, start, data, execution, context)
        finally:
            if "mapRunArn" in execution:
                machine = execution["stateMachineArn"].split(":", 6)[6].split("/")[0]
                meter.add("stepfunctions", "express_requests", machine)
                meter.add("stepfunctions", "express_seconds", machine, amount=time.monotonic() - begun)

    stepfunctions._add_event, stepfunctions._run_sub_machine = add_event, run_sub_machine
