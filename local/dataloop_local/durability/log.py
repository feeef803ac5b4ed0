"""The write-ahead log: numbered segments of checksummed JSON records."""

from __future__ import annotations

import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger("dataloop.log")

# Length and CRC-32 of the payload, little endian.
_FRAME = struct.Struct("<II")
# No record comes near this; a larger length is garbage after a torn write.
_RECORD_MAX_BYTES = 256 * 1024 * 1024


class WriteAheadLog:
    """Append-only records in `folder`/<number>.wal; the order of appends is the order of effects.

    `lock` guards more than the file: whoever changes durable state holds it from the change to the append, so that a
    snapshot taken under it contains exactly the effects of the records before its position.
    """

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self.lock = threading.RLock()
        self._folder = folder
        self._fsync = fsync
        self._descriptor = -1
        self._segment = 0
        self.bytes_since_snapshot = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def segment(self) -> int:
        """The number of the segment that appends go to."""
        return self._segment

    @property
    def is_closed(self) -> bool:
        return self._descriptor < 0

    def open(self) -> None:
        """Go on in a new segment after the last one. Call after recovery, before the first append."""
        with self.lock:
            numbers = segment_numbers(self._folder)
            self.bytes_since_snapshot = sum(segment_path(self._folder, n).stat().st_size for n in numbers)
            self._start_segment((numbers[-1] if numbers else 0) + 1)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; when this returns it survives kill -9 (with fsync: power loss).

        Cost: one write(2). Raises OSError (disk full): the caller must then not acknowledge.
        """
        payload = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        frame = _FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        with self.lock:
            if self.is_closed:
                raise OSError("the write-ahead log is closed: the runtime is stopping")
            start = os.lseek(self._descriptor, 0, os.SEEK_END)
            written = os.write(self._descriptor, frame)
            if written != len(frame):
                # Disk full in the middle: cut the half record off, or everything appended later would be unreadable.
                os.ftruncate(self._descriptor, start)
                raise OSError("the disk is full: the write was not made durable")
            self.bytes_since_snapshot += written
            if self._fsync:
                os.fsync(self._descriptor)

    def rotate(self) -> int:
        """Start a new segment and return its number: a snapshot taken now covers every earlier segment."""
        with self.lock:
            self._start_segment(self._segment + 1)
            self.bytes_since_snapshot = 0
            return self._segment

    def drop_before(self, segment: int) -> None:
        """Delete segments that a finished snapshot covers."""
        for number in segment_numbers(self._folder):
            if number < segment:
                segment_path(self._folder, number).unlink(missing_ok=True)

    def close(self) -> None:
        with self.lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _start_segment(self, number: int) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(segment_path(self._folder, number), flags, 0o600)
        self._segment = number


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.wal"


def segment_numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.wal") if path.stem.isdigit())


def read_segments(folder: Path, first: int) -> Iterator[dict[str, Any]]:
    """Every record from segment `first` on, in the order of their appends.

    A torn record can only be the last one of a segment (the process died in its write); it was never acknowledged, so
    it is cut off and reading goes on with the next segment.
    """
    for number in segment_numbers(folder):
        if number >= first:
            yield from _read_segment(segment_path(folder, number))


def _read_segment(path: Path) -> Iterator[dict[str, Any]]:
    content = path.read_bytes()
    position = 0
    while position < len(content):
        payload = _payload_at(content, position)
        if payload is None:
            logger.warning("cut %d bytes of an unfinished record off %s", len(content) - position, path.name)
            os.truncate(path, position)
            return
        yield json.loads(payload.decode("utf-8", "surrogatepass"))
        position += _FRAME.size + len(payload)


def _payload_at(content: bytes, position: int) -> bytes | None:
    """The payload of the record that starts at `position`, or None when it is not whole."""
    if position + _FRAME.size > len(content):
        return None
    length, checksum = _FRAME.unpack_from(content, position)
    start = position + _FRAME.size
    if length > _RECORD_MAX_BYTES or start + length > len(content):
        return None
    payload = content[start : start + length]
    return payload if zlib.crc32(payload) == checksum else None
