"""Receipts on disk: what of a folder is uploaded already, so that an interrupted upload goes on where it stopped.

One JSON line a finished file, appended and flushed at once. A line cut short by a crash is ignored on reading; that
file is uploaded again, which costs one call, because the service knows the bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ankerautotrainsdk.config import Credentials, state_folder
from ankerautotrainsdk.errors import ConfigurationError

_FORMAT = 1
# A file changed within the clock's grain after it was read keeps its time stamp; such a stamp proves nothing.
_CLOCK_GRAIN_NS = 50_000_000


@dataclass(frozen=True)
class Entry:
    """A finished file. raw_data_sha256: digest of the registered file information, None when none was registered."""

    relative: str
    size_bytes: int
    mtime_ns: int
    read_at_ns: int
    sha256: str
    upload: dict[str, Any]
    raw_data_id: str | None = None
    raw_data_sha256: str | None = None

    def describes(self, status: os.stat_result) -> bool:
        """True when the file with this status is, as far as size and time tell, the one that was uploaded."""
        stamp_is_settled = self.mtime_ns < self.read_at_ns - _CLOCK_GRAIN_NS
        return stamp_is_settled and (self.size_bytes, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


def default_journal(credentials: Credentials, folder: Path, directory: str) -> Path:
    """One file for each (service, key, folder, directory): what one tenant holds says nothing about another's."""
    parts = (credentials.url, credentials.api_key or "", str(folder), directory)
    name = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return state_folder() / "receipts" / f"{name}.jsonl"


class Journal:
    """The receipts of one folder. Used by one thread; several processes may append to the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def read(self) -> dict[str, Entry]:
        """The last entry of every file, by its relative name; {} when there is no journal yet."""
        entries: dict[str, Entry] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"cannot read the upload journal {self.path}: {error}") from error
        for line in lines:
            try:
                fields = json.loads(line)
                if fields.pop("format") == _FORMAT:
                    entry = Entry(**fields)
                    entries[entry.relative] = entry
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # a torn line, or one of another version
        return entries

    def append(self, entry: Entry) -> None:
        """Write one line and hand it to the operating system."""
        if self._file is None:
            self._file = self._opened()
        line = json.dumps({"format": _FORMAT, **asdict(entry)}, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")

    def _opened(self) -> IO[bytes]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Unbuffered and appending: each line is one write, whole even beside another process.
            file = self.path.open("ab", buffering=0)
            if self.path.stat().st_size:
                with self.path.open("rb") as earlier:
                    earlier.seek(-1, os.SEEK_END)
                    if earlier.read(1) != b"\n":
                        file.write(b"\n")  # end the line that a crash cut short
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the upload journal {self.path}: {error}; pass journal=<a writable file> or resume=False"
            ) from error
        return file

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
