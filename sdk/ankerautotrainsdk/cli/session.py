"""Which service the command talks to.

Order: --url and --key; the environment and the config file, as for every client (ankerautotrainsdk.config); and last,
a runtime that `dataloop local up` started on this machine. `local up` notes its state folder in
<config folder>/local.json and `local down` removes the note; url and key are read from the runtime.json in that folder,
and count only while its process lives. So `local up` needs no further flags, and never overrides a configured service.
The library itself does not look there: a script on a device must not find a runtime by accident.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ankerautotrainsdk.client import AnkerAutoTrainSDK
from ankerautotrainsdk.config import KEY_VARIABLE, URL_VARIABLE, config_folder, read_config_file, same_server


@dataclass
class Given:
    """The options before the sub-command."""

    url: str | None = None
    api_key: str | None = None


given = Given()


def open_client() -> AnkerAutoTrainSDK:
    """The client for this run. Raises ConfigurationError when no service is known."""
    url, api_key = given.url, given.api_key
    file_url, file_key = read_config_file()
    configured = url or os.environ.get(URL_VARIABLE) or file_url
    runtime = running_runtime()
    if runtime and not configured:
        return AnkerAutoTrainSDK(url=runtime["url"], api_key=api_key or runtime.get("key"))
    if runtime and not (api_key or os.environ.get(KEY_VARIABLE) or file_key) and configured:
        # The runtime's own key, when its url was given by hand.
        api_key = runtime.get("key") if same_server(runtime["url"], configured) else None
    return AnkerAutoTrainSDK(url=url, api_key=api_key)


def note_path() -> Path:
    """Where `local up` notes its state folder. ~/.config/dataloop may be the config file itself: then beside it."""
    folder = config_folder()
    return folder.with_name("dataloop-local.json") if folder.is_file() else folder / "local.json"


def noted_state() -> Path | None:
    """The state folder of the runtime that was started last and not stopped."""
    try:
        return Path(json.loads(note_path().read_text("utf-8"))["state_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(state_dir: Path) -> None:
    """Remember a started runtime."""
    path = note_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(json.dumps({"state_dir": str(state_dir)}) + "\n", "utf-8")


def remove_note(state_dir: Path) -> None:
    """Forget a stopped runtime; another one's note stays."""
    if noted_state() == state_dir:
        note_path().unlink(missing_ok=True)


def running_runtime(state_dir: Path | None = None) -> dict[str, Any] | None:
    """The runtime.json of a living runtime, by default of the noted one."""
    folder = state_dir or noted_state()
    if folder is None:
        return None
    try:
        runtime = json.loads((folder / "runtime.json").read_text("utf-8"))
        return runtime if isinstance(runtime, dict) and runtime.get("url") and is_alive(int(runtime["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_alive(pid: int) -> bool:
    """True while a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
