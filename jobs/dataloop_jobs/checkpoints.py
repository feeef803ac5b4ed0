"""Checkpoints: everything a training needs to go on exactly where it was, replaced as a whole."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataloop_jobs.contract import say
from dataloop_jobs.faults import BadCheckpoint, DiskFull
from dataloop_jobs.json_files import replace_file

# 2: a step's random numbers depend on (seed, step), so no random state is kept.
_FORMAT = 2


class CheckpointFolder:
    """last.pt: the whole state, bitwise; best.pt: the best weights so far. Both loadable with weights_only."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        """identity: what makes a run this run (parameters, dataset); another run's checkpoint is refused."""
        self.folder = folder
        self._last, self._best = folder / "last.pt", folder / "best.pt"
        self._identity = {"format": _FORMAT, **identity}

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace last.pt. Cost: about 0.1 s for the default body. Raises DiskFull; the earlier one is kept then."""
        _write(self._last, {"identity": self._identity, **state})

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Replace best.pt. Raises DiskFull; the earlier one is kept then."""
        _write(self._best, {"identity": self._identity, "weights": dict(weights)})

    def load(self) -> dict[str, Any] | None:
        """The state of an earlier start of this run, or None.

        An unreadable file (a copy cut short) is set aside and reported: training from the beginning is slower, never
        wrong. Raises BadCheckpoint when the file belongs to another run.
        """
        return self._read(self._last)

    def load_best(self) -> dict[str, Tensor] | None:
        """The best weights so far, or None."""
        state = self._read(self._best)
        return state["weights"] if state else None

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            identity = dict(state["identity"])
            if identity == self._identity:
                _require_parts(path, state)
        except Exception as error:  # torch raises many kinds for a damaged file
            aside = path.with_name(path.name + ".unreadable")
            path.replace(aside)
            say("warning", text=f"{path.name} could not be read ({error}); it is kept as {aside.name}")
            return None
        if identity != self._identity:
            changed = sorted(
                name for name in {*identity, *self._identity} if identity.get(name) != self._identity.get(name)
            )
            details = ", ".join(f"{name} {identity.get(name)!r} → {self._identity.get(name)!r}" for name in changed)
            raise BadCheckpoint(f"checkpoints/{path.name} belongs to another run ({details}); empty the folder first")
        return state


def _require_parts(path: Path, state: Mapping[str, Any]) -> None:
    """Raises KeyError when a checkpoint of this run lacks what a training goes on with."""
    needed = ("weights",) if path.name == "best.pt" else ("position", "network", "optimizer", "averages", "scaler")
    missing = [name for name in needed if name not in state]
    if missing:
        raise KeyError(f"{', '.join(missing)} is missing")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    try:
        replace_file(path, buffer.getvalue())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        size_mb, free_mb = buffer.tell() / 1e6, shutil.disk_usage(path.parent).free / 1e6
        raise DiskFull(
            f"checkpoints/{path.name} ({size_mb:.1f} MB) could not be written: {error.strerror}, {free_mb:.1f} MB are "
            f"free; {'the earlier one is kept: ' if path.exists() else ''}give the job a larger volume and start it again"
        ) from error


class CpuClock:
    """CPU seconds of a training: earlier starts, this process since now, and what is known of the other processes."""

    def __init__(self, before: float):
        """before: CPU seconds of earlier starts, all processes together."""
        self.before = before
        self._start = _process_seconds()
        self._others = 0.0

    def own(self) -> float:
        """Of this process, since this start."""
        return _process_seconds() - self._start

    def used(self) -> float:
        """Of everything."""
        return self.before + self.own() + self._others

    def hear(self, own_of_all: float) -> None:
        """own_of_all: the sum of `own` over all processes, this one included."""
        self._others = own_of_all - self.own()


def _process_seconds() -> float:
    """CPU time of this process and all its threads."""
    times = os.times()
    return times.user + times.system
