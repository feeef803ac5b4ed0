"""Options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Return only when the task is over.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait at most.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Rows of one page.")]
Regions = Annotated[list[str] | None, typer.Option("--region", help="Only data of this region; repeatable.")]
MaxSecurityLevel = Annotated[
    str | None, typer.Option("--max-security-level", help="Only data up to this securityLevel, e.g. low.")
]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Where the last page ended.")]


def use(as_json: bool) -> None:
    """Take over --json; every command begins with it."""
    output.mode.as_json = as_json


def restriction(regions: list[str] | None, max_security_level: str | None) -> dict[str, Any] | None:
    """The `residency` of a request, or None when neither option was given."""
    found: dict[str, Any] = {"regions": regions} if regions else {}
    if max_security_level is not None:
        found["max_security_level"] = max_security_level
    return found or None


def json_argument(text: str, name: str) -> Any:
    """JSON given on the command line: as it is, or @file. Raises a usage error when it is none."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"cannot read {text[1:]}: {error}", param_hint=name) from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=name) from error


def object_argument(text: str | None, name: str) -> dict[str, Any] | None:
    """As json_argument, for an option that must be an object; None when it was not given."""
    if text is None:
        return None
    value = json_argument(text, name)
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object", param_hint=name)
    return value


def parameters(pairs: list[str]) -> dict[str, Any]:
    """["epochs=3", "augment=false"] as a dict; a value is read as JSON where it is JSON, else as text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"expected name=value, got {pair!r}", param_hint="--param")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values
