"""What the counted calls would cost: the runtime's meter times list prices. Counts and prices stay apart and visible."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataloop_demo import prices
from dataloop_demo.prices import Price

Json = dict[str, Any]

# S3 requests billed like PUT; the parts of a multipart upload are PUT requests (S3 pricing page). DELETE is free.
_S3_WRITES = ("Put", "Copy", "Post", "List", "CreateMultipart", "CompleteMultipart", "UploadPart")
_S3_FREE = ("Delete", "Abort")
# Step Functions bills an Express workflow's memory in steps of 64 MB; a join keeps well below the first.
_EXPRESS_GB = 64 / 1024


@dataclass(frozen=True)
class Line:
    """One line of the bill: counted amounts of each part of the run, and their price."""

    service: str
    what: str
    amounts: tuple[float, ...]
    price: Price
    digits: int = 0

    @property
    def dollars(self) -> tuple[float, ...]:
        return tuple(self.price.of(amount) for amount in self.amounts)


def parts(meters: list[Json]) -> list[Json]:
    """From readings of the meter, one after the other, what was counted between them."""
    return [difference(after, before) for before, after in itertools.pairwise(meters)]


def difference(after: Mapping[str, Any], before: Mapping[str, Any]) -> Json:
    """after - before, number by number; `since` and `until` become the seconds between the readings."""
    result: Json = {}
    for name, value in after.items():
        if isinstance(value, Mapping):
            result[name] = difference(value, before.get(name) or {})
        elif name not in ("since", "until"):
            result[name] = value - before.get(name, 0)
    if "until" in after:
        result["seconds"] = after["until"] - before.get("until", after["until"])
    return result


def serverless(counted: list[Json]) -> list[Line]:
    """Everything but the jobs' instances."""
    rows: tuple[tuple[str, str, Callable[[Json], float], Price, int], ...] = (
        ("API Gateway", "HTTP API requests", _api_requests, prices.HTTP_API, 0),
        ("Lambda", "invocations", lambda part: _lambda(part, "invocations"), prices.LAMBDA_REQUESTS, 0),
        ("Lambda", "GB-seconds", lambda part: _lambda(part, "gb_seconds"), prices.LAMBDA_SECONDS, 1),
        ("DynamoDB", "write units", lambda part: _at(part, "dynamodb", "write_units"), prices.DYNAMODB_WRITES, 0),
        ("DynamoDB", "read units", lambda part: _at(part, "dynamodb", "read_units"), prices.DYNAMODB_READS, 0),
        ("S3", "PUT, COPY, POST, LIST", lambda part: _s3(part, True), prices.S3_WRITES, 0),
        ("S3", "GET, HEAD", lambda part: _s3(part, False), prices.S3_READS, 0),
        ("EventBridge", "events", lambda part: _at(part, "eventbridge", "events"), prices.EVENTS, 0),
        ("SQS", "requests by the application", lambda part: _sum(part, "calls", "sqs"), prices.SQS, 0),
        (
            "Step Functions",
            "transitions",
            lambda part: _sum(part, "stepfunctions", "transitions"),
            prices.TRANSITIONS,
            0,
        ),
        (
            "Step Functions",
            "Express executions",
            lambda part: _sum(part, "stepfunctions", "express_requests"),
            prices.EXPRESS_REQUESTS,
            0,
        ),
        (
            "Step Functions",
            "Express GB-seconds",
            lambda part: _sum(part, "stepfunctions", "express_seconds") * _EXPRESS_GB,
            prices.EXPRESS_SECONDS,
            2,
        ),
    )
    return [
        Line(service, what, tuple(map(amount, counted)), price, digits) for service, what, amount, price, digits in rows
    ]


def instances(counted: list[Json], types: Mapping[str, str]) -> list[Line]:
    """The jobs' seconds, priced as if the template's instances had needed as long as this machine: a projection.

    types: {"training": instance type, "processing": instance type}. An instance without a known price gives no line.
    """
    lines = []
    for kind in ("training", "processing"):
        price = prices.INSTANCES.get(types[kind])
        if price is not None:
            hours = tuple(job_seconds(part, kind) / 3600 for part in counted)
            lines.append(Line("SageMaker", f"{kind} jobs on {types[kind]}, hours", hours, price, 4))
    return lines


def job_seconds(part: Json, kind: str) -> float:
    """Seconds that jobs of a kind ran, on whatever instance."""
    return _sum(part, "sagemaker", f"{kind}_job_seconds")


def total(lines: list[Line]) -> tuple[float, ...]:
    """Dollars of each part of the run."""
    return tuple(sum(column) for column in zip(*(line.dollars for line in lines), strict=True))


def calls(counted: list[Json]) -> list[tuple[str, str, tuple[int, ...]]]:
    """(service, operation, how often in each part), the busiest first within each service."""
    names = {
        (service, name) for part in counted for service, found in (part.get("calls") or {}).items() for name in found
    }
    rows = [
        (service, name, tuple(int(_at(part, "calls", service, name)) for part in counted)) for service, name in names
    ]
    return sorted((row for row in rows if any(row[2])), key=lambda row: (row[0], -sum(row[2]), row[1]))


def _at(part: Json, *path: str) -> float:
    found: Any = part
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found or 0)


def _sum(part: Json, *path: str) -> float:
    found: Any = part
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(sum(found.values())) if isinstance(found, Mapping) else 0.0


def _lambda(part: Json, what: str) -> float:
    return sum(_at(function, what) for function in (part.get("lambda") or {}).values())


def _api_requests(part: Json) -> float:
    """Every request of the HTTP API is one invocation of a surface's function."""
    return sum(_at(one, "invocations") for name, one in (part.get("lambda") or {}).items() if "-api-" in name)


def _s3(part: Json, is_write: bool) -> float:
    found = (part.get("calls") or {}).get("s3") or {}
    return float(
        sum(
            amount
            for name, amount in found.items()
            if not name.startswith(_S3_FREE) and name.startswith(_S3_WRITES) == is_write
        )
    )
