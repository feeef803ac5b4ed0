"""Where label files come from: a folder, an archive read in place, and (in services) a prefix of a bucket."""

from __future__ import annotations

import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound

# Ours: what an archive may hold. Its directory is read whole: 300 bytes of memory an entry.
MAX_ARCHIVE_FILES = 1_000_000
# Ours: text shrinks by 10 to 30; more than this is a bomb. Tiny files may be anything.
MAX_COMPRESSION = 200
SMALL_BYTES = 1 << 20
READ_BYTES = 1 << 16
# What zipfile and its unpackers raise in the middle of a file.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


class Source(Protocol):
    """Files by relative names with `/`."""

    def names(self) -> Iterator[str]:
        """All names, sorted."""

    def size(self, name: str) -> int:
        """Bytes of one file. Raises NotFound."""

    def open(self, name: str) -> IO[bytes]:
        """A stream of one file; the caller closes it. Raises NotFound."""

    def read(self, name: str, limit_bytes: int) -> bytes:
        """A whole file. Raises NotFound, LimitExceeded for a larger one."""


def check_relative(name: str) -> str:
    """A name that stays inside its source. Raises InvalidInput for absolute names, drives, backslashes and `..`."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or ":" in parts[0]:
        raise InvalidInput("file name", "must be relative and stay inside its folder", name)
    return name


def read_bounded(stream: IO[bytes], name: str, limit_bytes: int) -> bytes:
    """All of a stream. Raises LimitExceeded when there is more than the limit."""
    data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise LimitExceeded(f"{name}: bytes", limit_bytes)
    return data


class FolderSource:
    """A folder on disk, or one file of it. Links that lead out of the folder are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def names(self) -> Iterator[str]:
        """All files below the folder, sorted; hidden ones are left out."""
        if self._root.is_file():
            yield self._root.name
            return
        found = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
        yield from sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))

    def size(self, name: str) -> int:
        return self._path(name).stat().st_size

    def open(self, name: str) -> IO[bytes]:
        return self._path(name).open("rb")

    def read(self, name: str, limit_bytes: int) -> bytes:
        with self.open(name) as stream:
            return read_bounded(stream, name, limit_bytes)

    def _path(self, name: str) -> Path:
        base = self._root.parent if self._root.is_file() else self._root
        path = (base / check_relative(name)).resolve()
        if not path.is_relative_to(base) or not path.is_file():
            raise NotFound("file", name)
        return path


class _Unpacked(io.RawIOBase):
    """A file of an archive. What is damaged in it is an error with its name, wherever a reader meets it."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except _DAMAGED as error:
            raise InvalidInput("archive", f"{self._name} cannot be read: {error}") from error
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._stream.seek(offset, whence)
        except _DAMAGED as error:
            raise InvalidInput("archive", f"{self._name} cannot be read: {error}") from error

    def close(self) -> None:
        self._stream.close()
        super().close()


class ZipSource:
    """An archive read in place: nothing is unpacked, so no name can lead anywhere.

    stream: seekable. Raises InvalidInput for what is no archive, has names outside itself, links or encrypted files;
    LimitExceeded for too many files. Bombs are refused when their file is opened.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        try:
            self._archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise InvalidInput("archive", f"is not a readable zip file: {error}") from error
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        if len(entries) > MAX_ARCHIVE_FILES:
            raise LimitExceeded("archive: files", MAX_ARCHIVE_FILES, len(entries))
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            name = check_relative(entry.filename)
            if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & 1:
                raise InvalidInput("archive", "must not hold links or encrypted files", name)
            if name in self._entries:
                raise InvalidInput("archive", "has two files of one name", name)
            self._entries[name] = entry

    def names(self) -> Iterator[str]:
        """All files, sorted; hidden ones and the leftovers of macOS are left out."""
        hidden = (".", "__MACOSX")
        yield from sorted(
            name for name in self._entries if not any(part.startswith(hidden) for part in name.split("/"))
        )

    def size(self, name: str) -> int:
        return self._entry(name).file_size

    def open(self, name: str) -> IO[bytes]:
        entry = self._entry(name)
        if entry.file_size > max(SMALL_BYTES, entry.compress_size * MAX_COMPRESSION):
            raise LimitExceeded(f"{name}: bytes for one compressed byte", MAX_COMPRESSION)
        try:
            # zipfile itself stops at the size that the directory states, and checks the checksum at the end.
            return io.BufferedReader(_Unpacked(self._archive.open(entry), name), READ_BYTES)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
            raise InvalidInput("archive", f"{name} cannot be read: {error}") from error

    def read(self, name: str, limit_bytes: int) -> bytes:
        try:
            with self.open(name) as stream:
                return read_bounded(stream, name, limit_bytes)
        except (zipfile.BadZipFile, EOFError) as error:
            raise InvalidInput("archive", f"{name} cannot be read: {error}") from error

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise NotFound("file", name)
        return self._entries[name]
