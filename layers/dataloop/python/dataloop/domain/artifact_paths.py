"""How a surface names the files of an iteration: relative to its project."""

from __future__ import annotations

from dataloop.domain.errors import InvalidInput

MAX_PATH = 512  # ours


def check_path(path: str) -> tuple[str, str]:
    """(iteration id, path below it) of `iterations/<id>/<path>`. Raises InvalidInput(path)."""
    parts = path.split("/")
    is_plain = all(part and part not in (".", "..") and part.isprintable() and "\\" not in part for part in parts)
    if len(path) > MAX_PATH or not is_plain or len(parts) < 4 or parts[0] != "iterations":
        raise InvalidInput("path", "must be iterations/<id>/model|report|exports/<file>, relative to the project", path)
    return parts[1], "/".join(parts[2:])
