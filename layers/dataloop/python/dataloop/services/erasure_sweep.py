"""Walks over everything that was derived from images, folder by folder, and erases images from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.erasure import Deletion
from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.models import Model
from dataloop.domain.splits import SPLITS
from dataloop.domain.tasks import KINDS, Task
from dataloop.domain.times import from_text, to_text
from dataloop.gateways.erasable import ErasableBucket
from dataloop.manifests.scrubbing import names_any, scrub_json
from dataloop.manifests.tombstones import INDEX
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.erasures import ErasureRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.queries import QueryRepository
from dataloop.services.erasure_copies import TELLING, Cleaned, CopyEraser, has_tombstone, holds_any
from dataloop.services.tracking import TaskService

VERSIONS, TASKS, SPLIT_LISTS = "manifests", "tasks", "splits"
# Folders {tenant}/{area}/{id}/ by what is done with one that a deletion concerns:
# work files of builds are of no use once the build has ended;
WORK = ("builds",)
# files that can be made again from the cleaned version go whole;
REMADE = ("downloads", "diffs", "verifications", "dataset-exports")
# what a job read and left is kept without the images.
KEPT = ("training", "models", "evaluations", "exports", "analyses", "imports")
FOLDERS = (*WORK, *REMADE, *KEPT)
REPORTED = (
    "counts",
    "labels",
    "statistics",
    "report",
    "residency",
    "splits",
    "label_images",
    "labelled",
    "multi_label",
)


class CopySweeper:
    """Decides what a deletion concerns. A version says so by its index of uids or its tombstones, a folder by the versions
    that its task names, or by its own lists of images."""

    def __init__(
        self,
        erasures: ErasureRepository,
        datasets: DatasetRepository,
        models: ModelRepository,
        tasks: TaskService,
        queries: QueryRepository,
        artifacts: ErasableBucket,
    ) -> None:
        self._erasures = erasures
        self._datasets = datasets
        self._models = models
        self._tasks = tasks
        self._artifacts = artifacts
        self._queries = queries
        self._eraser = CopyEraser(artifacts)

    def ids(self, tenant: str, area: str) -> Iterator[str]:
        """The folders of an area."""
        return self._artifacts.folders(f"{tenant}/{area}/")

    def concerns_version(self, tenant: str, version_id: str, uids: Collection[str], deletion_id: str) -> bool:
        """Does a version hold, or did it hold, any of these images? 2 or more GETs."""
        prefix = f"{tenant}/{VERSIONS}/{version_id}"
        return holds_any(self._artifacts, prefix, uids) or has_tombstone(self._artifacts, prefix, uids, deletion_id)

    def erase_version(
        self, deletion: Deletion, version_id: str, uids: Collection[str], found_key: str
    ) -> dict[str, Any] | None:
        """One version's files. Returns what changed, None when nothing did.

        A build that is under way leaves the images out itself (`settle_build`); what an earlier try of it left goes.
        """
        tenant, prefix = deletion.tenant, f"{deletion.tenant}/{VERSIONS}/{version_id}"
        version = self._datasets.get_version(tenant, version_id)
        if version is None or version.status in ("DRAFT", "FAILED"):
            done = self._eraser.purge(f"{prefix}/")
            return done.to_json() if done.is_touched else None
        if version.status == "BUILDING":
            self._remove_before(f"{prefix}/", self._tasks.read(tenant, str(version.task_id)).created_at)
            return None
        if version.manifest_prefix is None:
            self._eraser.remove_old(f"{prefix}/")
            return None
        if not self.concerns_version(tenant, version_id, uids, deletion.id):
            self._eraser.remove_old(f"{prefix}/")
            return None
        before = self._before(f"{prefix}/{INDEX}", found_key)
        struck = self._eraser.erase_version(version, uids, deletion.id, str(deletion.marked_at))
        assert struck is not None  # it is concerned
        self._mark(version, deletion, struck.index, {split: len(found) for split, found in struck.images.items()})
        return {
            "version_id": version.id,
            "dataset_name": version.name,
            "dataset_version": version.version,
            "digest_before": before["digest"],
            "digest_after": struck.index["digest"],
            "index_sha256_before": before["sha256"],
            "index_sha256_after": hashlib.sha256(canonical_json(struck.index)).hexdigest(),
            "format": struck.index["format"],
            "images": struck.images,
        }

    def _mark(
        self, version: DatasetVersion, deletion: Deletion, index: Mapping[str, Any], images: Mapping[str, int]
    ) -> None:
        report = {name: index[name] for name in REPORTED if name in index}
        kept = {name: value for name, value in version.report.items() if name not in report}
        facts = {"at": deletion.marked_at, "splits": dict(images)}
        self._erasures.touch_version(version, deletion.id, facts, erased=index["erased"], report=kept | report)

    def _before(self, index_key: str, found_key: str) -> dict[str, str]:
        """The index before this deletion touched it, written down before it does."""
        try:
            earlier: dict[str, str] = json.loads(self._artifacts.get(found_key))
        except NotFound:
            body = self._artifacts.get(index_key)
            earlier = {"sha256": hashlib.sha256(body).hexdigest(), "digest": json.loads(body)["digest"]}
            self._artifacts.put(found_key, canonical_json(earlier))
        return earlier

    def _remove_before(self, prefix: str, time: str) -> None:
        """Object versions below a prefix that are older than a time."""
        entries = self._artifacts.versions(prefix)
        old = [entry for entry in entries if to_text(from_text(entry.modified)) < time[:19]]
        self._artifacts.remove((entry.key, entry.version_id) for entry in old)

    def erase_folder(
        self, deletion: Deletion, area: str, id: str, uids: Collection[str], versions: Collection[str]
    ) -> dict[str, Any] | None:
        """One folder of a task or a model; versions: those that the deletion concerns. None: nothing to do."""
        prefix = f"{deletion.tenant}/{area}/{id}/"
        owner = self._owner(deletion.tenant, area, id)
        if isinstance(owner, Task) and not owner.is_ended:
            return None  # files are not changed under a job that reads them: the second pass comes when it has ended
        if area in WORK:
            done = self._eraser.purge(prefix)
        elif not self._is_concerned(area, prefix, owner, uids, versions):
            return None
        elif area in REMADE:
            done = self._eraser.purge(prefix)
        else:
            done = self._eraser.scrub(prefix, uids, ())
        self._resize(owner, done)
        return done.to_json() if done.is_touched or done.old_versions else None

    def _owner(self, tenant: str, area: str, id: str) -> Task | Model | None:
        try:
            return self._models.get(tenant, id) if area == "models" else self._tasks.read(tenant, id)
        except NotFound:
            return None

    def _is_concerned(
        self, area: str, prefix: str, owner: Task | Model | None, uids: Collection[str], versions: Collection[str]
    ) -> bool:
        if area == "imports" or owner is None:
            return True  # looked through whole
        if area == "downloads":
            return holds_any(self._artifacts, prefix.rstrip("/"), uids)
        named = self._versions_of(owner)
        if named & set(versions):
            return True
        return area == "analyses" and self._eraser.mentions(prefix, TELLING, uids)

    def _versions_of(self, owner: Task | Model) -> set[str]:
        """Ids of the dataset versions that a task or a model is about."""
        if isinstance(owner, Model):
            return {str(owner.dataset.get("version_id")), str(owner.test.get("version_id"))}
        named = {value for value in owner.parameters.values() if isinstance(value, str)}
        target = owner.target.partition("#")[2]
        models = {str(owner.parameters.get(name)) for name in ("model_id", "baseline_model_id", "parent_model_id")}
        for model_id in models - {"None"}:
            model = self._owner(owner.tenant, "models", model_id)
            if isinstance(model, Model):
                named |= self._versions_of(model)
        return named | {target}

    def _resize(self, owner: Task | Model | None, done: Cleaned) -> None:
        """What a task or model says of its files, after some changed."""
        if owner is None or not done.is_touched:
            return
        sizes = dict(self._artifacts.keys(done.prefix))
        if isinstance(owner, Model):
            files = [
                entry | {"size_bytes": sizes[entry["key"]]}
                for entry in map(dict, owner.artifacts)
                if entry["key"] in sizes
            ]
            self._erasures.rewrite_model(owner, artifacts=files)
        elif owner.is_ended and owner.result.get("files"):
            files = [
                entry | {"size_bytes": sizes[entry["key"]]}
                for entry in map(dict, owner.result["files"])
                if entry["key"] in sizes
            ]
            self._erasures.rewrite_task(owner, result={**owner.result, "files": files})

    def erase_split_lists(self, deletion: Deletion, uids: Collection[str]) -> dict[str, Any] | None:
        """Lists of uids that clients gave for splits."""
        done = self._eraser.scrub(f"{deletion.tenant}/{SPLIT_LISTS}/", uids, ())
        return done.to_json() if done.is_touched or done.old_versions else None

    def erase_tasks(self, deletion: Deletion, kind: str, uids: Collection[str]) -> int:
        """What tasks of a kind say in the table: chosen images, problems of imports, messages. Returns how many."""
        cursor: str | None = None
        count = 0
        while True:
            page, cursor = self._tasks.page(deletion.tenant, kind, 100, cursor)
            for task in page:
                said = {name: getattr(task, name) for name in ("parameters", "result", "context", "progress", "error")}
                if task.is_ended and names_any(canonical_json(said), uids):
                    changes = {name: scrub_json(value, uids) for name, value in said.items() if value}
                    self._erasures.rewrite_task(task, **changes)
                    count += 1
            if cursor is None:
                return count

    def erase_queries(self, deletion: Deletion, uids: Collection[str]) -> int:
        """Saved searches for pictures near a deleted one: nobody can say any more what it looked like. How many."""
        cursor: str | None = None
        count = 0
        while True:
            page, cursor = self._queries.page(deletion.tenant, limit=100, cursor=cursor)
            for query in page:
                if names_any(canonical_json(dict(query.where)), uids):
                    self._queries.remove(query)
                    count += 1
            if cursor is None:
                return count

    def users(self, deletion: Deletion, uids: Collection[str], versions: Collection[str]) -> list[str]:
        """Tasks that run and may hold copies: builds, and what reads these versions or names these images."""
        found = []
        for kind in (kind for kind in KINDS if kind not in ("delete", "release", "loop")):
            for task in self._tasks.unended(deletion.tenant, kind):
                is_older = deletion.swept_at is None or task.created_at <= deletion.swept_at
                if is_older and self._may_hold(task, uids, versions):
                    found.append(f"{kind} {task.id}")
        return found

    def _may_hold(self, task: Task, uids: Collection[str], versions: Collection[str]) -> bool:
        if task.kind in ("build", "download", "train_project", "copy_project"):
            return True
        if task.kind == "import":
            return False  # it registers nothing of erased images, and waits for hours for files
        if self._versions_of(task) & set(versions):
            return True
        return self._eraser.mentions(f"{task.tenant}/analyses/{task.id}/", TELLING, uids)

    def note_builds(self, deletion: Deletion) -> None:
        """Tell every build that is under way what it must leave out."""
        for task in self._tasks.unended(deletion.tenant, "build"):
            version_id = str(task.parameters["version_id"])
            self._erasures.note_build(deletion.tenant, version_id, deletion.id, str(deletion.marked_at))

    def verify_version(self, tenant: str, version_id: str, uids: Collection[str]) -> None:
        """Raises Unavailable when a version's files still name one of the images, but for its tombstones."""
        prefix = f"{tenant}/{VERSIONS}/{version_id}/"
        names = [*(f"{split}.jsonl" for split in SPLITS), "objects.jsonl", "dataset.json", INDEX]
        if self._eraser.mentions(prefix, names, uids):
            raise Unavailable(f"{prefix} still names a deleted image")
