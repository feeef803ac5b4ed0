"""Saves the state of ministack's services, each in one file, and says when it could not."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ministack import app as ministack_app
from ministack.core import persistence

from dataloop_local.files import write_atomically

logger = logging.getLogger("dataloop.durability")

# A service's threads go on while its state is copied; a copy that met a change is made again.
_TRIES = 20
_BETWEEN_TRIES_S = 0.01
# DynamoDB has its own snapshot and log.
_ELSEWHERE = {"dynamodb"}


def save_services(folder: Path, names: Collection[str] | None, *, fsync: bool) -> None:
    """Save the named services (None: all that were used). Stock logs a failure and goes on; here it is raised, because a
    snapshot that lacks a service must not shorten the log. Raises OSError, RuntimeError."""
    for name, state_of in ministack_app._build_persistence_save_dict().items():
        if name in _ELSEWHERE or (names is not None and name not in names):
            continue
        state = _copied(name, state_of)
        if state is not None:
            document = {"__ministack_format__": persistence._state_format_version(name), "payload": state}
            content = json.dumps(document, default=persistence._json_default).encode("utf-8", "surrogatepass")
            write_atomically(folder / f"{name}.json", content, fsync=fsync)


def _copied(name: str, state_of: Callable[[], Any]) -> Any:
    for attempt in range(_TRIES):
        try:
            return state_of()
        except RuntimeError as error:
            # "dictionary changed size during iteration"
            if attempt == _TRIES - 1:
                raise RuntimeError(f"the state of {name} never stood still long enough to be saved") from error
            time.sleep(_BETWEEN_TRIES_S)
    return None
