"""What the command prints: tables for people, one JSON value for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ankerautotrainsdk.errors import DataloopError

# A field that would make a longer line is spread over several.
LINE = 120


@dataclass
class Mode:
    """How this run prints; set by the command that runs. There is one command a process."""

    as_json: bool = False


mode = Mode()


def plain(value: Any) -> Any:
    """The value as json can write it: our own results become dicts and lists."""
    return value.to_dict() if hasattr(value, "to_dict") else value


def emit(value: Any, text: str | None = None) -> None:
    """Print a result: as JSON when asked for, else text, else the fields of the value, one a line."""
    if mode.as_json:
        sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    elif text is not None:
        sys.stdout.write(text + "\n")
    else:
        _fields(plain(value))
    sys.stdout.flush()


def table(value: Any, rows: Iterable[Any], columns: Sequence[str], note: str = "") -> None:
    """Print rows with the given fields as a table (value as a whole in JSON); note goes below, for people only."""
    if mode.as_json:
        emit(value)
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    cells = [[_short(row.get(column)) for column in columns] for row in rows]
    heads = []
    for place, column in enumerate(columns):
        # An id that is cut short is of no use: the other columns give way.
        is_id = column == "uid" or column.endswith("_id")
        heads.append(Column(column, min_width=max((len(row[place]) for row in cells), default=0) if is_id else None))
    drawn = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for row in cells:
        # Text, not str: rich would read square brackets in a name as markup.
        drawn.add_row(*(Text(cell) for cell in row))
    # A pipe or a file has no width, and must not lose text to one.
    console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)
    console.print(drawn)
    if note:
        console.print(Text(note, style="dim"))


def fail(error: BaseException) -> None:
    """One line on standard error; with --json also the error as an object on standard output."""
    if isinstance(error, DataloopError):
        line, fields = str(error), error.to_dict()
    else:
        message = " ".join(str(error).split()) or "no message"
        line = f"{type(error).__name__}: {message}"
        fields = {"code": type(error).__name__, "message": message, "details": {}, "status": None, "request_id": None}
    if mode.as_json:
        sys.stdout.write(json.dumps({"error": fields}, ensure_ascii=False, default=str) + "\n")
    if os.environ.get("DATALOOP_DEBUG"):
        import traceback

        traceback.print_exception(error)
    sys.stderr.write(f"dataloop: {' '.join(line.split())}\n")


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"  # 1e+09 seconds tell nobody a time
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(plain(value) if isinstance(value, dict) else list(value), ensure_ascii=False)
    return str(value)


def _fields(value: Any, indent: str = "") -> None:
    """Fields one a line; what is too long for a line has its own fields, or items, one a line below it."""
    if not isinstance(value, dict):
        sys.stdout.write(f"{_short(value)}\n")
        return
    width = max((len(key) for key in value), default=0)
    for key, each in value.items():
        text = _short(each)
        is_long = len(indent) + width + 2 + len(text) > LINE
        if is_long and isinstance(each, dict):
            sys.stdout.write(f"{indent}{key}\n")
            _fields(each, indent + "  ")
        elif is_long and isinstance(each, (list, tuple)):
            sys.stdout.write(f"{indent}{key}\n")
            for item in each:
                _item(item, indent + "  ")
        else:
            sys.stdout.write(f"{indent}{key:<{width}}  {text}\n")


def _item(value: Any, indent: str) -> None:
    if isinstance(value, dict) and "name" in value:
        # A link is 500 characters and lasts minutes: people download by name, programs read --json.
        value = {name: each for name, each in value.items() if name != "url"}
    text = _short(value)
    if isinstance(value, dict) and len(indent) + len(text) > LINE:
        sys.stdout.write(f"{indent}-\n")
        _fields(value, indent + "  ")
    else:
        sys.stdout.write(f"{indent}{text}\n")
