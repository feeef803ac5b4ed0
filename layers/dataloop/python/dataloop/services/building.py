"""The steps of dataset_build: freeze, plan, join, reduce, mark. Same membership, same bytes, whatever the sharding."""

from __future__ import annotations

import itertools
import json
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from dataloop.catalog import task_types
from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.manifest import JoinReport, Needs, fragments
from dataloop.domain.raw_data import RawData
from dataloop.domain.tasks import Task
from dataloop.domain.times import to_text
from dataloop.gateways.objects import Bucket
from dataloop.manifests.merging import distinct, merged_lines
from dataloop.manifests.writer import ManifestWriter
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.tracking import TaskService

log = logging.getLogger(__name__)

# An S3 event takes about a second to become a record; thirteen seconds leave room for a busy queue.
YOUNG_S = 60
SETTLING_PAUSES = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
# Label names, statistics and per-class metrics live in items of at most 400 KB; 1,500 names use half of that.
MAX_LABEL_NAMES = 1500
PART_IDS = 1000  # ids per map item (design §6.3): some seconds of Lambda
# Annotations in memory at a time. Of the largest (4 MB of polygons each), 25 take 0.8 GB with their rows; a step has 2 GB.
JOINED_AT_ONCE = 25


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
    ) -> None:
        self._datasets = datasets
        self._annotations = annotations
        self._raw_data = raw_data
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock

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
            self._datasets.move(tenant, version_id, "BUILDING", self._clock.text(), task_id=task.id)
        except IllegalTransition:
            self._tasks.fail(tenant, task.id, "IllegalTransition", "the dataset is being built by another task")
            raise
        return task if parent_id else self._tasks.start(task)

    def request_download(self, tenant: str, version_id: str) -> Task:
        """The files of a version as they are now. A READY version answers at once; a draft is joined but not frozen."""
        version = self._get(tenant, version_id)
        if version.status == "READY":
            task = self._tasks.create(tenant, "download", f"Dataset#{version_id}", {"version_id": version_id})
            return self._tasks.succeed(task, self._download_result(version, version.manifest_prefix or ""))
        if version.status not in ("DRAFT", "FAILED"):
            raise IllegalTransition("dataset", version_id, version.status, "downloading")
        task = self._tasks.create(tenant, "download", f"Dataset#{version_id}", {"version_id": version_id})
        return self._tasks.start(task)

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
            version = self._datasets.move(tenant, version.id, "BUILDING", self._clock.text(), task_id=task.id)
        prefix = self._work_prefix(task)
        total = parts = 0
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for index, segment in enumerate(self._datasets.segments(tenant, version.id)):
                path = Path(folder, f"segment-{index}")
                self._artifacts.download(segment.key, path)
                paths.append(path)
            members = Path(folder, "members.txt")
            with members.open("wb") as target:
                ids = distinct(merged_lines(paths, Path(folder)))
                for index in itertools.count():
                    part = [line.decode() for line in itertools.islice(ids, PART_IDS)]
                    if not part:
                        break
                    self._artifacts.put(f"{prefix}/parts/part-{index:05d}.json", canonical_json(part))
                    target.write(("\n".join(part) + "\n").encode())
                    total, parts = total + len(part), index + 1
            self._artifacts.upload(members, f"{prefix}/members.txt")
        self._tasks.note(task, phase="join", progress={"done": 0, "total": total, "unit": "annotation"})
        return {"bucket": self._artifacts.name, "parts_prefix": f"{prefix}/parts/", "parts": parts, "ids": total}

    def join(self, tenant: str, task_id: str, part_key: str) -> dict[str, Any]:
        """Read a part's annotations and raw data and write its rows, sorted by image. Reads: 1 call per 25 items."""
        ids: list[str] = json.loads(self._artifacts.get(part_key))
        prefix, name = part_key.rsplit("/parts/", 1)
        report = JoinReport()
        count = 0
        pauses = iter(SETTLING_PAUSES)  # for the whole part: the files of all batches settle in the same seconds
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for start in range(0, len(ids), JOINED_AT_ONCE):
                rows = self._rows(tenant, ids[start : start + JOINED_AT_ONCE], pauses, report)
                paths.append(Path(folder, f"rows-{start}"))
                paths[-1].write_bytes(b"".join(row + b"\n" for row in rows))
                count += len(rows)
            shard = Path(folder, "shard")
            with shard.open("wb") as target:
                target.writelines(line + b"\n" for line in merged_lines(paths, Path(folder)))
            self._artifacts.upload(shard, f"{prefix}/shards/{name}")
        self._artifacts.put(f"{prefix}/reports/{name}", canonical_json(report.to_json()))
        return {"rows": count}

    def _rows(self, tenant: str, ids: list[str], pauses: Iterator[float], report: JoinReport) -> list[bytes]:
        """Sorted lines "uid, annotation id, fragment" of some annotations."""
        annotations = self._annotations.get_many(tenant, ids, consistent=True)
        raws = self._arrived(tenant, annotations.values(), pauses)
        rows: list[bytes] = []
        for id in ids:
            if id not in annotations:
                report.note("unknown_annotation", id)
                continue
            rows.extend(
                f"{fragment['uid']}\t{id}\t".encode() + canonical_json(fragment)
                for fragment in fragments(annotations[id], raws, report, needs=_needs(annotations[id]))
            )
        return sorted(rows)

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

    def reduce(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Merge all parts' rows by image, split them, write the manifest and its digest."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "reduce")
        version = self._version_of(task)
        prefix = self._work_prefix(task)
        report = JoinReport()
        for key, _ in self._artifacts.keys(f"{prefix}/reports/"):
            report.add(json.loads(self._artifacts.get(key)))
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for key, size in self._artifacts.keys(f"{prefix}/shards/"):
                if size:
                    path = Path(folder, f"shard-{PurePosixPath(key).name}")
                    self._artifacts.download(key, path)
                    paths.append(path)
            writer = ManifestWriter(Path(folder, "manifest"), version, report)
            by_uid = itertools.groupby(merged_lines(paths, Path(folder)), key=lambda line: line[:32])
            for _, lines in by_uid:
                writer.add([json.loads(line.split(b"\t", 2)[2]) for line in lines])
            index = writer.close()
            target = self._result_prefix(task, version)
            for path in sorted(Path(folder, "manifest").iterdir(), key=lambda path: path.name == "index.json"):
                self._artifacts.upload(path, f"{target}/{path.name}")
        self._artifacts.copy(f"{prefix}/members.txt", f"{target}/members.txt")
        rows, labels = sum(index["counts"].values()), len(index["labels"])
        reason = ""
        if rows == 0:
            reason = f"no image is left to build from: {self._explain(report)}"
        elif labels == 0 and task.kind == "build":
            reason = f"no label is left to learn from: {self._explain(report)}"
        elif labels > MAX_LABEL_NAMES and task.kind == "build":
            reason = f"{labels} different labels; at most {MAX_LABEL_NAMES} fit a version's record"
        return {"rows": rows, "labels": labels, "passed": not reason, "reason": reason, "digest": index["digest"]}

    @staticmethod
    def _explain(report: JoinReport) -> str:
        words = [
            f"{count} {what.replace('_', ' ')} (e.g. {report.examples[what][0]})"
            for what, count in report.counts.items()
        ]
        return ", ".join(words) or "the linked annotations carry none"

    def mark_ready(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The version becomes READY for ever (build), or the file is offered (download)."""
        task = self._tasks.read(tenant, task_id)
        version = self._version_of(task)
        target = self._result_prefix(task, version)
        result = self._download_result(version, target)
        if task.kind == "build":
            index = json.loads(self._artifacts.get(f"{target}/index.json"))
            self._settle(task, version, index, target)
            result |= {"version_id": version.id, "counts": index["counts"], "report": index["report"]}
        self._tasks.succeed(task, result)
        return {"version_id": version.id, "digest": result["digest"]}

    def _settle(self, task: Task, version: DatasetVersion, index: Mapping[str, Any], target: str) -> None:
        """READY with its digest; a version that was READY already must have come out the same."""
        if version.status == "READY":
            if version.digest != index["digest"]:
                raise InvalidInput("digest", f"the rebuild differs from {version.digest}", index["digest"])
            return
        self._datasets.move(
            task.tenant,
            version.id,
            "READY",
            self._clock.text(),
            task_id=task.id,
            digest=index["digest"],
            manifest_prefix=target,
            report={name: index[name] for name in ("counts", "labels", "statistics", "report")},
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

    @staticmethod
    def _work_prefix(task: Task) -> str:
        return f"{task.tenant}/builds/{task.id}"

    @staticmethod
    def _result_prefix(task: Task, version: DatasetVersion) -> str:
        if task.kind == "download":
            return f"{task.tenant}/downloads/{task.id}"
        return f"{task.tenant}/manifests/{version.id}"


def _needs(annotation: Annotation) -> Needs:
    kind = task_types.of_annotation_type(annotation.type)
    return "nothing" if kind is None else kind.needs
