"""dataloop local …: the whole service on this machine."""

from __future__ import annotations

import dataclasses
import importlib
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output, session
from ankerautotrainsdk.cli.options import Json, use
from ankerautotrainsdk.config import state_folder
from ankerautotrainsdk.errors import ConfigurationError, DataloopError

group = typer.Typer(help="Run the whole service on this machine: up, down, status, reset.", no_args_is_help=True)
_STATE_HELP = "Folder for everything it keeps; by default the running one's, else ~/.local/state/dataloop/local."
State = Annotated[Path | None, typer.Option("--state", file_okay=False, help=_STATE_HELP)]
# What `up --json` prints, in this order.
_PUBLIC = ("url", "key", "region", "state_dir", "pid")


class LocalRuntimeError(DataloopError):
    """The one-machine runtime did not do what it was asked."""

    default_code = "LocalRuntime"


@group.command()
def up(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the service on 127.0.0.1.")] = 8000,
    state: State = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Allow requests without a key.")] = False,
    allow_root: Annotated[
        list[Path] | None,
        typer.Option("--allow-root", help="Folder that server paths may read and write; repeatable."),
    ] = None,
    allow_url_host: Annotated[
        list[str] | None,
        typer.Option("--allow-url-host", help="Private host that URL uploads may reach; repeatable."),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait until it answers.")] = 180.0,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it answers, and let it run.")] = False,
    as_json: Json = False,
) -> None:
    """Start the service and wait until it answers. Without --detach it runs until Ctrl-C."""
    use(as_json)
    folder = _state(state)
    wanted: dict[str, Any] = {
        "state_dir": folder,
        "port": port,
        "anonymous": anonymous,
        "allow_roots": [str(root.expanduser().resolve()) for root in allow_root or []],
        "allow_url_hosts": list(allow_url_host or []),
        "parameters": {},
        "timeout_s": timeout,
    }
    if detach:
        _announce(_public(_asked("up", **wanted)), folder, "")
        return
    if _asked("status", state_dir=folder) is not None:
        raise LocalRuntimeError("it is running already: see dataloop local status")
    _in_foreground(folder, wanted)


@group.command()
def down(state: State = None, as_json: Json = False) -> None:
    """Stop the service; what it keeps stays."""
    use(as_json)
    folder = _state(state)
    was_running = bool(_asked("down", state_dir=folder))
    session.remove_note(folder)
    text = "stopped" if was_running else "it was not running"
    output.emit({"state_dir": str(folder), "stopped": was_running}, text)


@group.command()
def status(state: State = None, as_json: Json = False) -> None:
    """Is it running, and where. Exit code 0 either way."""
    use(as_json)
    folder = _state(state)
    info = _asked("status", state_dir=folder)
    if info is None:
        output.emit({"running": False, "state_dir": str(folder)}, f"not running (state: {folder})")
        return
    # The key is for `up` to show; status is what people paste into reports.
    fields = {name: value for name, value in _public(info).items() if name != "key"}
    output.emit({"running": True, **fields}, f"running: {fields['url']} (pid {fields['pid']}, state: {folder})")


@group.command()
def reset(
    state: State = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Stop the service and delete everything it keeps."""
    use(as_json)
    folder = _state(state)
    if not yes:
        if as_json:
            raise typer.BadParameter("with --json nobody can be asked: add --yes")
        typer.confirm(f"Delete everything in {folder}?", abort=True, err=True)
    _asked("reset", state_dir=folder)
    session.remove_note(folder)
    output.emit({"state_dir": str(folder), "reset": True}, f"{folder} is deleted")


def _state(given: Path | None) -> Path:
    folder = given or session.noted_state() or state_folder() / "local"
    return folder.expanduser().resolve()


def _asked(verb: str, **arguments: Any) -> Any:
    """dataloop_local.control.<verb>(…), its failures as one line."""
    try:
        # By name: the runtime is a separate install, and the client must type-check and import without it.
        control = importlib.import_module("dataloop_local.control")
    except ImportError as error:
        missing = error.name or str(error)
        raise ConfigurationError(
            f"the one-machine runtime is not installed ({missing} is missing): "
            "in a clone of the repository run pip install -e '.[local]'",
            details={"missing": missing},
        ) from error
    try:
        return getattr(control, verb)(**arguments)
    except DataloopError:
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        # The runtime's message may end with its log: one line for people, all of it for programs.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        message = lines[0] if len(lines) == 1 else f"{lines[0].rstrip(':')}: {lines[-1]}"
        raise LocalRuntimeError(message, details={"verb": verb, "log": lines[1:]}) from error


def _public(info: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(info) and not isinstance(info, type):
        fields: Mapping[str, Any] = dataclasses.asdict(info)
    elif isinstance(info, Mapping):
        fields = info
    else:
        fields = {name: getattr(info, name) for name in _PUBLIC}
    return {name: str(fields[name]) if isinstance(fields[name], Path) else fields[name] for name in _PUBLIC}


def _announce(runtime: dict[str, Any], folder: Path, note: str) -> None:
    session.write_note(folder)
    text = f"Dataloop is up: {runtime['url']}\nkey: {runtime['key']}\nstate: {runtime['state_dir']}{note}"
    output.emit(runtime, text)


def _in_foreground(folder: Path, wanted: dict[str, Any]) -> None:
    """Start, and stop again on Ctrl-C or SIGTERM, also when either comes while it starts."""
    # Both, whatever was inherited: a shell's background job starts with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        runtime = _public(_asked("up", **wanted))
        _announce(runtime, folder, "\nCtrl-C stops it.")
        # Its own lock says whether it lives: its process, a child of ours, would stay behind as a zombie.
        while _asked("status", state_dir=folder) is not None:
            time.sleep(0.5)
        raise LocalRuntimeError("the service ended by itself; its log is in the state folder")
    except KeyboardInterrupt:
        return
    finally:
        # An impatient second Ctrl-C must not leave it half stopped.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _asked("down", state_dir=folder)
        session.remove_note(folder)
