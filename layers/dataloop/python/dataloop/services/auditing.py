"""The steps of a `verify` task: does a version, down to the objects in S3, still hold what its digest says?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, LimitExceeded, NotFound
from dataloop.domain.manifest import JoinReport
from dataloop.domain.proofs import proved_digest
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.manifests.verifying import verify_files
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.services.tracking import TaskService

# HEAD requests at a time: S3 answers one in some 20 ms, and the step has 600 s.
THREADS = 16
# Beyond it every n-th image is looked at, and the result says so: 100,000 HEADs take some minutes.
MAX_LOOKED_AT = 100_000
CHUNK = 500
# The step has 10 GB of disk. dataset.json is the largest file of a version.
MAX_VERIFY_BYTES = 8 * 1024**3
REPORT = "report.json"
# What makes a version unsound. An object without a checksum in S3 and an id nobody can prove are only reported.
WRONG = ("missing_object", "changed_object", "missing_annotation", "model_digest")


@dataclass
class _Findings:
    """How many were looked at, proved, and what is wrong, with examples."""

    report: JoinReport = field(default_factory=JoinReport)
    looked_at: int = 0
    proved_objects: int = 0
    annotations: int = 0
    proved_annotations: int = 0


class AuditService:
    """Recomputes digests from the bytes that are there now; trusts no stored number."""

    def __init__(
        self,
        datasets: DatasetRepository,
        models: ModelRepository,
        annotations: AnnotationRepository,
        tasks: TaskService,
        artifacts: Bucket,
        raw: Bucket,
    ) -> None:
        self._datasets = datasets
        self._models = models
        self._annotations = annotations
        self._tasks = tasks
        self._artifacts = artifacts
        self._raw = raw

    def request(self, tenant: str, version_id: str, task_id: str) -> Task:
        """Verify a READY version. Raises NotFound, IllegalTransition, LimitExceeded. Cost: 1 read, 1 listing, 1 task."""
        size_bytes = sum(size for _, size in self._files(self._ready(tenant, version_id)))
        if size_bytes > MAX_VERIFY_BYTES:
            raise LimitExceeded("verification: bytes of the version", MAX_VERIFY_BYTES, size_bytes)
        wish = {"version_id": version_id}
        return self._tasks.start(self._tasks.create(tenant, "verify", f"Dataset#{version_id}", wish, id=task_id))

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """{"mode": "run"}, or {"mode": "done"} when it is done already."""
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"mode": "done"}
        self._tasks.begin(task, "verify")
        return {"mode": "run"}

    def run(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Download the version, recompute its digests, ask S3 for each object and the table for each annotation.

        Cost: a GET per file of the version, a HEAD per image, a BatchGet per 100 annotations, 1 PUT.
        """
        task = self._tasks.read(tenant, task_id)
        version = self._ready(tenant, str(task.parameters["version_id"]))
        found = _Findings()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for key, _ in self._files(version):
                self._artifacts.download(key, folder / key.rpartition("/")[2])
            verdict = verify_files(lambda name: (folder / name).open("rb"), digest=version.digest)
            images = sum(verdict.counts.values())
            step = -(-images // MAX_LOOKED_AT) or 1
            with (folder / "objects.jsonl").open("rb") as lines:
                self._look_at(tenant, (json.loads(line) for line in islice(lines, 0, None, step)), found)
        for model in self._models.of_version(tenant, version.id):
            if model.dataset.get("digest") != version.digest:
                found.report.note("model_digest", model.id)
        result = {
            "dataset_id": version.id,
            "digest": version.digest,
            "computed_digest": verdict.digest,
            "sound": verdict.is_sound and not any(found.report.counts.get(name) for name in WRONG),
            "problems": [{"file": problem.file, "reason": problem.reason} for problem in verdict.problems],
            "counts": verdict.counts,
            "erased": verdict.erased,
            "images": {"all": images, "looked_at": found.looked_at, "proved": found.proved_objects},
            "annotations": {"looked_at": found.annotations, "proved": found.proved_annotations},
            "report": found.report.to_json(),
        }
        self._artifacts.put(f"{_prefix(task)}/{REPORT}", canonical_json(result))
        return {"task_id": task.id}

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The verdict becomes the task's result: a version that is not sound is a finding, not a failed task."""
        task = self._tasks.read(tenant, task_id)
        if task.status != "SUCCEEDED":
            result = json.loads(self._artifacts.get(f"{_prefix(task)}/{REPORT}"))
            self._tasks.succeed(task, result | {"files": self._tasks.files_below(_prefix(task))})
        return {"task_id": task.id}

    def _look_at(self, tenant: str, places: Iterator[dict[str, Any]], found: _Findings) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            while chunk := list(islice(places, CHUNK)):
                for place, problem in zip(chunk, pool.map(self._object_problem, chunk), strict=True):
                    found.looked_at += 1
                    found.proved_objects += problem is None
                    if problem is not None:
                        found.report.note(problem, place["uid"])
                self._check_annotations(tenant, (id for place in chunk for id in place["annotation_ids"]), found)

    def _object_problem(self, place: dict[str, Any]) -> str | None:
        """Why an object version is not proved to be the bytes of the row; None when it is."""
        stored = self._raw.head(place["key"], place["version_id"])
        if stored is None:
            return "missing_object"
        if stored.sha256 is not None:
            return None if stored.sha256 == place["sha256"] else "changed_object"
        # Uploaded in parts, or copied in without a checksum: its version id and size are all that S3 knows.
        return "object_without_checksum" if stored.size_bytes == place["size_bytes"] else "changed_object"

    def _check_annotations(self, tenant: str, ids: Iterable[str], found: _Findings) -> None:
        wanted = sorted(set(ids))
        known = self._annotations.get_many(tenant, wanted)
        for id in wanted:
            found.annotations += 1
            if id not in known:
                found.report.note("missing_annotation", id)
            elif proved_digest(known[id]) is None:
                found.report.note("unproved_annotation", id)
            else:
                found.proved_annotations += 1

    def _files(self, version: DatasetVersion) -> list[tuple[str, int]]:
        return list(self._artifacts.keys(f"{version.manifest_prefix}/"))

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "verifying")
        return version


def _prefix(task: Task) -> str:
    return f"{task.tenant}/verifications/{task.id}"
