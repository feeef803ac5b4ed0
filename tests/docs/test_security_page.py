"""docs/security.md names every route with the scope that its code asks for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, table_rows

ROUTE_FILES = [
    *sorted((ROOT / "functions/api_sdk").glob("routes_*.py")),
    *sorted((ROOT / "functions/api_customvision").glob("routes_*.py")),
    *sorted((ROOT / "functions/api_modelarts").glob("routes_*.py")),
    ROOT / "functions/infer/routes.py",
]
VERBS = {"get", "post", "put", "patch", "delete"}
SCOPE_CALLS = {"tenant", "principal", "project"}


def routes(file: Path) -> list[tuple[str, str]]:
    """("METHOD /path", scope) of every route; scope is empty when the code asks for none."""
    found = []
    texts: dict[str, str] = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            texts[node.targets[0].id] = str(node.value.value)  # type: ignore[attr-defined]
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            is_route = isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute)
            if is_route and decorator.func.attr in VERBS:  # type: ignore[union-attr]
                path = text_of(decorator.args[0], texts).removeprefix("/api/v1")  # type: ignore[union-attr]
                verb = decorator.func.attr.upper()  # type: ignore[union-attr]
                found.append((f"{verb} {path.replace('<', '{').replace('>', '}')}", scope_of(node)))
    return found


def text_of(node: ast.expr, texts: dict[str, str]) -> str:
    """A text, the name of one, or an f-string of both."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, texts) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return text_of(node.value, texts)
    return texts[node.id] if isinstance(node, ast.Name) else str(node.value)  # type: ignore[attr-defined]


def scope_of(function: ast.FunctionDef) -> str:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SCOPE_CALLS:
            return str(node.args[1].value)  # type: ignore[attr-defined]
    return ""


ROUTES = dict(route for file in ROUTE_FILES for route in routes(file))
WRITTEN = {
    route: row[0].strip("`")
    for row in table_rows(DOCS / "security.md")
    for route in re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) [^`]+)`", row[1] if len(row) == 2 else "")
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_is_on_the_page_with_its_scope(route: str) -> None:
    assert WRITTEN.get(route) == (ROUTES[route] or "no key")


def test_the_page_names_no_route_that_is_not_there() -> None:
    assert set(WRITTEN) <= set(ROUTES)
