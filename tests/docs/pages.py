"""The pages of README.md and docs/ as data: links, paths in backticks, tables. Constants of the source by name."""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.template import load_project

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CORE = ROOT / "layers/dataloop/python/dataloop"
INFERENCE = ROOT / "layers/inference/python/dataloop_inference"
# A page may name a file from the repository's root or, where the text says which part it speaks of, from that part's.
BASES = (ROOT, CORE, ROOT / "functions", ROOT / "jobs/dataloop_jobs", ROOT / "local/dataloop_local", INFERENCE)
# Made by a command; not there in a fresh clone.
MADE = {".venv", ".venv-deploy", ".aws-sam", "demo-report"}
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Mult: operator.mul,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
}


def all_pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def table_rows(page: Path) -> Iterator[list[str]]:
    """The cells of every row of every table, headings and rules left out."""
    lines = prose(page).splitlines()
    for index, line in enumerate(lines):
        is_heading = index + 1 < len(lines) and lines[index + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not is_heading:
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def find(path: str) -> Path | None:
    """A file that a page names, from one of the bases."""
    return next((base / path for base in BASES if (base / path).exists()), None)


def constant(path: str, name: str) -> float | int:
    """A number of the source: a module's or a class's constant, a property of template.yaml, a field of a state.

    Raises LookupError when it does not exist or is no number.
    """
    source = find(path)
    if source is None:
        raise LookupError(f"{path} does not exist")
    if source.name == "template.yaml":
        return _number(_property(name))
    if source.name.endswith(".asl.json"):
        return _number(_state_field(source, name))
    return _number(_assigned(source, name))


@cache
def _template() -> Any:
    return load_project().document


def _property(name: str) -> Any:
    """`Logical.Property.Field`, or `Parameter.Default`."""
    head, *rest = name.split(".")
    document = _template()
    found = document["Parameters"].get(head) or document["Resources"].get(head, {}).get("Properties")
    for part in rest:
        found = found[part] if isinstance(found, dict) else None
    return found


def _state_field(source: Path, name: str) -> Any:
    """`State.Field`, of a state at any depth."""
    state, field = name.split(".")

    def search(states: dict[str, Any]) -> Any:
        for key, value in states.items():
            inner = value.get("ItemProcessor", {}).get("States", {})
            found = value.get(field) if key == state else search(inner)
            if found is not None:
                return found
        return None

    return search(json.loads(source.read_text("utf-8"))["States"])


def _assigned(source: Path, name: str) -> Any:
    """`NAME` of a module or `Class.field` of a class in it; arithmetic of literals is worked out."""
    body: list[ast.stmt] = ast.parse(source.read_text("utf-8")).body
    *classes, last = name.split(".")
    for wanted in classes:
        body = next((node.body for node in body if isinstance(node, ast.ClassDef) and node.name == wanted), [])
    for node in body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == last for target in targets):
            return _value(node.value)  # type: ignore[union-attr]
    return None


def _value(node: ast.expr | None) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.Call) and node.args:  # declared(default, …), frozenset((…))
        return _value(node.args[0])
    return node.value if isinstance(node, ast.Constant) else None


def _number(value: Any) -> float | int:
    if isinstance(value, str) and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LookupError(f"is {value!r}, not a number")
    return value
