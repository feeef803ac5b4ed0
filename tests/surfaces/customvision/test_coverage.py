"""Every operation of Microsoft's installed clients has a route and a test; the documents are what the code says."""

from __future__ import annotations

import json
import re

import pytest

from docs import generate_customvision
from docs.customvision_client import enums, operations
from tests.docs.pages import ROOT, table_rows
from tests.surfaces.customvision.coverage import covering_tests

OPERATIONS = operations()


def test_the_clients_have_sixty_operations() -> None:
    sides = [operation.side for operation in OPERATIONS]

    assert (sides.count("training"), sides.count("prediction")) == (52, 8)


@pytest.mark.parametrize("name", [operation.name for operation in OPERATIONS])
def test_every_operation_has_a_test(name: str) -> None:
    assert name in covering_tests(), f'mark the test that is about it with @covers("{name}")'


def test_no_test_covers_what_is_not_there() -> None:
    assert set(covering_tests()) <= {operation.name for operation in OPERATIONS}


def test_every_operation_has_a_route_of_its_name_and_no_other_route_exists() -> None:
    routes = {route: function.__name__ for route, function in generate_customvision.routes().items()}

    assert routes == {generate_customvision.spelt(operation): operation.name for operation in OPERATIONS}


def test_the_page_has_the_table_of_now() -> None:
    assert generate_customvision.PAGE.read_text("utf-8") == generate_customvision.page(), "run `make docs`"


def test_openapi_is_what_the_code_says() -> None:
    assert generate_customvision.TARGET.read_text("utf-8") == generate_customvision.rendered(), "run `make docs`"


def test_openapi_has_every_operation_and_resolves() -> None:
    document = json.loads(generate_customvision.rendered())

    named = [entry["operationId"] for verbs in document["paths"].values() for entry in verbs.values()]
    assert sorted(named) == sorted(operation.name for operation in OPERATIONS)
    wanted = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert wanted <= set(document["components"]["schemas"])


def test_the_page_says_of_every_code_when_it_comes() -> None:
    known = {*enums("training")["CustomVisionErrorCodes"], "401"}
    sources = "\n".join(file.read_text("utf-8") for file in (ROOT / "functions/api_customvision").glob("*.py"))
    given = {text for text in re.findall(r'"(\w+)"', sources) if text in known}

    rows = [row for row in table_rows(generate_customvision.PAGE) if len(row) == 2]
    written = {code for row in rows for code in re.findall(r"`(\w+)`", row[0]) if code in known}

    assert written == given
