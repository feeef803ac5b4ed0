"""docs/cost.md has every price as demo/dataloop_demo/prices.py has it, and its table of transitions adds up."""

from __future__ import annotations

import pytest

from dataloop_demo import prices
from tests.docs.pages import DOCS, prose, table_rows
from tests.infra.template import load_project
from tests.workflows.test_paths import PROMOTED, transitions

PARTS = {"build": "dataset_build", "training": "training", "release": "release", "the loop itself": "retrain_loop"}
ROWS = {row[0].strip("`"): row[1] for row in table_rows(DOCS / "cost.md") if len(row) == 2}
PRICES = {name: value for name, value in vars(prices).items() if isinstance(value, prices.Price)} | prices.INSTANCES


@pytest.mark.parametrize("name", PRICES)
def test_a_price_is_on_the_page(name: str) -> None:
    assert ROWS.get(name) == PRICES[name].text


def test_the_number_of_alarms_is_the_templates() -> None:
    alarms = load_project().of_type("AWS::CloudWatch::Alarm")
    assert f"| alarms | {len(alarms)} at " in prose(DOCS / "cost.md")


def test_the_table_of_transitions_is_the_machines_and_adds_up() -> None:
    counted = transitions("retrain_loop", PROMOTED)
    rows = {row[0]: row[1] for row in table_rows(DOCS / "cost.md") if len(row) == 6}
    assert {machine: rows[part] for part, machine in PARTS.items()} == {name: str(n) for name, n in counted.items()}
    assert rows["**a loop that promotes**"] == f"**{sum(counted.values())}**"
