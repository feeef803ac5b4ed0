"""The reduce of a build: all parts become the files of the version, in this function or, when large, in a job."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import InvalidInput
from dataloop.domain.manifest import version_digest_1
from dataloop.domain.splits import SPLITS
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.manifests.reducing import (
    ANCHOR,
    LISTS,
    SPEC,
    TOMBSTONES,
    ReduceInput,
    ReduceSpec,
    part_name,
    reduce_parts,
)
from dataloop.repositories.datasets import DatasetRepository
from dataloop.services.job_inputs import folder_input
from dataloop.settings import Settings

# Label names, statistics and per-class metrics live in items of at most 400 KB; 1,500 names use half of that.
MAX_LABEL_NAMES = 1500
MAX_RUNTIME_S = 4 * 3600
# Disk of the job: the parts' rows, merged rows, the spool and the files are four copies of them, and as much to spare.
VOLUME_FACTOR = 8
MIN_VOLUME_GB, MAX_VOLUME_GB = 30, 1024


def work_prefix(task: Task) -> str:
    """Where a build's intermediate files are."""
    return f"{task.tenant}/builds/{task.id}"


def result_prefix(task: Task, version: DatasetVersion) -> str:
    """Where the finished files are: for ever those of a build, for a while those of a download."""
    if task.kind == "download":
        return f"{task.tenant}/downloads/{task.id}"
    return f"{task.tenant}/manifests/{version.id}"


class Reducer:
    """Gathers what `manifests.reducing` needs, decides where it runs, and publishes what it wrote."""

    def __init__(self, datasets: DatasetRepository, artifacts: Bucket, settings: Settings) -> None:
        self._datasets = datasets
        self._artifacts = artifacts
        self._settings = settings

    def reduce(self, task: Task, version: DatasetVersion) -> dict[str, Any]:
        """Merge all parts and publish the files; or, when they are too large for a step, say which job does it.

        mode "done": rows, labels, digest, passed, reason. mode "processing": what CreateProcessingJob needs.
        """
        work = work_prefix(task)
        size_bytes = sum(size for _, size in self._artifacts.keys(f"{work}/shards/"))
        if size_bytes > self._settings.step_reduce_bytes:
            self._lay_out(task, version)
            return self._job(task, size_bytes)
        with tempfile.TemporaryDirectory() as name:
            folder, target = Path(name), Path(name, "manifest")
            given = self._download(task, version, folder)
            try:
                index = reduce_parts(self._spec(task, version), given, folder, target)
            except InvalidInput as refused:
                return _refusal(str(refused))
            self._publish_folder(task, version, target, index)
        return _judged(task, index)

    def publish(self, task: Task, version: DatasetVersion) -> dict[str, Any]:
        """Take over the files that the job wrote. Copies inside the bucket; the answer is that of `reduce`."""
        source = f"{work_prefix(task)}/manifest"
        found = json.loads(self._artifacts.get(f"{source}/result.json"))
        if found["refused"]:
            return _refusal(found["refused"])
        index = json.loads(self._artifacts.get(f"{source}/index.json"))
        if not self._is_rebuild(task, version, index):
            target = result_prefix(task, version)
            for name in (*sorted(index["files"]), "index.json"):
                origin = work_prefix(task) if name == "members.txt" else source
                self._artifacts.copy(f"{origin}/{name}", f"{target}/{name}")
        return _judged(task, index)

    def _spec(self, task: Task, version: DatasetVersion) -> ReduceSpec:
        plan = json.loads(self._artifacts.get(f"{work_prefix(task)}/plan.json"))
        names = {"name": version.name, "version": version.version, "dataset_id": version.id, "info": dict(version.info)}
        spec = ReduceSpec(
            names, version.split, plan["parts"], version.anchor_id, files={"members.txt": plan["members_sha256"]}
        )
        if version.erased:
            # What was deleted may have decided where others went, and which labels there are.
            spec = replace(
                spec, policy=replace(version.split, stable=True), labels=tuple(version.report.get("labels") or ())
            )
        return replace(spec, is_rebuild=version.status == "READY")

    def _optional(self, version: DatasetVersion, policy_is_stable: bool) -> Iterator[tuple[str, str]]:
        """(name, key) of the inputs that this version has."""
        if policy_is_stable:
            # Built again, a version is its own anchor: nothing moves, whatever was deleted since.
            anchor = version if version.status == "READY" else self._anchor(version)
            if anchor is not None and anchor.manifest_prefix:
                yield ANCHOR, f"{anchor.manifest_prefix}/objects.jsonl"
        if version.split.lists:
            yield LISTS, f"{version.tenant}/splits/{version.split.lists}.txt"
        if version.erased:
            yield TOMBSTONES, f"{version.manifest_prefix}/tombstones.jsonl"

    def _anchor(self, version: DatasetVersion) -> DatasetVersion | None:
        return self._datasets.get_version(version.tenant, version.anchor_id) if version.anchor_id else None

    def _download(self, task: Task, version: DatasetVersion, folder: Path) -> ReduceInput:
        work, spec = work_prefix(task), self._spec(task, version)
        for area in ("shards", "reports"):
            (folder / area).mkdir()
            for number in range(spec.parts):
                name = part_name(number)
                self._artifacts.download(f"{work}/{area}/{name}", folder / area / name)
        found = {}
        for name, key in self._optional(version, spec.policy.stable):
            found[name] = folder / name
            self._artifacts.download(key, folder / name)
        return ReduceInput(
            folder / "shards", folder / "reports", found.get(ANCHOR), found.get(LISTS), found.get(TOMBSTONES)
        )

    def _publish_folder(self, task: Task, version: DatasetVersion, folder: Path, index: Mapping[str, Any]) -> None:
        if self._is_rebuild(task, version, index):
            return
        target = result_prefix(task, version)
        self._artifacts.copy(f"{work_prefix(task)}/members.txt", f"{target}/members.txt")
        for path in sorted(folder.iterdir(), key=lambda path: path.name == "index.json"):
            self._artifacts.upload(path, f"{target}/{path.name}")

    def _is_rebuild(self, task: Task, version: DatasetVersion, index: Mapping[str, Any]) -> bool:
        """A READY version's files are never written again; they must only come out the same.

        Raises InvalidInput(digest) when they do not.
        """
        if task.kind != "build" or version.status != "READY":
            return False
        before = json.loads(self._artifacts.get(f"{version.manifest_prefix}/index.json"))
        digest = index["digest"]
        if before["format"] == 1:
            files = {split: index["files"][f"{split}.jsonl"] for split in SPLITS}
            digest = version_digest_1(files, index["labels"])
            if version.erased:  # its digest was made of whole files: only the rows can be compared
                digest = version.digest if index["rows"] == before.get("rows") else digest
        if digest != version.digest:
            raise InvalidInput("digest", f"the rebuild differs from {version.digest}", digest)
        return True

    def _lay_out(self, task: Task, version: DatasetVersion) -> None:
        """The job's small inputs beside the parts."""
        target, spec = f"{work_prefix(task)}/reduce", self._spec(task, version)
        for name, key in self._optional(version, spec.policy.stable):
            self._artifacts.copy(key, f"{target}/{name}")
        self._artifacts.put(f"{target}/{SPEC}", canonical_json(spec.to_json()))

    def _job(self, task: Task, size_bytes: int) -> dict[str, Any]:
        settings, work = self._settings, work_prefix(task)
        folders = {"code": settings.code_uri} | {
            name: self._artifacts.uri(f"{work}/{name}/") for name in ("shards", "reports", "reduce")
        }
        gigabytes = VOLUME_FACTOR * size_bytes // 2**30
        return {
            "mode": "processing",
            "passed": False,
            "reason": "",
            "job_name": f"{task.job_name}-reduce",
            "image": settings.processing_image,
            "instance_type": settings.processing_instance,
            "volume_gb": min(max(gigabytes, MIN_VOLUME_GB), MAX_VOLUME_GB),
            "role_arn": settings.job_role_arn,
            "processing_inputs": [folder_input(name, uri) for name, uri in folders.items()],
            "output_uri": self._artifacts.uri(f"{work}/manifest"),
            "max_runtime_s": MAX_RUNTIME_S,
        }


def _judged(task: Task, index: Mapping[str, Any]) -> dict[str, Any]:
    """Is the version good enough to be READY?"""
    rows, labels = sum(index["counts"].values()), len(index["labels"])
    reason = ""
    if rows == 0:
        reason = f"no image is left to build from: {_explain(index['report'])}"
    elif labels == 0 and task.kind == "build":
        reason = f"no label is left to learn from: {_explain(index['report'])}"
    elif labels > MAX_LABEL_NAMES and task.kind == "build":
        reason = f"{labels} different labels; at most {MAX_LABEL_NAMES} fit a version's record"
    facts = {"rows": rows, "labels": labels, "digest": index["digest"]}
    return {"mode": "done", "passed": not reason, "reason": reason} | facts


def _refusal(reason: str) -> dict[str, Any]:
    return {"mode": "done", "passed": False, "reason": reason, "rows": 0, "labels": 0, "digest": ""}


def _explain(report: Mapping[str, Any]) -> str:
    words = [
        f"{count} {what.replace('_', ' ')} (e.g. {report['examples'][what][0]})"
        for what, count in report["counts"].items()
    ]
    return ", ".join(words) or "the linked annotations carry none"
