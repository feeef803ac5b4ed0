"""Write files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, *, fsync: bool = False, mode: int = 0o644) -> None:
    """Replace `path` with `content` in one rename. Cost: one file, one rename; with fsync two disk waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        if fsync:
            handle.flush()
            os.fsync(handle.fileno())
    temporary.replace(path)
    if fsync:
        sync_directory(path.parent)


def write_json(path: Path, value: Any, *, fsync: bool = False, mode: int = 0o644) -> None:
    write_atomically(path, json.dumps(value, indent=1).encode(), fsync=fsync, mode=mode)


def read_json(path: Path) -> Any | None:
    """The parsed file, or None when it does not exist or is not JSON (half-written by an older version)."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def sync_directory(path: Path) -> None:
    """Make a rename in `path` survive power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
