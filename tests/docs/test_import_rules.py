"""The layers hold (.importlinter)."""

from __future__ import annotations

from pathlib import Path

from importlinter import cli

ROOT = Path(__file__).resolve().parents[2]


def test_the_import_rules_hold(capsys) -> None:
    code = cli.lint_imports(config_filename=str(ROOT / ".importlinter"), cache_dir=None)
    assert code == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
