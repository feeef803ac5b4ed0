"""Every route has a test: its path appears in the requests that this folder, the SDK's tests or the end-to-end tests make."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.deployed import ROOT
from tests.surfaces.sdk.requests import routes

# Where requests to the deployed stack are written down. The client's methods stand for the routes they call.
FOLDERS = (ROOT / "tests/surfaces/sdk", ROOT / "tests/e2e", ROOT / "tests/sdk")


def texts(file: Path) -> set[str]:
    """All text constants of a module; the gaps of f-strings read as {}."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


SPOKEN = {text for folder in FOLDERS for file in folder.rglob("*.py") if file != Path(__file__) for text in texts(file)}


@pytest.mark.parametrize(("method", "path"), routes(), ids=[f"{method} {path}" for method, path in routes()])
def test_every_route_has_a_test(method: str, path: str) -> None:
    short = path.removeprefix("/api/v1")
    pattern = re.compile(re.sub(r"<\w+>", "[^/]+", short) + r"(\?.*)?$")
    assert any(pattern.fullmatch(text.removeprefix("/api/v1")) for text in SPOKEN), f"no test asks {method} {short}"


def test_no_route_is_declared_twice() -> None:
    assert len(routes()) == len(set(routes())) > 40
