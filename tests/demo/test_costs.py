"""Counts times prices: the arithmetic, and that nothing is priced twice or left out unseen."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop_demo import costs, prices

_BEFORE: dict[str, Any] = {
    "since": 0,
    "until": 100,
    "calls": {"s3": {"PutObject": 10}},
    "dynamodb": {"read_units": 1.5},
}
_AFTER: dict[str, Any] = {
    "since": 0,
    "until": 160.5,
    "calls": {
        "s3": {
            "PutObject": 1010,
            "UploadPart": 5,
            "GetObject": 2000,
            "HeadObject": 3,
            "DeleteObject": 7,
            "ListObjectsV2": 1,
        },
        "sqs": {"SendMessage": 4, "DeleteMessage": 6},
    },
    "dynamodb": {"read_units": 1_000_001.5, "write_units": 2_000_000},
    "lambda": {
        "dataloop-dev-api-sdk": {"invocations": 300, "seconds": 2, "gb_seconds": 1},
        "dataloop-dev-ingest-object": {"invocations": 700, "seconds": 8, "gb_seconds": 4},
    },
    "eventbridge": {"events": 50},
    "stepfunctions": {"transitions": {"a": 20, "b": 20}, "express_requests": {"a": 3}, "express_seconds": {"a": 16}},
    "sagemaker": {
        "training_job_seconds": {"ml.m5.large": 1800},
        "processing_job_seconds": {"ml.m5.large": 90, "other": 90},
    },
}


def _amounts() -> dict[tuple[str, str], tuple[float, ...]]:
    lines = costs.serverless(costs.parts([_BEFORE, _AFTER]))
    return {(line.service, line.what): line.amounts for line in lines}


def test_a_part_is_what_was_counted_between_two_readings() -> None:
    part = costs.difference(_AFTER, _BEFORE)

    assert part["calls"]["s3"]["PutObject"] == 1000
    assert part["dynamodb"] == {"read_units": 1_000_000, "write_units": 2_000_000}
    assert part["seconds"] == 60.5


def test_amounts_by_what_is_billed() -> None:
    amounts = _amounts()

    assert amounts["S3", "PUT, COPY, POST, LIST"] == (1006,)
    assert amounts["S3", "GET, HEAD"] == (2003,)
    assert amounts["API Gateway", "HTTP API requests"] == (300,)
    assert amounts["Lambda", "invocations"] == (1000,)
    assert amounts["Lambda", "GB-seconds"] == (5,)
    assert amounts["SQS", "requests by the application"] == (10,)
    assert amounts["Step Functions", "transitions"] == (40,)
    assert amounts["Step Functions", "Express GB-seconds"] == (1.0,)


def test_dollars_of_known_amounts() -> None:
    lines = {(line.service, line.what): line.dollars[0] for line in costs.serverless(costs.parts([_BEFORE, _AFTER]))}

    assert lines["DynamoDB", "write units"] == pytest.approx(1.25)
    assert lines["DynamoDB", "read units"] == pytest.approx(0.125)
    assert lines["S3", "PUT, COPY, POST, LIST"] == pytest.approx(0.00503)
    assert lines["Step Functions", "transitions"] == pytest.approx(0.001)


def test_instances_are_priced_as_the_templates_types() -> None:
    types = {"training": "ml.g5.xlarge", "processing": "ml.m5.xlarge"}

    training, processing = costs.instances(costs.parts([_BEFORE, _AFTER]), types)

    assert training.dollars == pytest.approx((0.704,))
    assert processing.dollars == pytest.approx((0.0115,))


def test_an_instance_without_a_price_gives_no_figure() -> None:
    types = {"training": "ml.unknown.large", "processing": "ml.m5.xlarge"}

    assert [line.what for line in costs.instances(costs.parts([_BEFORE, _AFTER]), types)] == [
        "processing jobs on ml.m5.xlarge, hours"
    ]


def test_totals_add_up_by_part() -> None:
    lines = costs.serverless(costs.parts([_BEFORE, _AFTER, _AFTER]))

    first, second = costs.total(lines)
    assert first == pytest.approx(sum(line.dollars[0] for line in lines))
    assert second == 0


def test_every_price_names_its_page_and_month() -> None:
    found = [value for value in vars(prices).values() if isinstance(value, prices.Price)] + list(
        prices.INSTANCES.values()
    )

    assert len(found) >= 15
    for price in found:
        assert price.usd > 0
        assert "pricing" in price.source
        assert len(price.as_of) == 7
    assert prices.S3_READS.text == "$0.0004 per 1,000 GET and other requests"
    assert prices.LAMBDA_SECONDS.text == "$0.0000133334 per GB-second"
    assert prices.HTTP_API.text == "$1.00 per million requests"


def test_the_templates_default_instances_have_a_price() -> None:
    from dataloop_local.deployment.template import load_template
    from dataloop_local.settings import repository_root

    parameters = load_template(repository_root() / "template.yaml")["Parameters"]
    for name in ("TrainingInstanceType", "ProcessingInstanceType"):
        assert parameters[name]["Default"] in prices.INSTANCES
