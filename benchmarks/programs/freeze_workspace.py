"""Freeze a generated workspace into a folder in place of S3, and page through it: `freeze_workspace IMAGES`.

Prints JSON: CPU seconds of a part and of uniting them, peak memory of both in MB, stored bytes and objects, and for each
question the GETs, the bytes read and the CPU of a page asked for the first time and of the page behind it.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from dataloop.domain.projects import Image, Iteration, numbered_id
from dataloop.domain.terms import EVERYTHING, AnyOf, ImageQuery, Query, Term, tag_term
from dataloop.gateways.objects import Bucket
from dataloop.manifests.frozen import ROWS_A_PART
from dataloop.services.browsing import BrowsingService
from dataloop.services.clock import Clock
from dataloop.services.frozen_reading import FrozenCache
from dataloop.services.snapshots import SnapshotService, prefix_of

# As in design §5.3: twenty tags that 0.1 % to 30 % of the images have.
DENSITIES = [0.001 * 300 ** (number / 19) for number in range(20)]
TAGS = [f"0192f0c0-0000-8000-8000-{number:012d}" for number in range(20)]
AT = "2026-11-23T03:00:00.000Z"
PROJECT = "0192f0c0-0000-8000-8000-00000000aaaa"


class Folder(Bucket):
    """The calls of a bucket that freezing and reading make, on files; every GET is counted."""

    def __init__(self, root: Path) -> None:
        super().__init__(None, "folder")
        self._root = root
        self.gets: list[int] = []

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def upload_stream(self, stream: IO[bytes], key: str) -> None:
        self.put(key, stream.read())

    def get(self, key: str, version_id: str | None = None) -> bytes:
        from dataloop.domain.errors import NotFound

        try:
            body = (self._root / key).read_bytes()
        except FileNotFoundError:
            raise NotFound("object", key) from None
        self.gets.append(len(body))
        return body

    def get_range(self, key: str, start: int, length: int, version_id: str | None = None) -> bytes:
        with (self._root / key).open("rb") as file:
            file.seek(start)
            body = file.read(length)
        self.gets.append(len(body))
        return body

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        for path in sorted((self._root / prefix).rglob("*")):
            if path.is_file():
                yield str(path.relative_to(self._root)), path.stat().st_size

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self._root / key).unlink(missing_ok=True)


def image(ordinal: int, rng: random.Random) -> Image:
    uid = rng.randbytes(32).hex()
    return Image(
        tenant="default",
        project_id=PROJECT,
        id=numbered_id(1_760_000_000_000 + ordinal, ordinal, rng.randbytes(6)),
        ordinal=ordinal,
        uid=uid,
        key=f"default/projects/{PROJECT}/{uid}.jpg",
        version_id=rng.randbytes(16).hex(),
        width=1920,
        height=1080,
        created_at=AT,
        tags={tag: AT for tag, density in zip(TAGS, DENSITIES, strict=True) if rng.random() < density},
        metadata={"camera": f"line {rng.randrange(8)}"},
    )


def freeze(snapshots: SnapshotService, prefix: str, count: int) -> dict[str, Any]:
    seconds = []
    parts = -(-count // ROWS_A_PART)
    for part in range(parts):
        rng = random.Random(part)
        images = [image(ordinal, rng) for ordinal in range(part * ROWS_A_PART, min(count, (part + 1) * ROWS_A_PART))]
        begun = time.process_time()
        snapshots.write_part(prefix, part, images)
        seconds.append(time.process_time() - begun)
    begun = time.process_time()
    snapshots.finish(prefix, parts)
    return {
        "part_s": statistics.median(seconds),
        "finish_s": time.process_time() - begun,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def ask(folder: Folder, iteration: Iteration, query: ImageQuery) -> dict[str, Any]:
    """A page that a new process asks for, and the page behind it."""
    browsing = BrowsingService(None, None)  # type: ignore[arg-type]
    snapshots = SnapshotService(folder, FrozenCache(Clock()))
    found: dict[str, Any] = {}
    for name, skip in (("first", query.skip), ("next", query.skip + query.take)):
        folder.gets.clear()
        begun = time.perf_counter()
        page = browsing.page(snapshots.open(iteration), ImageQuery(query.where, query.newest_first, skip, query.take))
        found[name] = {
            "ms": (time.perf_counter() - begun) * 1000,
            "gets": len(folder.gets),
            "kb": sum(folder.gets) / 1024,
            "images": len(page),
        }
    return found


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Folder(Path(root))
        prefix = prefix_of("default", PROJECT, "iteration")
        report = freeze(SnapshotService(folder, FrozenCache(Clock())), prefix, count)
        stored = list(folder.keys(prefix))
        report |= {"mb": sum(size for _, size in stored) / 1e6, "objects": len(stored)}
        iteration = Iteration("default", "iteration", PROJECT, "", 1, "COMPLETED", "", AT, AT, snapshot=prefix)
        five = AnyOf(tuple(Term(tag_term(tag)) for tag in TAGS[::4]))
        questions: dict[str, Query] = {
            "all": EVERYTHING,
            "five tags": five,
            "a tag of 30 %": Term(tag_term(TAGS[-1])),
            "a tag of 0.1 %": Term(tag_term(TAGS[0])),
        }
        report["pages"] = {
            name: ask(folder, iteration, ImageQuery(where, skip=count // 20_000, take=256))
            for name, where in questions.items()
        }
        print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]))
