"""Where written label files go: a folder, or one archive with the same bytes every time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from dataloop.formats.sources import check_relative

# The oldest date a zip file can spell: the same content gives the same bytes on every day.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SHARED_FILE = 0o644 << 16
# Label files shrink tenfold; pictures are compressed already.
_STORED = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".parquet")


class Target(Protocol):
    """Takes files by relative names, one after the other, each once."""

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A stream to write one file into; closed at the end of the `with`. Raises InvalidInput for a name outside."""


class FolderTarget:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        path = self._root / check_relative(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            yield stream


class ZipTarget:
    """One archive. Files are written in the order they are opened; only one may be open at a time. Close it at the end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(stream, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=6)
        self._names: set[str] = set()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        if check_relative(name) in self._names:
            raise FileExistsError(name)
        self._names.add(name)
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.external_attr = _SHARED_FILE
        is_stored = name.lower().endswith(_STORED)
        entry.compress_type = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w", force_zip64=True) as stream:
            yield stream

    def close(self) -> None:
        """Write the archive's directory."""
        self._archive.close()
