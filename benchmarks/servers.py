"""Programs of ours that serve on a port they choose."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT

_START_S = 60


class Server:
    """Starts benchmarks/programs/<name>, which writes its ports as one JSON line; stops it at the end of the block."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._log = folder / f"{name}.log"

    def __enter__(self) -> dict[str, int]:
        command = [sys.executable, "-m", f"benchmarks.programs.{self._name}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"{self._name} did not start: {self._log.read_text()[-2000:]}")
        ports: dict[str, int] = json.loads(line)
        return ports

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
