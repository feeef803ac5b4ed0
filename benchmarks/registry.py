"""Every scenario. Those that need the local stack come last: it takes CPU as long as it runs."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scenario import Scenario
from benchmarks.scenarios import (
    handler_init,
    sdk_import,
)

_ALL = (
    Scenario(
        "sdk_import",
        "CPU of importing the client",
        "≤ 100 ms, no boto3",
        "import boto3",
        sdk_import.run,
    ),
    Scenario(
        "handler_init",
        "CPU of each function's cold start",
        "≤ 1.25× Python + boto3 + its clients",
        "boto3 and the same clients",
        handler_init.run,
    ),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
