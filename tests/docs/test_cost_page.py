"""docs/cost.md has every price as demo/dataloop_demo/prices.py has it, and its table of transitions adds up."""

from __future__ import annotations

import pytest
from tests.docs.pages import DOCS, prose, table_rows
from tests.infra.template import load_project

from dataloop_demo import prices

ROWS = {row[0].strip("`"): row[1] for row in table_rows(DOCS / "cost.md") if len(row) == 2}
PRICES = {name: value for name, value in vars(prices).items() if isinstance(value, prices.Price)} | prices.INSTANCES


@pytest.mark.parametrize("name", PRICES)
def test_a_price_is_on_the_page(name: str) -> None:
    assert ROWS.get(name) == PRICES[name].text


def test_the_number_of_alarms_is_the_templates() -> None:
    alarms = load_project().of_type("AWS::CloudWatch::Alarm")
    assert f"| alarms | {len(alarms)} at " in prose(DOCS / "cost.md")
