"""CPU of a warm handler per request, or of bare boto3 making the same calls: python -m … NAME ours|bare COUNT EVENTS.json

The handler's first requests are recorded where boto3 clients are called; `bare` repeats these calls with clients of its
own and reads the bodies. Prints milliseconds of CPU per request.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.client
from botocore import xform_name

from benchmarks.programs.count_calls import Context

_WARM = 20
Call = tuple[str, str, dict[str, Any]]


def main() -> None:
    name, side, count, source = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    events: list[dict[str, Any]] = json.loads(source.read_text())
    handler = importlib.import_module(f"{name}.handler").handler
    answers = []

    def handle(event: dict[str, Any]) -> None:
        answers.append(handler(event, Context()))

    if side == "bare":
        recorded = [_record(handle, event) for event in events]
        repeat = _repeater()
        requests: list[Callable[[], None]] = [lambda calls=calls: repeat(calls) for calls in recorded]  # type: ignore[misc]
    else:
        requests = [lambda event=event: handle(event) for event in events]  # type: ignore[misc]
        requests[0]()
    _check(answers)
    turns = itertools.cycle(requests)
    for _ in range(_WARM):
        next(turns)()
    begun = time.process_time()
    for _ in range(count):
        next(turns)()
    spent_s = time.process_time() - begun
    _check(answers)
    print(spent_s * 1000 / count)


def _check(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        if answer.get("batchItemFailures") or answer.get("statusCode", 200) != 200:
            raise SystemExit(f"the handler failed: {answer}")


def _record(handle: Callable[[dict[str, Any]], None], event: dict[str, Any]) -> list[Call]:
    calls: list[Call] = []
    stock = botocore.client.BaseClient._make_api_call

    def make_api_call(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        calls.append((self.meta.service_model.service_name, operation, dict(parameters)))
        return stock(self, operation, parameters)

    botocore.client.BaseClient._make_api_call = make_api_call
    try:
        handle(event)
    finally:
        botocore.client.BaseClient._make_api_call = stock
    return calls


def _repeater() -> Callable[[list[Call]], None]:
    """Bare boto3: the clients an engineer would make, and nothing around them."""
    import boto3

    clients = {service: boto3.client(service, region_name=os.environ["AWS_REGION"]) for service in ("dynamodb", "s3")}

    def repeat(calls: list[Call]) -> None:
        for service, operation, parameters in calls:
            answer = getattr(clients[service], xform_name(operation))(**parameters)
            if "Body" in answer:
                answer["Body"].read()

    return repeat


if __name__ == "__main__":
    main()
