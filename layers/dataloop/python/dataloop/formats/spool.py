"""Rows on disk, to be read in another order than they came: a private database that nobody else sees.

SQLite keeps what fits into its cache in memory and the rest in unnamed files that vanish with the process.
"""

from __future__ import annotations

import marshal
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import IO, Any

# Enough for what most label files hold; a million annotations spill 150 to 400 MB to disk.
CACHE_KIB = 16 * 1024
_BATCH = 1_000
# What of a list that is written last stays in memory; the rest is on disk.
_SPOOLED_BYTES = 4 * 1024 * 1024


class Spool:
    """One database for one run. Use it in a `with`."""

    def __init__(self, *tables: str) -> None:
        """tables: what stands behind CREATE."""
        # An empty name is SQLite's private database on disk.
        self._connection = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}", "temp_store=FILE"):
            self._connection.execute(f"PRAGMA {pragma}")
        for table in tables:
            self._connection.execute(f"CREATE {table}")
        # One transaction for ever: nothing of it shall outlive the process.
        self._connection.execute("BEGIN")
        self._waiting: dict[str, list[tuple[Any, ...]]] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def add(self, statement: str, *values: Any) -> None:
        """One row for an INSERT; rows are written a thousand at a time."""
        rows = self._waiting.setdefault(statement, [])
        rows.append(values)
        if len(rows) >= _BATCH:
            self._write(statement)

    def add_new(self, statement: str, *values: Any) -> bool:
        """Insert a row now. False when its key was there already (INSERT OR IGNORE)."""
        return self._connection.execute(statement, values).rowcount == 1

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as they are found; what waited is written before."""
        for statement in list(self._waiting):
            self._write(statement)
        return iter(self._connection.execute(query, values))

    def run(self, statement: str) -> None:
        """A statement without rows (an index)."""
        for _ in self.rows(statement):
            pass

    def _write(self, statement: str) -> None:
        self._connection.executemany(statement, self._waiting.pop(statement, []))


def spooled() -> IO[bytes]:
    """A file for what is written now and read once at the end: in memory as long as it is short."""
    return tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)


def packed(values: Iterable[Any]) -> bytes:
    """Plain values (numbers, texts, lists, objects) as bytes, faster than JSON and with every float as it was."""
    return marshal.dumps(tuple(values))


def unpacked(data: bytes) -> tuple[Any, ...]:
    found: tuple[Any, ...] = marshal.loads(data)  # noqa: S302 written by this process a moment ago
    return found
