"""Which test is about which operation of Microsoft's clients: `@covers("get_images")` on the test says it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def covers(*operations: str) -> pytest.MarkDecorator:
    """The operations, as the Python client's methods are called, whose behaviour a test asserts."""
    return pytest.mark.covers(*operations)


def covering_tests() -> dict[str, list[tuple[str, str]]]:
    """Operation -> (file, test) of each test that says it covers it, read from the sources."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for operation in _covered(node):
                    found.setdefault(operation, []).append((file.name, node.name))
    return found


def _covered(test: ast.FunctionDef) -> list[str]:
    return [
        str(argument.value)
        for decorator in test.decorator_list
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "covers"
        for argument in decorator.args
        if isinstance(argument, ast.Constant)
    ]
