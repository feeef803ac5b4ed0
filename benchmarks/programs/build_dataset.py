"""Build a manifest of generated annotations: python -m … build|floor ANNOTATIONS FOLDER → {"cpu_s", "peak_mb", "rows"}

`build` runs plan, join and reduce of BuildService. DynamoDB is a table that makes its items up when they are asked for,
S3 is a folder: what is measured is our own CPU and memory. `floor` parses every row that the joins wrote, writes it
again with sorted keys and hashes it: what the JSON alone costs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PER_IMAGE = 2
_TENANT, _TASK, _VERSION = "default", "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
_AT = "2026-01-01T00:00:00.000Z"


class GeneratedTable:
    """Answers BatchGet with items made up from their keys, decoded as real ones are."""

    def __init__(self) -> None:
        from dataloop.repositories.codec import encode_item

        labels = [
            {"label": f"class-{n}", "bbox_xyxy": [10.5 + n, 20.25, 200.75, 300.125 + n], "score": 0.875}
            for n in range(3)
        ]
        self._annotation = encode_item(
            {
                "tenant": _TENANT,
                "type": "detection",
                "labels": labels,
                "method": "auto",
                "model_name": "bench",
                "model_version": "1",
                "scope": ["class-0", "class-1", "class-2"],
                "bg": "home",
                "owner": "bench",
                "created_at": _AT,
            }
        )
        location = {"b": "bench-raw", "v": "v" * 32, "seq": "0" * 40, "n": 100_000, "direct": False, "gone": False}
        meta = {"type": "image", "region": "CN", "securityLevel": "internal", "sourceInfo": {"type": "trigger"}}
        self._raw = encode_item(
            {
                "tenant": _TENANT,
                "size_bytes": 100_000,
                "media_type": "image/jpeg",
                "width": 640,
                "height": 480,
                "meta": meta,
                "meta_at": _AT,
            }
        )
        self._location = encode_item(location)

    def get_many(self, keys: Iterable[tuple[str, str]], *, consistent: bool = False) -> list[dict[str, Any]]:
        from dataloop.repositories.codec import decode_item

        return [decode_item(self._item(pk)) for pk, _ in keys]

    def _item(self, pk: str) -> dict[str, Any]:
        entity, _, id = pk.partition("|")[2].partition("#")
        if entity == "ANN":
            return self._annotation | {"id": {"S": id}, "data_ids": {"L": [{"S": uid_of(id)}]}}
        location = {"M": self._location | {"k": {"S": f"cameras/2026-01-01/{id}.jpg"}}}
        return self._raw | {"uid": {"S": id}, "sha256": {"S": id * 2}, "loc_0": location}


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
        return self._path(key).read_bytes()

    def download(self, key: str, path: Path) -> None:
        shutil.copyfile(self._path(key), path)

    def upload(self, path: Path, key: str) -> None:
        shutil.copyfile(path, self._path(key))

    def copy(self, source_key: str, key: str) -> None:
        shutil.copyfile(self._path(source_key), self._path(key))

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        for path in sorted(self._path(prefix + "x").parent.iterdir()):
            yield path.relative_to(self._root).as_posix(), path.stat().st_size


class OneVersion:
    """The dataset: one version with one segment."""

    def __init__(self, key: str, count: int) -> None:
        from dataloop.domain.datasets import DatasetVersion, Segment
        from dataloop.domain.splits import SplitPolicy

        self._version = DatasetVersion(_TENANT, _VERSION, _VERSION, "bench", "1", "BUILDING", _AT, SplitPolicy())
        self._segment = Segment(_VERSION, "segment", key, count, _AT)

    def get_version(self, tenant: str, id: str) -> Any:
        return self._version

    def segments(self, tenant: str, id: str) -> list[Any]:
        return [self._segment]


class OneTask:
    """The task: nothing is written down."""

    def __init__(self) -> None:
        from dataloop.domain.tasks import Task

        wish = {"version_id": _VERSION}
        self._task = Task(_TENANT, _TASK, "build", "RUNNING", f"Dataset#{_VERSION}", _AT, _AT, parameters=wish)

    def read(self, tenant: str, id: str) -> Any:
        return self._task

    def begin(self, task: Any, phase: str = "") -> Any:
        return task

    def note(self, task: Any, **changes: object) -> Any:
        return task


def uid_of(annotation_id: str) -> str:
    """The image of an annotation; a few annotations share one."""
    return hashlib.sha256(annotation_id[:20].encode()).hexdigest()[:32]


def segment(path: Path, count: int) -> None:
    """Sorted annotation ids, two per image."""
    with path.open("w") as target:
        for number in range(count // PER_IMAGE):
            # Spread over the whole range and growing, as sorted digests are.
            first = f"{number * (2**79 // count):020x}"
            target.writelines(f"{first}{index:04x}\n" for index in range(PER_IMAGE))


def build(count: int, folder: Path) -> int:
    """All steps, joins one after the other. Returns the number of images."""
    from dataloop.repositories.annotations import AnnotationRepository
    from dataloop.repositories.raw_data import RawDataRepository
    from dataloop.services.building import BuildService
    from dataloop.services.clock import Clock

    bucket: Any = FolderBucket(folder)
    table: Any = GeneratedTable()
    datasets: Any = OneVersion("segment.txt", count)
    tasks: Any = OneTask()
    annotations = AnnotationRepository(table, bucket)
    service = BuildService(datasets, annotations, RawDataRepository(table), tasks, bucket, Clock())
    plan = service.plan(_TENANT, _TASK)
    for key, _ in list(bucket.keys(plan["parts_prefix"])):
        service.join(_TENANT, _TASK, key)
    found = service.reduce(_TENANT, _TASK)
    if not found["passed"]:
        raise SystemExit(f"the build did not pass: {found}")
    return int(found["rows"])


def floor(folder: Path) -> int:
    """Parse, write with sorted keys, hash."""
    hasher, rows = hashlib.sha256(), 0
    with (folder / "floor.jsonl").open("wb") as target:
        for path in sorted(folder.glob("*/builds/*/shards/*")):
            with path.open("rb") as source:
                for line in source:
                    row = json.loads(line.split(b"\t", 2)[2])
                    text = json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n"
                    hasher.update(text)
                    target.write(text)
                    rows += 1
    return rows


def peak_mb() -> float:
    """Of this process alone: getrusage would carry over the memory of the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the kernel does not tell VmHWM")


def main() -> None:
    side, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if side == "build":
        segment(folder / "segment.txt", count)
    begun = time.process_time()
    rows = build(count, folder) if side == "build" else floor(folder)
    print(json.dumps({"cpu_s": time.process_time() - begun, "peak_mb": peak_mb(), "rows": rows}))


if __name__ == "__main__":
    main()
