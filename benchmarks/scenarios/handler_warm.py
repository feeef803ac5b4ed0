"""CPU of a warm handler per request, against bare boto3 making the same calls of the same server.

The server is a process of its own that repeats recorded answers, so its CPU is not counted. The bare side repeats what
the handler was seen to call, with the same parameters; it does nothing with the answers but read them.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import images
from benchmarks.lambda_environment import RAW_BUCKET, lambda_environment
from benchmarks.measure import in_turns, program
from benchmarks.scenario import Bench, Budget, Figure
from benchmarks.scenarios.registration import META

BUDGET = Budget(1.3)
_EVENTS = 10


def run(bench: Bench) -> list[Figure]:
    """ingest_object per message of 100 kB, alone in its batch and ten at a time; api_sdk per POST /raw-data."""
    count = 60 if bench.quick else 150
    single = _ingest_events(bench, messages=1)
    tens = _ingest_events(bench, messages=10)
    figures = [
        _measure(bench, "ingest_object, batch of 10: a message", "ingest_object", tens, count // 5, per=10),
        _measure(bench, "api_sdk: POST /raw-data", "api_sdk", _api_events(bench), count),
    ]
    if not bench.quick:
        figures.insert(1, _measure(bench, "ingest_object, batch of 1: a message", "ingest_object", single, count))
    bench.facts["ingest_cpu_ms"] = figures[0].ours.median
    return figures


def _measure(bench: Bench, title: str, function: str, events: list[Any], count: int, per: int = 1) -> Figure:
    source = bench.folder / f"{function}-{per}.json"
    source.write_text(json.dumps(events))
    environment = lambda_environment(bench.aws.replay_url)
    found = in_turns(
        {side: partial(_one, function, side, count, source, environment, per) for side in ("ours", "bare")},
        bench.rounds(4, 2),
        warm=0,
    )
    return Figure(title, "ms", found["ours"], "bare boto3", found["bare"], BUDGET)


def _one(function: str, side: str, count: int, source: Path, environment: dict[str, str], per: int) -> float:
    return float(program("warm_handler", function, side, count, source, environment=environment).output) / per


def _ingest_events(bench: Bench, messages: int) -> list[dict[str, Any]]:
    """Events over a few objects. The replaying server accepts every update, so sequencers need not grow."""
    s3 = bench.aws.client("s3")
    found = []
    for number in range(_EVENTS):
        body, key = images.jpeg(number), f"warm/2026-01-01/camera-{number:04d}.jpg"
        stored = s3.put_object(Bucket=RAW_BUCKET, Key=key, Body=body)
        found.append(images.event(RAW_BUCKET, key, stored["VersionId"], number + 1, len(body)))
    return [{"Records": [found[(start + n) % _EVENTS] for n in range(messages)]} for start in range(_EVENTS)]


def _api_events(bench: Bench) -> list[dict[str, Any]]:
    from dataloop.bootstrap import build
    from dataloop.settings import read

    class Clients:
        dynamodb = bench.aws.client("dynamodb")

    _, secret = build(Clients(), read(lambda_environment())).keyring.create("default", "bench", ["write"])
    return [_http("POST", "/api/v1/raw-data", {"uid": f"{number:032x}", **META}, secret) for number in range(_EVENTS)]


def _http(method: str, path: str, body: object, secret: str) -> dict[str, Any]:
    """An HTTP API event, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "ANY /api/v1/{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "authorization": f"Bearer {secret}",
            "content-type": "application/json",
            "host": "api.example.com",
            "user-agent": "dataloop-sdk",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "request",
            "stage": "$default",
            "timeEpoch": 1767225600000,
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
