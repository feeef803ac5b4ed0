"""Snapshots of the tables: one file each, and one small file that names the current one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dataloop_local.files import read_json, sync_directory, write_json


@dataclass(frozen=True)
class Snapshot:
    """`path` holds the state before every record of segment `segment` and later."""

    path: Path | None
    segment: int

    def lines(self) -> Iterator[bytes]:
        if self.path is not None:
            with self.path.open("rb") as handle:
                yield from handle


class SnapshotFolder:
    """Writes a snapshot completely before it becomes the current one, and only then forgets the one before."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._folder = folder
        self._fsync = fsync
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def _current_file(self) -> Path:
        return self._folder / "current.json"

    def current(self) -> Snapshot:
        """The last finished snapshot, or an empty one before the first."""
        named = read_json(self._current_file)
        if named is None:
            return Snapshot(path=None, segment=0)
        return Snapshot(path=self._folder / named["file"], segment=named["segment"])

    def write(self, lines: Iterable[bytes], segment: int) -> None:
        """Write a snapshot that covers every segment before `segment`. Cost: the whole state once."""
        path = self._folder / f"{segment:08d}.jsonl"
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb", buffering=1024 * 1024) as handle:
            handle.writelines(lines)
            if self._fsync:
                handle.flush()
                os.fsync(handle.fileno())
        temporary.replace(path)
        write_json(self._current_file, {"file": path.name, "segment": segment}, fsync=self._fsync)
        if self._fsync:
            sync_directory(self._folder)
        for other in self._folder.glob("*.jsonl"):
            if other != path:
                other.unlink(missing_ok=True)
