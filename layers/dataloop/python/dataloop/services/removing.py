"""Deleting versions and datasets: refused while something needs them, safe to repeat, finished by a sweep."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from dataloop.domain.datasets import Dataset, DatasetVersion
from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.times import to_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.loops import LoopRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository
from dataloop.repositories.removals import RemovalRepository
from dataloop.repositories.tasks import TaskRepository
from dataloop.services.clock import Clock

log = logging.getLogger(__name__)

# What a version's tasks left, by their kind: areas of the artifacts bucket, each with a folder a task.
AREAS = {
    "build": ("builds",),
    "download": ("builds", "downloads"),
    "diff": ("diffs",),
    "verify": ("verifications",),
    "export_dataset": ("dataset-exports",),
}
# Tasks that read a version without being about it: by which parameter they name it.
READERS = {"evaluate": "version_id", "diff": "other_id"}
# The newest tasks of such a kind that are looked through: older ones have ended.
RECENT = 200
# Lists are eventual: a version that was made just before its dataset's deletion shows up within seconds.
SETTLED_S = 300
# Nothing of these is needed any more.
GOING = ("DELETING", "DELETED")
# How many ids a refusal and a record spell out.
NAMED = 20


class RemovalService:
    """The record of a deleted version stays: names, digest, counts, who deleted it, which models learnt from it."""

    def __init__(
        self,
        removals: RemovalRepository,
        datasets: DatasetRepository,
        models: ModelRepository,
        releases: ReleaseRepository,
        loops: LoopRepository,
        tasks: TaskRepository,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._removals = removals
        self._datasets = datasets
        self._models = models
        self._releases = releases
        self._loops = loops
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock

    def delete_version(self, tenant: str, version_id: str, *, by: str = "", force: bool = False) -> DatasetVersion:
        """Delete a draft, failed or built version: its name is free at once, then its files go.

        Refused (IllegalTransition, which names them) while a build or another task is at it, a loop learns from it or
        is judged on it, or the current release of a name learnt from it; and without force, when any model did.
        A repeat goes on where the first one stopped. Raises NotFound.
        Cost: 7 queries and 2 a model; 1 transaction; S3: a listing and a deletion per 1,000 files.
        """
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status not in GOING:
            self._check(version, force)
            version = self._begin(version, by, force)
        return self.finish(version)

    def delete_dataset(self, tenant: str, dataset_id: str, *, by: str = "", force: bool = False) -> Dataset:
        """Delete a dataset with all its versions: all of them, or, when one may not be deleted, none.

        The name is free at once. The answer is DELETING: a sweep makes it DELETED when nothing of it is left.
        Raises NotFound, IllegalTransition as `delete_version`.
        """
        dataset = self._datasets.get_dataset(tenant, dataset_id)
        if dataset is None:
            raise NotFound("dataset", dataset_id)
        if dataset.status == "DELETED":
            return dataset
        versions = list(self._versions(dataset))
        if dataset.status == "ACTIVE":
            for version in versions:
                self._check(version, force)
            dataset = self._removals.begin_dataset(dataset, self._clock.text())
        for version in versions:
            self.finish(self._begin(version, by, force))
        return dataset

    def sweep(self, tenant: str) -> int:
        """Finish what a crash left DELETING; returns how many datasets and versions are gone now."""
        finished = 0
        for found in list(self._removals.unfinished(tenant)):
            if isinstance(found, DatasetVersion):
                self.finish(found)
                finished += 1
            else:
                finished += self._finish_dataset(found)
        return finished

    def _finish_dataset(self, dataset: Dataset) -> int:
        left = [version for version in self._versions(dataset) if version.status != "BUILDING"]
        for version in left:
            self.finish(self._begin(version, "", force=True))
        settled = to_text(self._clock.now() - timedelta(seconds=SETTLED_S))
        if list(self._versions(dataset)) or (dataset.updated_at or "") > settled:
            return 0
        self._removals.end_dataset(dataset.tenant, dataset.id, self._clock.text())
        return 1

    def _versions(self, dataset: Dataset) -> Iterator[DatasetVersion]:
        """The versions of a dataset that are not gone yet."""
        cursor: str | None = None
        while True:
            page, cursor = self._datasets.list_versions(dataset.tenant, limit=200, cursor=cursor, dataset_id=dataset.id)
            yield from (version for version in page if version.status != "DELETED")
            if cursor is None:
                return

    def _check(self, version: DatasetVersion, force: bool) -> None:
        """Raises IllegalTransition while something needs the version."""
        if version.status == "BUILDING":
            raise IllegalTransition("dataset version", version.id, version.status, "deleting")
        users = list(self._in_use(version))
        if not users and not force:
            users = [f"model {id}" for id in self._learnt(version)]
        if users:
            named = ", ".join(users[:NAMED]) + (f" and {len(users) - NAMED} more" if len(users) > NAMED else "")
            raise IllegalTransition("dataset version", version.id, f"used by {named}", "deleting")

    def _in_use(self, version: DatasetVersion) -> Iterator[str]:
        """What would break now."""
        tenant, id = version.tenant, version.id
        tasks = list(self._tasks.of_target(tenant, f"Dataset#{id}", only_active=True))
        for kind, name in READERS.items():
            recent, _ = self._tasks.page(tenant, kind, limit=RECENT)
            tasks += [task for task in recent if not task.is_ended and task.parameters.get(name) == id]
        for task in tasks:
            yield f"task {task.id} ({task.kind})"
        dataset = self._datasets.get_dataset(tenant, version.dataset_id)
        for other in () if dataset is None else self._versions(dataset):
            if other.status == "BUILDING" and other.anchor_id == id:
                yield f"version {other.version} (being built, its splits follow this one)"
        for loop in self._loops.of_tenant(tenant):
            if id in (loop.draft_version_id, loop.trained_version_id, loop.test_version_id):
                yield f"loop {loop.name}"
        for model_id in self._learnt(version):
            for name in {release.name for release in self._releases.of_model(tenant, model_id)}:
                pointer = self._releases.pointer(tenant, name)
                if pointer is not None and pointer.model_id == model_id:
                    yield f"release {name} (current)"

    def _learnt(self, version: DatasetVersion) -> list[str]:
        """The models that learnt from a version and are not gone."""
        models = self._models.of_version(version.tenant, version.id)
        return [model.id for model in models if model.status in ("TRAINING", "COMPLETED")]

    def _begin(self, version: DatasetVersion, by: str, force: bool) -> DatasetVersion:
        if version.status in GOING:
            return version
        now = self._clock.text()
        record = {"at": now, "by": by, "forced": force, "models": self._learnt(version)[:NAMED]}
        return self._removals.begin_version(version, now, record)

    def finish(self, version: DatasetVersion) -> DatasetVersion:
        """Remove the files of a DELETING version and end it. Every part of it may be repeated.

        The ids of its members stay while another version has taken them over; the last of those removes them.
        """
        if version.status != "DELETING":
            return version
        tenant = version.tenant
        for task in self._tasks.of_target(tenant, f"Dataset#{version.id}"):
            for area in AREAS.get(task.kind, ()):
                self._remove(f"{tenant}/{area}/{task.id}/")
        members = f"{tenant}/manifests/{version.id}/members.txt"
        self._remove(f"{tenant}/manifests/{version.id}/", spare=members)
        self._remove_members(version)
        segments = list(self._datasets.segments(tenant, version.id))
        for owner_id in {segment.owner_id for segment in segments} - {version.id}:
            self._give_back(tenant, owner_id, version.id)
        for segment in segments:
            self._removals.forget_segment(tenant, version.id, segment.id)
        log.info("dataset version deleted", extra={"version_id": version.id, "tenant": tenant})
        return self._removals.end_version(tenant, version.id, self._clock.text())

    def _give_back(self, tenant: str, owner_id: str, user_id: str) -> None:
        self._removals.forget_user(tenant, owner_id, user_id)
        owner = self._datasets.get_version(tenant, owner_id)
        if owner is not None and owner.status in GOING:
            self._remove_members(owner, besides=user_id)

    def _remove_members(self, version: DatasetVersion, besides: str = "") -> None:
        if self._borrowers(version) - {besides}:
            return
        self._artifacts.delete([f"{version.tenant}/manifests/{version.id}/members.txt"])
        self._remove(f"{version.tenant}/segments/{version.id}/")

    def _borrowers(self, version: DatasetVersion) -> set[str]:
        """The living versions whose members lie below this one: as noted here, and as their own segments say.

        The notes are strongly consistent; the segments are for versions that are older than the notes.
        """
        noted = (
            self._datasets.get_version(version.tenant, id) for id in self._removals.users(version.tenant, version.id)
        )
        found = {user.id for user in noted if user is not None and user.status not in GOING}
        dataset = self._datasets.get_dataset(version.tenant, version.dataset_id)
        for other in () if dataset is None else self._versions(dataset):
            if other.status not in GOING and other.id not in {version.id, *found}:
                segments = self._datasets.segments(version.tenant, other.id)
                found |= {other.id} if any(segment.owner_id == version.id for segment in segments) else set()
        return found

    def _remove(self, prefix: str, spare: str = "") -> None:
        self._artifacts.delete(key for key, _ in self._artifacts.keys(prefix) if key != spare)
