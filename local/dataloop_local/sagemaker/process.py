"""One job's process: its environment, its folders below SAGEMAKER_BASE_DIR, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

CONTAINER_BASE = "/opt/ml"
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
# What a container image would bring. Everything else of the host's environment stays outside.
_HOST_VARIABLES = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT"),
    # Where the heavy converters are installed: docs/exports.md.
    "DATALOOP_EXPORT_ENVIRONMENTS",
)


def local_path(base: Path, container_path: str) -> Path:
    """Where a path of the container contract lies on this machine."""
    if container_path == CONTAINER_BASE or container_path.startswith(f"{CONTAINER_BASE}/"):
        return base / container_path[len(CONTAINER_BASE) + 1 :]
    return Path(container_path)


def local_command(base: Path, entrypoint: list[str], arguments: list[str]) -> list[str]:
    """The container's command with its /opt/ml rewritten, and its Python replaced by this one (no containers here)."""
    command = [
        str(local_path(base, part)) if part.startswith(CONTAINER_BASE) else part for part in [*entrypoint, *arguments]
    ]
    if command[0] in ("python", "python3"):
        command[0] = sys.executable
    return command


def environment(base: Path, variables: Mapping[str, str]) -> dict[str, str]:
    host = {name: os.environ[name] for name in _HOST_VARIABLES if name in os.environ}
    return {
        **host,
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **variables,
        "SAGEMAKER_BASE_DIR": str(base),
    }


class JobProcess:
    """A running command under its supervisor, in a process group of its own."""

    def __init__(self, command: list[str], *, cwd: Path, env: Mapping[str, str], log: Path) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the job's own command
                [sys.executable, "-I", "-S", str(_SUPERVISOR), *command],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stopping_since: float | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        """SIGTERM for the whole group; `wait` follows with SIGKILL after the grace. Safe to call twice."""
        with self._lock:
            if self._stopping_since is None:
                self._stopping_since = time.monotonic()
                self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def wait(
        self, *, grace_s: float, deadline: float, every_s: float, meanwhile: Callable[[], None]
    ) -> tuple[int, bool]:
        """Wait for the end, calling `meanwhile` about every `every_s` seconds.

        `deadline` (monotonic clock): then the job is stopped as if by a client. Returns (exit code, whether the deadline
        passed).
        """
        overdue = False
        while True:
            try:
                code = self._process.wait(timeout=every_s)
                break
            except subprocess.TimeoutExpired:
                meanwhile()
            now = time.monotonic()
            if now > deadline and not overdue:
                overdue = True
                self.stop()
            if self._stopping_since is not None and now - self._stopping_since > grace_s:
                self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        # What the command left behind in its group must not outlive it.
        self._signal(signal.SIGKILL)
        return code, overdue

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
