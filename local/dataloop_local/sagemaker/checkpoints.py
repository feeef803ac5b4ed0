"""The checkpoint folder of a training job, kept in S3 as SageMaker keeps it."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from dataloop_local.sagemaker import objects

logger = logging.getLogger("dataloop.sagemaker")


class CheckpointSync:
    """Restores the folder before the job, and copies what changed to S3 while it runs and at its end."""

    def __init__(self, client: Any, folder: Path, uri: str, every_s: float) -> None:
        self._client = client
        self._folder = folder
        self._uri = uri.rstrip("/")
        self._every_s = every_s
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._versions: dict[str, str | None] = {}
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def restore(self) -> None:
        objects.restore_prefix(f"{self._uri}/", self._folder)
        self._seen = {path: _identity(path) for path in self._files()}

    def sync_if_due(self) -> None:
        if time.monotonic() - self._last >= self._every_s:
            self.sync()

    def sync(self) -> None:
        """Upload every file that is new or changed. A file that changes while it is read is uploaded again next time."""
        with self._lock:
            for path in self._files():
                try:
                    identity = _identity(path)
                    if self._seen.get(path) != identity:
                        self._upload(path)
                        self._seen[path] = identity
                except FileNotFoundError:
                    continue  # replaced or removed by the job between listing and reading
            self._last = time.monotonic()

    def _upload(self, path: Path) -> None:
        # Read first: an upload that reads while the job renames over the file could mix two checkpoints.
        content = path.read_bytes()
        bucket, key = objects.split_uri(f"{self._uri}/{path.relative_to(self._folder).as_posix()}")
        written = self._client.put_object(Bucket=bucket, Key=key, Body=content).get("VersionId")
        # On AWS the bucket's rule removes replaced versions after a month. A disk would be full before: a checkpoint every
        # two seconds is a gigabyte a minute.
        replaced = self._versions.get(key)
        if replaced is not None:
            self._client.delete_object(Bucket=bucket, Key=key, VersionId=replaced)
        self._versions[key] = written

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._folder.rglob("*")) if path.is_file() and not path.name.endswith(".tmp")]


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
