"""The steps of dataset_build: freeze, plan, join, reduce, mark. Same membership, same bytes, whatever the sharding."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.residency import EVERYTHING, Clearance, Residency
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.manifests.merging import distinct, merged_lines
from dataloop.manifests.reducing import part_name
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.erasure_builds import ErasedMeanwhile
from dataloop.services.joining import Joiner
from dataloop.services.reducing import Reducer, result_prefix, work_prefix
from dataloop.services.tracking import TaskService
from dataloop.settings import Settings

log = logging.getLogger(__name__)

# What of index.json the version's record repeats.
REPORTED = (
    "counts",
    "labels",
    "statistics",
    "label_images",
    "labelled",
    "multi_label",
    "report",
    "residency",
    "splits",
)
PART_IDS = 1000  # ids per map item (design §6.3): some seconds of Lambda
# Parts that are written side by side while a version is planned: one PUT takes some 30 ms and no CPU.
WRITERS = 8
# Ready versions among the newest of a dataset: one page of the index is looked through for the anchor.
ANCHOR_PAGE = 100


class BuildService:
    """A `build` task freezes its version; a `download` task makes the same files of a draft and leaves it a draft."""

    def __init__(
        self,
        datasets: DatasetRepository,
        annotations: AnnotationRepository,
        raw_data: RawDataRepository,
        tasks: TaskService,
        artifacts: Bucket,
        clock: Clock,
        residency: Residency,
        settings: Settings,
        erased: ErasedMeanwhile,
    ) -> None:
        self._erased = erased
        self._residency = residency
        self._datasets = datasets
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock
        self._joiner = Joiner(annotations, raw_data, artifacts, clock)
        self._reducer = Reducer(datasets, artifacts, settings)

    def request_build(
        self, tenant: str, version_id: str, *, task_id: str | None = None, parent_id: str | None = None
    ) -> Task:
        """Freeze a draft and build it. Raises NotFound, IllegalTransition when it is built or being built.

        The freeze comes first: from then on no link can slip in between plan and result.
        parent_id: the run that will start the execution itself. A run may build a READY version again: same bytes.
        """
        version = self._get(tenant, version_id)
        id = task_id or self._clock.new_id()
        if version.status == "READY" and parent_id:
            wish = {"version_id": version_id}
            return self._tasks.create(tenant, "build", f"Dataset#{version_id}", wish, id=id, parent_id=parent_id)
        if version.task_id == id and version.status in ("READY", "FAILED"):
            return self._tasks.read(tenant, id)  # the same request again, after its build has ended
        if version.status not in ("DRAFT", "FAILED") and version.task_id != id:
            raise IllegalTransition("dataset", version_id, version.status, "building")
        task = self._tasks.create(
            tenant, "build", f"Dataset#{version_id}", {"version_id": version_id}, id=id, parent_id=parent_id
        )
        try:
            self._freeze(version, task)
        except IllegalTransition:
            self._tasks.fail(tenant, task.id, "IllegalTransition", "the dataset is being built by another task")
            raise
        return task if parent_id else self._tasks.start(task)

    def _freeze(self, version: DatasetVersion, task: Task) -> DatasetVersion:
        """From now on no link slips in; and the version that its splits go by is chosen, once for ever."""
        anchor_id = version.anchor_id or self._newest_ready(version)
        return self._datasets.move(
            version.tenant, version.id, "BUILDING", self._clock.text(), task_id=task.id, anchor_id=anchor_id
        )

    def _newest_ready(self, version: DatasetVersion) -> str | None:
        """E. The newest built version of the same dataset."""
        page, _ = self._datasets.list_versions(
            version.tenant, limit=ANCHOR_PAGE, cursor=None, dataset_id=version.dataset_id
        )
        return next((other.id for other in page if other.status == "READY"), None)

    def request_download(self, tenant: str, version_id: str, clearance: Clearance = EVERYTHING) -> Task:
        """The files of a version as they are now. A READY version answers at once; a draft is joined but not frozen.

        clearance: the caller's. Raises ResidencyViolation for a READY version that holds more; of a draft, what it does not
        let pass is left out.
        """
        version = self._get(tenant, version_id)
        wish = {"version_id": version_id, "clearance": clearance.to_json()}
        if version.status == "READY":
            clearance.require_holdings(version.report.get("residency") or {}, f"dataset {version_id}")
            task = self._tasks.create(tenant, "download", f"Dataset#{version_id}", wish)
            return self._tasks.succeed(task, self._download_result(version, version.manifest_prefix or ""))
        if version.status not in ("DRAFT", "FAILED"):
            raise IllegalTransition("dataset", version_id, version.status, "downloading")
        return self._tasks.start(self._tasks.create(tenant, "download", f"Dataset#{version_id}", wish))

    def _download_result(self, version: DatasetVersion, prefix: str) -> dict[str, Any]:
        index = json.loads(self._artifacts.get(f"{prefix}/index.json"))
        name = f"{version.name}-{version.version}.json".replace("/", "_").replace("\\", "_")
        return {
            "key": f"{prefix}/dataset.json",
            "file_name": name,
            "sha256": index["download"]["sha256"],
            "size_bytes": index["download"]["size_bytes"],
            "digest": index["digest"],
        }

    def download_link(self, task: Task) -> str | None:
        """A fresh link to the file of a finished download or build."""
        key = task.result.get("key")
        return self._artifacts.link(key, file_name=task.result.get("file_name")) if key else None

    def plan(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Merge the segments into one sorted list of ids, and write it in parts of 1,000, one S3 object each."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "plan")
        version = self._version_of(task)
        if task.kind == "build" and version.status in ("DRAFT", "FAILED"):
            # The request died between its task and the freeze, and a sweep started the task: freeze now.
            version = self._freeze(version, task)
        prefix = work_prefix(task)
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for index, segment in enumerate(self._datasets.segments(tenant, version.id)):
                path = Path(folder, f"segment-{index}")
                self._artifacts.download(segment.key, path)
                paths.append(path)
            members = Path(folder, "members.txt")
            parts, total = self._write_parts(distinct(merged_lines(paths, Path(folder))), prefix, members)
            self._artifacts.upload(members, f"{prefix}/members.txt")
            with members.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # Last: a reduce goes by it, and finds everything that it names.
        facts = {"parts": parts, "ids": total, "members_sha256": sha256}
        self._artifacts.put(f"{prefix}/plan.json", canonical_json(facts))
        self._tasks.note(task, phase="join", progress={"done": 0, "total": total, "unit": "annotation"})
        return {"bucket": self._artifacts.name, "parts_prefix": f"{prefix}/parts/", "parts": parts, "ids": total}

    def _write_parts(self, ids: Iterator[bytes], prefix: str, members: Path) -> tuple[int, int]:
        """Every PART_IDS ids one object, all of them into `members`. Returns how many parts and ids."""
        parts = total = 0
        with members.open("wb") as target, ThreadPoolExecutor(WRITERS) as pool:
            while batch := [part for _ in range(WRITERS) if (part := list(itertools.islice(ids, PART_IDS)))]:
                bodies = [canonical_json([id.decode() for id in part]) for part in batch]
                keys = [f"{prefix}/parts/{part_name(parts + number)}" for number in range(len(batch))]
                # A batch is written before the next is read: that keeps memory flat, and raises what failed.
                for _ in pool.map(self._artifacts.put, keys, bodies):
                    pass
                for part in batch:
                    target.write(b"\n".join(part) + b"\n")
                    total += len(part)
                parts += len(batch)
        return parts, total

    def join(self, tenant: str, task_id: str, part_key: str) -> dict[str, Any]:
        """Read a part's annotations and raw data and write its rows, sorted by image. Done once, it is not done again."""
        return self._joiner.join(tenant, part_key, self._clearance(self._tasks.read(tenant, task_id)))

    def _clearance(self, task: Task) -> Clearance:
        """What the files of a task may hold: the version's own restriction within the deployment's and the caller's."""
        caller = Clearance.from_json(task.parameters.get("clearance") or {})
        return caller.within(self._residency.clearance(self._version_of(task).residency))

    def reduce(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Merge all parts' rows by image, split them, write the manifest and its digest; or say which job does it."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "reduce")
        return self._reducer.reduce(task, self._version_of(task))

    def publish(self, tenant: str, task_id: str) -> dict[str, Any]:
        """After a reduce that ran as a job: take over its files. The answer is that of `reduce`."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "publish")
        return self._reducer.publish(task, self._version_of(task))

    def mark_ready(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The version becomes READY for ever (build), or the file is offered (download)."""
        task = self._tasks.read(tenant, task_id)
        version = self._version_of(task)
        target = result_prefix(task, version)
        if task.kind == "build" and version.status == "BUILDING":
            self._erased.leave_out(version, target)
        result = self._download_result(version, target)
        if task.kind == "build":
            index = json.loads(self._artifacts.get(f"{target}/index.json"))
            self._settle(task, version, index, target)
            result |= {"version_id": version.id, "counts": index["counts"], "report": index["report"]}
        self._tasks.succeed(task, result)
        return {"version_id": version.id, "digest": result["digest"]}

    def _settle(self, task: Task, version: DatasetVersion, index: Mapping[str, Any], target: str) -> None:
        """READY with its digest; a version that was READY already came out the same, or reduce had failed."""
        if version.status == "READY":
            return
        self._datasets.move(
            task.tenant,
            version.id,
            "READY",
            self._clock.text(),
            task_id=task.id,
            digest=index["digest"],
            manifest_prefix=target,
            report={name: index[name] for name in REPORTED},
        )

    def end_build(self, task: Task) -> None:
        """A failed or stopped build leaves its version FAILED: it can be built again. Another task's build goes on."""
        version_id = str(task.parameters["version_id"])
        try:
            self._datasets.move(task.tenant, version_id, "FAILED", self._clock.text(), owner=task.id)
        except (IllegalTransition, NotFound):
            log.info("the version of a failed build had moved on", extra={"version_id": version_id})

    def _get(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        return version

    def _version_of(self, task: Task) -> DatasetVersion:
        return self._get(task.tenant, str(task.parameters["version_id"]))
