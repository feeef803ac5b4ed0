"""docs/limits.md states the numbers that the source has, and leaves none out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import CORE, DOCS, INFERENCE, ROOT, constant, table_rows

# The last cell of a row: `file` `NAME`.
SOURCE = re.compile(r"`([^`]+)` `([\w.]+)`$")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e\d+)?")
# Public constants with these names are limits; the page must have each.
IS_LIMIT = re.compile(r"^MAX_|^MIN_|_(SECONDS|S|BYTES|IDS|DAYS|LIMIT|PIXELS|GB|GET|WRITE)$|^(PART_IDS|FAN_IN|TRIES)$")
# Not limits, though named like some: how much a function reads or keeps at a time.
INNER = {"READ_BYTES", "FANOUT_BYTES", "FIRST_DELAY_S"}

ROWS = [
    (what, value, *match.groups())
    for what, value, source in (row[:3] for row in table_rows(DOCS / "limits.md") if len(row) >= 3)
    if (match := SOURCE.search(source))
]


@pytest.mark.parametrize(("what", "value", "path", "name"), ROWS, ids=[f"{path}:{name}" for _, _, path, name in ROWS])
def test_the_number_is_the_constant(what: str, value: str, path: str, name: str) -> None:
    written = NUMBER.search(value)
    assert written, f"{what}: the cell {value!r} has no number"
    assert float(written.group().replace(",", "")) == float(constant(path, name)), f"{what}: {path} {name} differs"


def limits_of(file: Path) -> set[str]:
    """Public numeric constants of a module that are limits by name."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if IS_LIMIT.search(name) and name not in INNER and not name.startswith("_"):
                found.add(name)
    return found


FILES = [
    file
    for folder in (CORE, ROOT / "functions", ROOT / "jobs/dataloop_jobs", INFERENCE)
    for file in sorted(folder.rglob("*.py"))
    if limits_of(file)
]


@pytest.mark.parametrize("file", FILES, ids=[file.relative_to(ROOT).as_posix() for file in FILES])
def test_every_limit_of_the_source_is_on_the_page(file: Path) -> None:
    written = {name for _, _, path, name in ROWS if file.as_posix().endswith(path)}
    assert limits_of(file) <= written, f"{file.relative_to(ROOT)}: not on docs/limits.md"
