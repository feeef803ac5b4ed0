"""DynamoDB calls and write units of registering one object.

Calls are counted where botocore makes them. Write units are calculated by AWS's rules from the item before and after,
every index entry included (dataloop_local.metering.capacity, which has tests of its own).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from benchmarks import images
from benchmarks.lambda_environment import ONCE_TABLE, RAW_BUCKET, TABLE, lambda_environment
from benchmarks.measure import program
from benchmarks.scenario import Bench, Budget, Figure, counted
from dataloop_local.metering import capacity

# A key of ordinary length: `<directory>/<date>/<file name>`.
_KEY = "front-door/2026-01-01/camera-0017-{number:06d}.jpg"
# Seed 000, upload_raw_data: an ordinary metadata half.
META = {
    "type": "image",
    "region": "CN",
    "securityLevel": "internal",
    "sourceInfo": {"type": "trigger", "device": "T8213"},
    "extra": {"device": "T8213", "firmware": "2.1.7.9"},
    "owner": "anker",
}


def run(bench: Bench) -> list[Figure]:
    """Ours: an object, and an object whose metadata came before. Rival: Powertools' idempotency decorator.

    Each in a process that has handled another object: the first of a process and a day notes the day, one call more.
    """
    earlier = _event(bench, 0)
    program("count_calls", earlier, "ours", environment=lambda_environment(bench.aws.url))
    ours_calls, ours_units = _register(bench, 1, "ours", earlier)
    both_calls, both_units = _register(bench, 2, "ours", earlier, metadata_first=True)
    rival_calls, rival_units = _register(bench, 3, "powertools")
    rival = "Powertools idempotency"
    return [
        Figure("calls", "calls", counted(ours_calls), rival, counted(rival_calls), Budget(1, "ours")),
        Figure("write units", "WRU", counted(ours_units), rival, counted(rival_units), Budget(2, "ours")),
        Figure("calls, metadata first", "calls", counted(both_calls), rival, counted(rival_calls), Budget(1, "ours")),
        # The item holds both halves and moves from the index partition of waiting records to its day's.
        Figure("write units, metadata first", "WRU", counted(both_units), rival, counted(rival_units)),
    ]


def _event(bench: Bench, number: int) -> str:
    """An uploaded object's event."""
    body, key = images.jpeg(number), _KEY.format(number=number)
    stored = bench.aws.client("s3").put_object(Bucket=RAW_BUCKET, Key=key, Body=body)
    return json.dumps({"Records": [images.event(RAW_BUCKET, key, stored["VersionId"], number, len(body))]})


def _register(bench: Bench, number: int, side: str, *earlier: str, metadata_first: bool = False) -> tuple[int, float]:
    """(DynamoDB calls, write units) of one message. earlier: events that the process has handled before."""
    event = _event(bench, number)
    if metadata_first:
        _metadata_half(bench, images.jpeg(number))
    before = _items(bench)
    found = program("count_calls", event, side, *earlier, environment=lambda_environment(bench.aws.url))
    calls = Counter(name for service, name in json.loads(found.output) if service == "dynamodb")
    return sum(calls.values()), _units(bench, before, _items(bench), calls)


def _metadata_half(bench: Bench, body: bytes) -> None:
    import hashlib

    from dataloop.bootstrap import build
    from dataloop.settings import read

    class Clients:
        dynamodb = bench.aws.client("dynamodb")
        s3 = bench.aws.client("s3")

    services = build(Clients(), read(lambda_environment()))
    services.registering.register_metadata("default", {"uid": hashlib.sha256(body).hexdigest()[:32], **META})


def _items(bench: Bench) -> dict[tuple[str, str], dict[str, Any]]:
    client = bench.aws.client("dynamodb")
    found = {}
    for table, names in ((TABLE, ("pk", "sk")), (ONCE_TABLE, ("id",))):
        for item in client.scan(TableName=table)["Items"]:
            found[table, "|".join(item[name]["S"] for name in names)] = item
    return found


def _units(
    bench: Bench,
    before: dict[tuple[str, str], dict[str, Any]],
    after: dict[tuple[str, str], dict[str, Any]],
    calls: Counter[str],
) -> float:
    """Units of the difference. A record that was put and then updated (Powertools' own) is charged for both writes."""
    table = bench.aws.table_definition()
    units = 0.0
    writes = 0
    for (name, key), item in after.items():
        old = before.get((name, key))
        if old != item:
            units += capacity.item_write_units(table if name == TABLE else {}, old, item)
            writes += 1
    further = calls["PutItem"] + calls["UpdateItem"] - writes
    return units + further
