"""ONNX graphs on disk, named by their digest, so that a model that memory let go needs no second download."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{64}")


class GraphFolder:
    """A folder of bounded size; what was not used for longest goes first. Several processes may share it.

    What is read is compared with its digest, so nobody has to be trusted who can write there. A disk that is full or
    refuses us only means that the next environment downloads again: no method raises.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes

    def read(self, sha256: str) -> bytes | None:
        """The graph, or None when it is not there or not whole."""
        if not _NAME.fullmatch(sha256):
            return None
        path = self._folder / sha256
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != sha256:
                path.unlink(missing_ok=True)
                return None
            os.utime(path)
        except OSError:
            return None
        return content

    def keep(self, sha256: str, content: bytes) -> None:
        """Write a graph, and delete the least recently used ones above the limit."""
        if len(content) > self._limit:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (self._folder / sha256).exists():
                # Renamed into place: a reader sees a whole file or none.
                with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                    file.write(content)
                Path(file.name).rename(self._folder / sha256)
            self._shrink()
        except OSError:
            return

    def _shrink(self) -> None:
        found = sorted(((path, path.stat()) for path in self._folder.iterdir()), key=lambda each: each[1].st_mtime_ns)
        total = sum(stat.st_size for _, stat in found)
        for path, stat in found:
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size
