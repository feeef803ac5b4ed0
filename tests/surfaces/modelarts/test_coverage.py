"""Every operation has a test that its page names, and the OpenAPI document is what the code says."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from docs import generate_modelarts
from tests.docs.pages import DOCS, table_rows

HERE = Path(__file__).parent
PAGE = DOCS / "surfaces/modelarts.md"


def operations() -> dict[str, str]:
    """ "GET /v2/…" -> the cell that names its test."""
    return {row[1].strip("`"): row[3] for row in table_rows(PAGE) if len(row) == 4 and "/v2/" in row[1]}


def spelt(method: str, path: str) -> str:
    return f"{method} {path.replace('<', '{').replace('>', '}')}"


ROUTES = [spelt(*route) for route in generate_modelarts.routes()]


@pytest.mark.parametrize("route", ROUTES)
def test_every_operation_has_a_test(route: str) -> None:
    file, test = (part.strip("`") for part in operations()[route].split())

    names = {
        node.name for node in ast.parse((HERE / file).read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    }
    assert test in names


def test_the_page_names_no_operation_that_is_not_there() -> None:
    assert set(operations()) == set(ROUTES)


def test_openapi_is_what_the_code_says() -> None:
    assert generate_modelarts.TARGET.read_text("utf-8") == generate_modelarts.rendered(), "run `make docs`"


def test_openapi_has_every_operation() -> None:
    paths = json.loads(generate_modelarts.rendered())["paths"]

    assert {spelt(verb.upper(), path) for path, verbs in paths.items() for verb in verbs} == set(ROUTES)
