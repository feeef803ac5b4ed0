"""Every gap is one file that says what stock lacks, what we do, and which tests notice an upgrade; and is installed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

LOCAL = Path(__file__).resolve().parent
GAPS = LOCAL.parents[1] / "local" / "dataloop_local" / "gaps"
FILES = sorted(path for path in GAPS.glob("*.py") if path.stem not in ("__init__", "installed"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_gap_says_what_it_fills_and_who_notices(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert text.startswith("Gap: ")
    named = re.findall(r"tests/local/(test_\w+\.py)(?:::(test_\w+))?", text)
    assert any(name == "test_stock_gaps.py" and test for name, test in named), "no test says what stock does"
    assert any(name != "test_stock_gaps.py" for name, _ in named), "no test says what we do"
    for name, test in named:
        source = (LOCAL / name).read_text()
        assert not test or f"def {test}(" in source, f"{name} has no {test}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_gap_is_installed(path: Path) -> None:
    assert re.search(
        rf"^    {path.stem}\.install\(|= {path.stem}\.install\(", (GAPS / "installed.py").read_text(), re.M
    )
