"""Start, stop and look at a local runtime from another process: what `dataloop local up|down|status|reset` calls."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataloop_local.files import read_json
from dataloop_local.settings import LocalRuntimeError, RuntimeInfo, Settings

_LOOK_EVERY_S = 0.05
_LOG_TAIL_LINES = 40
# A clean stop lets jobs save, takes a last snapshot and answers what is under way.
_STOP_WAIT_S = 60.0
# Runtimes that this process started: waited for when they end, so that they do not stay behind as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def up(
    state_dir: str | os.PathLike[str],
    port: int = 8000,
    anonymous: bool = False,
    allow_roots: Sequence[str] = (),
    allow_url_hosts: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    timeout_s: float = 180.0,
    *,
    template: str | os.PathLike[str] | None = None,
    extra_arguments: Sequence[str] = (),
) -> RuntimeInfo:
    """Start a runtime in the background and wait until the deployed stack answers.

    A runtime that already runs on this state directory is returned as it is, if it listens on the same port.
    Raises LocalRuntimeError, with the end of the log, when it does not come up within `timeout_s` seconds.
    """
    settings = Settings(state_dir=Path(state_dir).resolve())
    running = status(settings.state_dir)
    if running is not None:
        if running.port != port:
            raise LocalRuntimeError(f"a runtime on {settings.state_dir} already listens on port {running.port}")
        return running
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings.runtime_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "dataloop_local", "serve", "--state", str(settings.state_dir), "--port", str(port)]
    command += ["--anonymous"] * anonymous
    command += [part for folder in allow_roots for part in ("--allow-root", folder)]
    command += [part for host in allow_url_hosts for part in ("--allow-url-host", host)]
    command += [part for name, value in (parameters or {}).items() for part in ("--parameter", f"{name}={value}")]
    if template is not None:
        command += ["--template", str(Path(template).resolve())]
    with settings.log_file.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, *extra_arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(),
        )
    _children[process.pid] = process
    return _wait_until_ready(settings, process, log_start, timeout_s)


def _environment() -> dict[str, str]:
    """This environment, in which the package is importable as it is here (an editable install, or a source path)."""
    source = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{inherited}" if inherited else source}


def _wait_until_ready(
    settings: Settings, process: subprocess.Popen[bytes], log_start: int, timeout_s: float
) -> RuntimeInfo:
    deadline = time.monotonic() + timeout_s
    while True:
        info = _read(settings)
        if info is not None and info.pid == process.pid:
            return info
        if process.poll() is not None:
            raise LocalRuntimeError(f"the local runtime did not start:\n{_log_tail(settings, log_start)}")
        if time.monotonic() > deadline:
            process.terminate()
            raise LocalRuntimeError(
                f"the local runtime was not ready within {timeout_s:.0f} s:\n{_log_tail(settings, log_start)}"
            )
        time.sleep(_LOOK_EVERY_S)


def down(state_dir: str | os.PathLike[str], timeout_s: float = _STOP_WAIT_S) -> bool:
    """Stop the runtime cleanly and wait for its end. False: none was running.

    Raises LocalRuntimeError when it does not end in time.
    """
    settings = Settings(state_dir=Path(state_dir).resolve())
    info = status(settings.state_dir)
    if info is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while _is_locked(settings):
        if time.monotonic() > deadline:
            raise LocalRuntimeError(f"the local runtime (pid {info.pid}) does not stop; its log is {settings.log_file}")
        time.sleep(_LOOK_EVERY_S)
    child = _children.pop(info.pid, None)
    if child is not None:
        child.wait()
    return True


def status(state_dir: str | os.PathLike[str]) -> RuntimeInfo | None:
    """The ready runtime on this state directory, or None. The lock, not the file, says whether it lives."""
    settings = Settings(state_dir=Path(state_dir).resolve())
    return _read(settings) if _is_locked(settings) else None


def reset(state_dir: str | os.PathLike[str]) -> None:
    """Stop the runtime if it runs and forget everything it kept. Refuses a directory that is not a runtime's."""
    settings = Settings(state_dir=Path(state_dir).resolve())
    if not settings.state_dir.exists():
        return
    if any(settings.state_dir.iterdir()) and not settings.lock_file.exists():
        raise LocalRuntimeError(f"{settings.state_dir} is not a state directory of the local runtime")
    down(settings.state_dir)
    shutil.rmtree(settings.state_dir)


def _read(settings: Settings) -> RuntimeInfo | None:
    content = read_json(settings.runtime_file)
    return None if content is None else RuntimeInfo(**content)


def _is_locked(settings: Settings) -> bool:
    if not settings.lock_file.exists():
        return False
    with settings.lock_file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def _log_tail(settings: Settings, start: int) -> str:
    with settings.log_file.open("rb") as handle:
        handle.seek(start)
        lines = handle.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_LOG_TAIL_LINES:]) or f"it wrote nothing to {settings.log_file}"
