"""What stands in for AWS while a build is measured: its own CPU and memory are the question, not a network's.

DynamoDB is a file of items as boto3 hands them over: typed attributes ({"S": …}, {"M": …}). Decoding them is ours and is
counted; the network and boto3's reading of the answer are not: datumaro has nothing of the kind. S3 is a folder.
"""

from __future__ import annotations

import marshal
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dataloop.domain.datasets import DatasetVersion, Segment
from dataloop.domain.errors import NotFound
from dataloop.domain.splits import SplitPolicy
from dataloop.domain.tasks import Task
from dataloop.repositories.codec import Item, decode_item, encode_item

TENANT = "default"
TASK, VERSION = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
AT = "2026-01-01T00:00:00.000Z"


class StoredTable:
    """The methods of repositories.table.Table that a build uses, over a file of items."""

    def __init__(self, path: Path) -> None:
        self.stand_in_s = 0.0  # CPU of what DynamoDB and boto3 would do
        self._file = sqlite3.connect(path)
        # Pages of the stand-in are not ours: 2 MB of cache, SQLite's default.
        self._file.execute("CREATE TABLE IF NOT EXISTS items (pk TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")

    def put(self, item: dict[str, Any], *, condition: str | None = None) -> None:
        self._file.execute("INSERT OR IGNORE INTO items VALUES (?, ?)", (item["pk"], marshal.dumps(encode_item(item))))

    def commit(self) -> None:
        self._file.commit()

    def get_many(self, keys: Iterable[tuple[str, str]], *, consistent: bool = False) -> list[Item]:
        begun = time.process_time()
        wanted = [pk for pk, _ in keys]
        marks = ",".join("?" * len(wanted))
        rows = self._file.execute(f"SELECT body FROM items WHERE pk IN ({marks})", wanted)
        found = [marshal.loads(body) for (body,) in rows]
        self.stand_in_s += time.process_time() - begun
        return [decode_item(attributes) for attributes in found]


class FolderBucket:
    """The methods of gateways.objects.Bucket that a build uses, on a folder."""

    name = "bench-artifacts"

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str) -> Path:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        self._path(key).write_bytes(body)

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("object", key) from error

    def download(self, key: str, path: Path) -> None:
        _link(self._path(key), path)

    def upload(self, path: Path, key: str) -> None:
        _link(path, self._path(key))

    def copy(self, source_key: str, key: str) -> None:
        _link(self._path(source_key), self._path(key))

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        for path in sorted(self._path(prefix + "x").parent.iterdir()):
            yield path.relative_to(self._root).as_posix(), path.stat().st_size


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name: moving them is the network's work. Nobody writes into a finished file."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)


class OneVersion:
    """The dataset: one version with one segment."""

    def __init__(self, key: str) -> None:
        self._version = DatasetVersion(TENANT, VERSION, VERSION, "bench", "1", "BUILDING", AT, SplitPolicy())
        self._segment = Segment(VERSION, "segment", key, 0, AT)

    def get_version(self, tenant: str, id: str) -> DatasetVersion:
        return self._version

    def segments(self, tenant: str, id: str) -> list[Segment]:
        return [self._segment]


class OneTask:
    """The task: nothing is written down."""

    def __init__(self) -> None:
        wish = {"version_id": VERSION}
        self._task = Task(TENANT, TASK, "build", "RUNNING", f"Dataset#{VERSION}", AT, AT, parameters=wish)

    def read(self, tenant: str, id: str) -> Task:
        return self._task

    def begin(self, task: Task, phase: str = "") -> Task:
        return task

    def note(self, task: Task, **changes: object) -> Task:
        return task
