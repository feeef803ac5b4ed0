"""docs/manifest.md explains each problem that a build can report, each file of a version, and each type's needs."""

from __future__ import annotations

import re

import pytest

from dataloop.catalog.task_types import TASK_TYPES, TaskType
from tests.docs.pages import CORE, DOCS, prose

SOURCES = ("domain/manifest.py", "services/building.py", "manifests/writer.py")
PROBLEMS = sorted(
    {name for path in SOURCES for name in re.findall(r"""note\("(\w+)",""", (CORE / path).read_text("utf-8"))}
)
WRITTEN = re.compile(r"""[("]([a-z_]+\.(?:jsonl|json|manifest|idx|txt))[")]""")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_is_on_the_page(problem: str) -> None:
    assert f"`{problem}`" in prose(DOCS / "manifest.md")


@pytest.mark.parametrize("file", sorted(set(WRITTEN.findall((CORE / "manifests/writer.py").read_text("utf-8")))))
def test_a_file_is_on_the_page(file: str) -> None:
    assert f"`{file}`" in prose(DOCS / "manifest.md")


@pytest.mark.parametrize("kind", TASK_TYPES, ids=lambda kind: kind.name)
def test_what_a_type_needs_is_on_the_page(kind: TaskType) -> None:
    words = re.escape(", ".join(f"`{word}`" for word in kind.annotation_types))
    needs = "nothing" if kind.needs == "nothing" else f"a {kind.needs}"
    assert re.search(rf"^\| {words} \| {needs}\b", (DOCS / "manifest.md").read_text("utf-8"), re.M)
