"""Sources and targets without a disk."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pycocotools import mask as coco_mask

from dataloop.domain.errors import NotFound
from dataloop.formats.sources import check_relative, read_bounded
from dataloop.formats.surface import Findings, Picture, Reader

SAMPLES = Path(__file__).with_name("samples")


class Files:
    """Files by name: a source and a target."""

    def __init__(self, files: Mapping[str, bytes | str] | None = None) -> None:
        self.files = {name: data.encode() if isinstance(data, str) else data for name, data in (files or {}).items()}

    def names(self) -> Iterator[str]:
        yield from sorted(self.files)

    def size(self, name: str) -> int:
        return len(self._data(name))

    def read(self, name: str, limit_bytes: int) -> bytes:
        return read_bounded(io.BytesIO(self._data(name)), name, limit_bytes)

    def _data(self, name: str) -> bytes:
        if check_relative(name) not in self.files:
            raise NotFound("file", name)
        return self.files[name]

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self._data(name))


class Written(Files):
    """A target, and afterwards the source of what was written."""

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:  # type: ignore[override]
        assert check_relative(name) not in self.files
        stream = io.BytesIO()
        yield stream
        self.files[name] = stream.getvalue()

    def as_source(self) -> Files:
        return Files(self.files)


def read_all(reader: Reader, source: Files, policy: str = "skip") -> tuple[list[Picture], Findings]:
    """All pictures of a source, and what was found on the way."""
    findings = Findings(policy)
    return list(reader.read(source, findings)), findings


class Made(Files):
    """A source of one file that is made while it is read: parts gives its bytes, piece by piece."""

    def __init__(self, name: str, parts: Callable[[], Iterable[bytes]], head: bytes) -> None:
        super().__init__({name: head})
        self._parts = parts

    def open(self, name: str) -> IO[bytes]:
        return io.BufferedReader(_Stream(iter(self._parts())), 1 << 16)


class _Stream(io.RawIOBase):
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._held = part
        taken = self._held[: len(buffer)]
        buffer[: len(taken)] = taken
        self._held = self._held[len(taken) :]
        return len(taken)


def decoded(rle: Any) -> Any:
    """The pixels of an RLE (height × width), as COCO's own decoder has them."""
    with warnings.catch_warnings():
        # Its arrays are from before numpy 2.
        warnings.simplefilter("ignore", DeprecationWarning)
        return coco_mask.decode(rle)
