"""JSON files: strict on the way out (no NaN), replaced as a whole, clear faults on the way in."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataloop_jobs.faults import BadDataset


def write_json(path: Path, value: object, *, indent: int | None = None) -> None:
    """Replace the file in one step: a reader sees the old or the new one, never half. NaN raises ValueError."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent, sort_keys=indent is not None)
    replace_file(path, text.encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the file, then rename over it; the content is on disk before the name points to it.

    When the disk is full the file stays as it was and the half-written one is removed. Raises OSError with its name.
    """
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = f"{path.parent.name}/{path.name}"
        raise


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says. Raises ValueError, also for nesting or characters that nothing could process further."""
    try:
        value = json.loads(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # Half a character (a lone surrogate) is legal in JSON, but no file and no terminal can take it.
    if (b"\\u" if isinstance(text, bytes) else "\\u") in text:  # type: ignore[operator]
        json.dumps(value, ensure_ascii=False).encode()
    return value


def read_json(path: Path) -> Any:
    """Raises BadDataset, naming the file, when it is missing or is not JSON."""
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError:
        raise BadDataset(f"{path.name} is missing from {path.parent.name}/") from None
    except OSError as error:
        raise BadDataset(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadDataset(f"{path.parent.name}/{path.name} is not JSON: {error}") from None


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """One object a line; raises BadDataset naming file and line number."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise BadDataset(f"{path.name} is missing from {path.parent.name}/") from None
    except OSError as error:
        raise BadDataset(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from None
    with stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError as error:
                raise BadDataset(f"{path.name} line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise BadDataset(f"{path.name} line {number} is not a JSON object")
            yield row
