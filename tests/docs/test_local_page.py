"""docs/local.md names every gap of the emulator, and every option of the runtime with its default."""

from __future__ import annotations

import argparse

import pytest

from tests.docs.pages import DOCS, ROOT, prose

PAGE = DOCS / "local.md"
GAPS = sorted(path.stem for path in (ROOT / "local/dataloop_local/gaps").glob("*.py"))


@pytest.mark.parametrize("gap", [gap for gap in GAPS if gap not in ("__init__", "installed")])
def test_a_gap_is_on_the_page(gap: str) -> None:
    assert f"`gaps/{gap}.py`" in prose(PAGE)


def options() -> list[str]:
    from dataloop_local.__main__ import _parser

    (commands,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    serve = commands.choices["serve"]
    return [
        action.option_strings[0]
        for action in serve._actions
        if action.help != argparse.SUPPRESS and action.option_strings[0].startswith("--")
    ]


@pytest.mark.parametrize("option", options())
def test_an_option_is_on_the_page(option: str) -> None:
    assert f"`{option}" in prose(PAGE) or f" {option} " in PAGE.read_text("utf-8")
