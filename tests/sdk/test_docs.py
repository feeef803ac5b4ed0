"""The pages name everything there is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, errors

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", [name for name in dir(AnkerAutoTrainSDK) if not name.startswith("_")])
def test_every_method_is_in_the_reference(name: str) -> None:
    assert f"`{name}" in (DOCS / "sdk.md").read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DataloopError)],
)
def test_every_error_is_in_the_reference(name: str) -> None:
    assert f"`{name}`" in (DOCS / "sdk.md").read_text("utf-8")


def commands() -> list[str]:
    import typer

    from ankerautotrainsdk.cli.app import app

    root = typer.main.get_command(app)

    def walk(command, prefix: str) -> list[str]:
        children = getattr(command, "commands", None)
        if not children:
            return [prefix]
        return [name for key, child in children.items() for name in walk(child, f"{prefix} {key}")]

    return walk(root, "dataloop")


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_reference(command: str) -> None:
    assert command in (DOCS / "cli.md").read_text("utf-8")
