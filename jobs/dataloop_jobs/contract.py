"""The container contract: every path, file and signal a job shares with SageMaker is known here and nowhere else.

Source: AWS, "How Amazon SageMaker runs your training image" and "... your processing container image".
Everything lies below `SAGEMAKER_BASE_DIR` (default /opt/ml), so that one machine can run jobs as plain processes.

    training                                      processing
    input/config/hyperparameters.json             processing/input/<name>/
    input/config/resourceconfig.json              processing/output/
    input/data/<channel>/
    checkpoints/  model/  output/data/  output/tensorboard/
    output/failure   (first 1,024 characters become FailureReason)
    output/message   (processing: becomes ExitMessage)
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from dataloop_jobs.faults import BadDataset, Interrupted, shown
from dataloop_jobs.json_files import parse_json, read_json, write_json

BASE_DIR_VARIABLE = "SAGEMAKER_BASE_DIR"
DEFAULT_BASE_DIR = "/opt/ml"
# SageMaker keeps only this much of the file.
FAILURE_LIMIT = 1024
# Names that AWS's own training toolkit adds to the hyperparameters; they are not for us.
_TOOLKIT_PREFIX = "sagemaker_"
# Progress lines at most this often, so that a fast job does not flood the log.
_PROGRESS_PERIOD_S = 1.0


def base_dir() -> Path:
    """The contract's root folder."""
    return Path(os.environ.get(BASE_DIR_VARIABLE) or DEFAULT_BASE_DIR)


class TrainingFolders:
    """Where a training job reads and writes."""

    def __init__(self, base: Path | None = None):
        root = base or base_dir()
        self.config = root / "input" / "config"
        self._channels = root / "input" / "data"
        self.checkpoints = root / "checkpoints"
        self.model = root / "model"
        self.output = root / "output" / "data"
        # Where SageMaker's TensorBoardOutputConfig looks for event files; made when there are any.
        self.tensorboard = root / "output" / "tensorboard"
        for folder in (self.checkpoints, self.model, self.output):
            folder.mkdir(parents=True, exist_ok=True)

    def channel(self, name: str) -> Path:
        """An input channel's folder. Raises BadDataset when the job was started without it."""
        folder = self._channels / name
        if not folder.is_dir():
            raise BadDataset(f"input channel {name!r} is missing: the job needs the channels code, dataset and images")
        return folder

    def optional_channel(self, name: str) -> Path | None:
        """An input channel's folder, or None when the job has no such channel or it is empty."""
        folder = self._channels / name
        return folder if folder.is_dir() and any(folder.iterdir()) else None

    def hyperparameters(self) -> dict[str, object]:
        """The job's hyperparameters: values are JSON text, and plain text where they are not JSON."""
        path = self.config / "hyperparameters.json"
        raw = read_json(path) if path.is_file() else {}
        if not isinstance(raw, dict):
            raise BadDataset("input/config/hyperparameters.json must hold one JSON object")
        return {name: _decoded(value) for name, value in raw.items() if not name.startswith(_TOOLKIT_PREFIX)}

    def hosts(self) -> Hosts:
        """The job's instances, from resourceconfig.json or the SM_* variables; one where neither says anything.

        Raises BadDataset when the current host is not among them.
        """
        path = self.config / "resourceconfig.json"
        said = read_json(path) if path.is_file() else {}
        if not isinstance(said, dict):
            raise BadDataset("input/config/resourceconfig.json must hold one JSON object")
        names = said.get("hosts") or _decoded(os.environ.get("SM_HOSTS") or "[]") or ["localhost"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadDataset(f"input/config/resourceconfig.json: hosts {shown(names)} must be a list of names")
        current = said.get("current_host") or os.environ.get("SM_CURRENT_HOST") or names[0]
        interface = said.get("network_interface_name") or os.environ.get("SM_NETWORK_INTERFACE_NAME")
        if current not in names:
            raise BadDataset(
                f"input/config/resourceconfig.json: current_host {shown(current)} is not one of hosts {shown(names)}"
            )
        return Hosts(tuple(names), str(current), interface or None)


@dataclass(frozen=True)
class Hosts:
    """The instances of a training job, in the order that all of them see; the first one leads."""

    names: tuple[str, ...]
    current: str
    network_interface: str | None

    @property
    def number(self) -> int:
        """This host's place among them."""
        return self.names.index(self.current)


class ProcessingFolders:
    """Where a processing job reads and writes."""

    def __init__(self, base: Path | None = None):
        root = (base or base_dir()) / "processing"
        self._inputs = root / "input"
        self.output = root / "output"
        self.output.mkdir(parents=True, exist_ok=True)

    def input(self, name: str) -> Path:
        """An input's folder. Raises BadDataset when the job was started without it."""
        folder = self._inputs / name
        if not folder.is_dir():
            raise BadDataset(f"processing input {name!r} is missing: the job needs code, dataset, images and model")
        return folder

    def optional_input(self, name: str) -> Path | None:
        """An input's folder, or None when the job has no such input or it is empty."""
        folder = self._inputs / name
        return folder if folder.is_dir() and any(folder.iterdir()) else None


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def failure_file(base: Path) -> Path:
    """Where SageMaker looks for the reason of a failed training."""
    return base / "output" / "failure"


def write_failure(message: str, base: Path | None = None) -> None:
    """Leave the reason where SageMaker looks for it: output/failure (training) and output/message (processing)."""
    folder = (base or base_dir()) / "output"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("failure", "message"):
        (folder / name).write_text(message[:FAILURE_LIMIT], encoding="utf-8", errors="replace")


@dataclass
class ProgressState:
    """One progress report. done and total are in `unit`; eta_s is for the phase; null where it does not apply."""

    phase: str
    done: int
    total: int
    unit: str
    eta_s: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    images_per_s: float | None = None
    time: float = 0.0


class Progress:
    """Reports progress as one JSON line on stdout and, where there is a folder, as progress.json in it.

    SageMaker copies the checkpoints folder to S3 while the job runs; the API reads progress.json from there.
    """

    def __init__(self, folder: Path | None = None):
        self._file = folder / "progress.json" if folder else None
        self._phase = ""
        self._phase_start = 0.0
        self._phase_first = 0
        self._last = 0.0

    def report(
        self,
        phase: str,
        done: int,
        total: int,
        unit: str,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        images_per_s: float | None = None,
        at_most_s: float | None = None,
    ) -> None:
        """Report, at most once a second; the first and the last report of a phase always go out.

        The estimate is for the rest of the phase at the speed since this start began it, whatever an earlier start had
        done. at_most_s: an upper bound of it that is known otherwise.
        """
        now = time.time()
        if phase != self._phase:
            self._phase, self._phase_start, self._phase_first, self._last = phase, now, done, 0.0
        if now - self._last < _PROGRESS_PERIOD_S and done < total:
            return
        self._last = now
        advanced = done - self._phase_first
        eta_s = round((now - self._phase_start) / advanced * (total - done), 1) if advanced > 0 else None
        if eta_s is not None and at_most_s is not None:
            eta_s = round(min(eta_s, at_most_s), 1)
        state = ProgressState(phase, done, total, unit, eta_s, loss, learning_rate, images_per_s, round(now, 3))
        if self._file:
            write_json(self._file, asdict(state))
        say("progress", **asdict(state))


def forget_failure(base: Path | None = None) -> None:
    """Remove what an earlier start in the same folder left: this start has not failed yet."""
    for name in ("failure", "message"):
        ((base or base_dir()) / "output" / name).unlink(missing_ok=True)


def say(kind: str, **fields: object) -> None:
    """One JSON line on stdout: {"dataloop": kind, …}. Of several training processes only the first one speaks."""
    if os.environ.get("RANK", "0") != "0":
        return
    sys.stdout.write(json.dumps({"dataloop": kind, **fields}, allow_nan=False) + "\n")
    sys.stdout.flush()


class StopRequest:
    """Remembers SIGTERM (a stopped job, a reclaimed spot instance). The engine looks at it between steps."""

    def __init__(self) -> None:
        self.is_requested = False

    def listen(self) -> StopRequest:
        """Catch SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.is_requested = True

    def leave_if_requested(self) -> None:
        """Raises Interrupted after SIGTERM. Call it only where nothing would be lost."""
        if self.is_requested:
            raise Interrupted("SIGTERM received; the state is saved and the job goes on from it when started again")
