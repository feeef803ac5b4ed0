"""The join of a build: the annotations and raw data of one part become its rows, sorted by image."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from dataloop.catalog import task_types
from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import NotFound
from dataloop.domain.manifest import JoinReport, Needs
from dataloop.domain.raw_data import RawData
from dataloop.domain.residency import Clearance
from dataloop.domain.times import to_text
from dataloop.gateways.objects import Bucket
from dataloop.manifests.fragments import fragment_lines
from dataloop.manifests.merging import merged_lines
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock

# An S3 event takes about a second to become a record; thirteen seconds leave room for a busy queue.
YOUNG_S = 60
SETTLING_PAUSES = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
# Annotations with their bodies in S3 that are in memory at a time. Of the largest (4 MB of polygons each), 25 take
# 0.8 GB with their rows; a step has 2 GB.
SPILT_AT_ONCE = 25
# Rows that are collected in memory before they go to disk, sorted.
RUN_BYTES = 16 << 20


class Joiner:
    """Reads a part's ids below {prefix}/parts/ and leaves {prefix}/shards/ and {prefix}/reports/ of the same name."""

    def __init__(
        self, annotations: AnnotationRepository, raw_data: RawDataRepository, artifacts: Bucket, clock: Clock
    ) -> None:
        self._annotations = annotations
        self._raw_data = raw_data
        self._artifacts = artifacts
        self._clock = clock

    def join(self, tenant: str, part_key: str, clearance: Clearance) -> dict[str, Any]:
        """Write a part's rows, then its report. A part that has its report was joined before and is left alone.

        Reads: 1 call per 100 annotations and 1 per 100 of their images; 2 GETs, 2 PUTs.
        """
        body = self._artifacts.get(part_key)
        prefix, name = part_key.rsplit("/parts/", 1)
        # Of these very ids: a plan that was made again may have cut them differently.
        digest = hashlib.sha256(body).hexdigest()
        before = self._report(f"{prefix}/reports/{name}")
        if before.get("part_sha256") == digest:
            return {"rows": before["rows"]}
        report = JoinReport()
        with tempfile.TemporaryDirectory() as folder:
            runs = _Runs(Path(folder))
            for lines in self._lines(tenant, json.loads(body), clearance, report):
                runs.add(lines)
            shard = runs.merged()
            self._artifacts.upload(shard, f"{prefix}/shards/{name}")
        facts = report.to_json() | {"part_sha256": digest, "rows": runs.rows}
        self._artifacts.put(f"{prefix}/reports/{name}", canonical_json(facts))
        return {"rows": runs.rows}

    def _report(self, key: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._artifacts.get(key))
        except NotFound:
            return {}
        return found

    def _lines(self, tenant: str, ids: list[str], clearance: Clearance, report: JoinReport) -> Iterator[list[bytes]]:
        """The fragments of some annotations at a time."""
        missing = set(ids)
        pauses = iter(SETTLING_PAUSES)  # for the whole part: the files of all pages settle in the same seconds
        for page in self._annotations.in_pages(tenant, ids, spilt=SPILT_AT_ONCE):
            raws = self._arrived(tenant, page, pauses)
            missing.difference_update(annotation.id for annotation in page)
            yield [
                line
                for annotation in sorted(page, key=lambda annotation: annotation.id)
                for line in fragment_lines(annotation, raws, report, needs=_needs(annotation.type), clearance=clearance)
            ]
        for id in sorted(missing):
            report.note("unknown_annotation", id)

    def _arrived(self, tenant: str, annotations: Collection[Annotation], pauses: Iterator[float]) -> dict[str, RawData]:
        """The raw data that annotations speak of, after a short wait for files whose S3 event is still on its way.

        Whoever uploads, labels and builds at once is quicker than the event, and a build freezes what it finds. Only
        annotations of the last minute are worth waiting for; older ones without a file are reported at once.
        """
        young = to_text(self._clock.now() - timedelta(seconds=YOUNG_S))
        hoped_for = {uid for entry in annotations if entry.created_at >= young for uid in entry.data_ids}
        found = self._raw_data.get_many(
            tenant, {uid for entry in annotations for uid in entry.data_ids}, consistent=True
        )
        while waiting := {uid for uid in hoped_for if uid not in found or found[uid].facts is None}:
            pause_s = next(pauses, None)
            if pause_s is None:
                break
            self._clock.sleep(pause_s)
            found |= self._raw_data.get_many(tenant, waiting, consistent=True)
        return found


@dataclass
class _Runs:
    """Lines that are sorted in runs on disk, so that memory holds one run."""

    folder: Path
    rows: int = 0
    _paths: list[Path] = field(default_factory=list)
    _lines: list[bytes] = field(default_factory=list)
    _size_bytes: int = 0

    def add(self, lines: list[bytes]) -> None:
        self.rows += len(lines)
        self._lines += lines
        self._size_bytes += sum(map(len, lines))
        if self._size_bytes > RUN_BYTES:
            self._write()

    def merged(self) -> Path:
        """One sorted file of all of them."""
        self._write()
        if len(self._paths) == 1:
            return self._paths[0]
        shard = self.folder / "shard"
        with shard.open("wb") as target:
            target.writelines(line + b"\n" for line in merged_lines(self._paths, self.folder))
        return shard

    def _write(self) -> None:
        path = self.folder / f"run-{len(self._paths)}"
        path.write_bytes(b"".join(line + b"\n" for line in sorted(self._lines)))
        self._paths.append(path)
        self._lines, self._size_bytes = [], 0


@lru_cache(64)
def _needs(annotation_type: str) -> Needs:
    kind = task_types.of_annotation_type(annotation_type)
    return "nothing" if kind is None else kind.needs
