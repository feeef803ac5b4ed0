"""The steps of a `diff` task: what changed from one built version to another, as files and as numbers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.domain.splits import SPLITS
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.manifests.diff_report import FILES, write_diff
from dataloop.manifests.diffing import TOMBSTONES
from dataloop.repositories.datasets import DatasetRepository
from dataloop.services.tracking import TaskService

INPUTS = (*(f"{split}.jsonl" for split in SPLITS), TOMBSTONES, "index.json")
# Both versions together: the step has 10 GB of disk, and a diff of everything is twice as large as what it compares.
# At 400 bytes a row these are 7 million images.
MAX_DIFF_BYTES = 3 * 1024**3


class DiffService:
    """Compares any two READY versions of a tenant, of one dataset or of two."""

    def __init__(self, datasets: DatasetRepository, tasks: TaskService, artifacts: Bucket) -> None:
        self._datasets = datasets
        self._tasks = tasks
        self._artifacts = artifacts

    def request(
        self, tenant: str, version_id: str, other_id: object, task_id: str, clearance: Clearance = EVERYTHING
    ) -> Task:
        """What changed from version_id to other_id. Raises NotFound, InvalidInput, IllegalTransition (not READY),
        LimitExceeded (bytes of both), ResidencyViolation.

        Cost: 2 reads, 2 listings, 1 task.
        """
        if not isinstance(other_id, str) or not other_id:
            raise InvalidInput("other", "must be the dataset_id of a built version", other_id)
        size_bytes = 0
        for id in (version_id, other_id):
            version = self._ready(tenant, id)
            clearance.require_holdings(version.report.get("residency") or {}, f"dataset {id}")
            size_bytes += sum(self._files(version).values())
        if size_bytes > MAX_DIFF_BYTES:
            raise LimitExceeded("diff: bytes of both versions", MAX_DIFF_BYTES, size_bytes)
        wish = {"version_id": version_id, "other_id": other_id}
        return self._tasks.start(self._tasks.create(tenant, "diff", f"Dataset#{version_id}", wish, id=task_id))

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """{"mode": "run"}: one function does it; {"mode": "done"}: it is done already."""
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"mode": "done"}
        self._tasks.begin(task, "compare")
        return {"mode": "run"}

    def run(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Write diff.jsonl, summary.json and diff.html; again they are the same.

        Cost: a GET per file of both versions (up to 10), 3 PUTs.
        """
        task = self._tasks.read(tenant, task_id)
        sides = {
            "before": self._ready(tenant, str(task.parameters["version_id"])),
            "after": self._ready(tenant, str(task.parameters["other_id"])),
        }
        with tempfile.TemporaryDirectory() as folder:
            for side, version in sides.items():
                Path(folder, side).mkdir()
                for name in self._files(version):
                    self._artifacts.download(f"{version.manifest_prefix}/{name}", Path(folder, side, name))
            target = Path(folder, "diff")
            names = {side: _names(version) for side, version in sides.items()}
            write_diff(Path(folder, "before"), Path(folder, "after"), target, names)
            for name in FILES:
                self._artifacts.upload(target / name, f"{_prefix(task)}/{name}")
        return {"task_id": task.id}

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The numbers become the task's result, with the files beside them. Again it changes nothing."""
        task = self._tasks.read(tenant, task_id)
        if task.status != "SUCCEEDED":
            summary = json.loads(self._artifacts.get(f"{_prefix(task)}/summary.json"))
            self._tasks.succeed(task, summary | {"files": self._tasks.files_below(_prefix(task))})
        return {"task_id": task.id}

    def _files(self, version: DatasetVersion) -> dict[str, int]:
        """The files to compare that a version has, with their sizes. 1 call."""
        prefix = f"{version.manifest_prefix}/"
        found = {key.removeprefix(prefix): size for key, size in self._artifacts.keys(prefix)}
        return {name: found[name] for name in INPUTS if name in found}

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "comparing")
        return version


def _prefix(task: Task) -> str:
    return f"{task.tenant}/diffs/{task.id}"


def _names(version: DatasetVersion) -> Mapping[str, Any]:
    return {
        "dataset_id": version.id,
        "series_id": version.dataset_id,
        "name": version.name,
        "version": version.version,
        "created_at": version.created_at,
    }
