"""What an import keeps in the artifacts bucket between its steps: parts of annotations, and reports of all problems."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from dataloop.formats.surface import REPORT_ITEMS, Findings
from dataloop.gateways.objects import Bucket

# Annotations per map item: some seconds of Lambda, two calls each.
PART_ITEMS = 1000
# Labels with fine outlines may have 4 MB each: as objects a part takes ten times this.
PART_BYTES = 16 * 1024 * 1024


@dataclass
class Report(Findings):
    """Findings that also write every problem as a line of a file, and count pictures whose image is not there."""

    path: Path | None = None
    missing: int = 0
    _file: IO[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Report:
        if self.path is not None:
            self._file = self.path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def problem(self, item: str, reason: str) -> None:
        """As Findings; the line comes first, so that a stopped import has it, too."""
        self._write(item, reason)
        super().problem(item, reason)

    def miss(self, file_name: str, *, is_final: bool) -> None:
        """A picture without an image. is_final: nobody will look again, so it is a problem as any other under `stop`."""
        reason = "no such file in the bucket"
        if is_final and self.policy == "stop":
            self.problem(file_name, reason)
        self.missing += 1
        self._write(file_name, reason)
        if len(self.problems) < REPORT_ITEMS:
            self.problems.append({"item": file_name[:200], "reason": reason})

    def _write(self, item: str, reason: str) -> None:
        if self._file is not None:
            line = json.dumps({"item": str(item), "reason": str(reason)}, ensure_ascii=False)
            self._file.write(line.encode(errors="replace") + b"\n")


class Parts:
    """The parts of one try of an import: {tenant}/imports/{task}/{attempt}/…, one S3 object a part."""

    def __init__(self, artifacts: Bucket, root: str) -> None:
        self._artifacts = artifacts
        self.root = root
        self.prefix = f"{root}/parts/"

    def key(self, index: int) -> str:
        return f"{self.prefix}part-{index:05d}.jsonl"

    def write(self, lines: Iterator[bytes]) -> tuple[int, int]:
        """Put lines into parts of 1,000, or of 16 MB. Returns (parts, lines). 1 PUT a part."""
        parts = total = 0
        for chunk in _chunks(lines):
            self._artifacts.put(self.key(parts), b"".join(line + b"\n" for line in chunk), "application/x-ndjson")
            parts, total = parts + 1, total + len(chunk)
        return parts, total

    def read(self, key: str) -> Iterator[dict[str, Any]]:
        """The entries of a part."""
        return (json.loads(line) for line in self._artifacts.get(key).splitlines())

    def put(self, name: str, value: Mapping[str, Any]) -> None:
        self._artifacts.put(f"{self.root}/{name}", json.dumps(value, ensure_ascii=False).encode(errors="replace"))

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._artifacts.get(f"{self.root}/{name}"))
        return found

    def results(self) -> Iterator[dict[str, Any]]:
        """What came of each part, in their order."""
        for key, _ in self._artifacts.keys(f"{self.root}/results/"):
            yield json.loads(self._artifacts.get(key))


def _chunks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) == PART_ITEMS or size >= PART_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def batches(entries: Iterator[dict[str, Any]], count: int) -> Iterator[list[dict[str, Any]]]:
    """Entries a few at a time."""
    while batch := list(islice(entries, count)):
        yield batch
