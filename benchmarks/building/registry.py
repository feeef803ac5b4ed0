"""Scenarios of `make bench-build`, the longest last."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.building import scenarios
from benchmarks.scenario import Scenario

_BUDGET = "≤ 0.25× CPU, ≤ 150 MB, the same bytes"
_RIVAL = "datumaro 1.13 reading and writing the same COCO file"

_ALL = (
    Scenario("boxes_100k", "a version of 100,000 boxes, seven an image", _BUDGET, _RIVAL, scenarios.boxes_100k),
    Scenario("polygons_100k", "a version of 100,000 outlines of 25 points", _BUDGET, _RIVAL, scenarios.polygons_100k),
    Scenario("one_box_each", "100,000 annotations of one box each", "none", _RIVAL, scenarios.one_box_each),
    Scenario("boxes_1m", "a version of 1,000,000 boxes", _BUDGET, _RIVAL, scenarios.boxes_1m),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
