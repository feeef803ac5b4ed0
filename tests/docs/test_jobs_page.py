"""docs/jobs.md has each hyperparameter with its default and its limits, and each file that jobs read and write."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from dataloop_jobs import model_folder
from dataloop_jobs.parameters import Parameters, Rule
from tests.docs.pages import DOCS, prose, table_rows

ROWS = {row[0].strip("`"): row for row in table_rows(DOCS / "jobs.md") if len(row) == 4}
FIELDS = {field.name: field for field in dataclasses.fields(Parameters)}


def expected(field: dataclasses.Field[object]) -> list[str]:
    """The row that belongs on the page: name, default, what is allowed, meaning."""
    rule: Rule = field.metadata["rule"]
    default = field.default if isinstance(field.default, str) else json.dumps(field.default)
    if field.type == "bool":
        allowed = "`true`, `false`"
    elif rule.choices:
        allowed = ", ".join(f"`{choice}`" for choice in rule.choices)
    else:
        low = "" if math.isinf(rule.low) else f"{rule.low:.10g}"
        high = " or more" if math.isinf(rule.high) else f" to {rule.high:.10g}"
        allowed = f"{low}{high}" + (f", a multiple of {rule.multiple_of}" if rule.multiple_of > 1 else "")
        allowed = f"a rising list, each {allowed}" if isinstance(field.default, tuple) else allowed
    only = f"; only for {', '.join(f'`{name}`' for name in rule.only)}" if rule.only else ""
    return [f"`{field.name}`", f"`{default}`" if default else "must be given", allowed, rule.text + only]


@pytest.mark.parametrize("name", FIELDS)
def test_a_hyperparameter_is_on_the_page_as_it_is_declared(name: str) -> None:
    assert name in ROWS, f"add to docs/jobs.md: | {' | '.join(expected(FIELDS[name]))} |"
    assert ROWS[name] == expected(FIELDS[name])


@pytest.mark.parametrize(
    "file",
    [
        model_folder.WEIGHTS,
        model_folder.GRAPH,
        model_folder.DESCRIPTION,
        model_folder.LABELS,
        "model_card.json",
        "metrics.json",
        "curves.json",
        "confusion.json",
        "history.json",
        "predictions.jsonl",
        "progress.json",
        "last.pt",
        "best.pt",
        "verification.json",
        "objects.jsonl",
        "images.manifest",
        "spec.json",
    ],
)
def test_a_file_of_the_contract_is_on_the_page(file: str) -> None:
    assert f"`{file}`" in prose(DOCS / "jobs.md")
