"""Datasets from searches: the steps of a `query` task, which links what matches now into a new draft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dataloop.catalog import task_types
from dataloop.domain.annotations import Annotation
from dataloop.domain.datasets import MAX_LINK_IDS
from dataloop.domain.errors import InvalidInput
from dataloop.domain.ids import derived_uuid
from dataloop.domain.near_duplicates import NearIndex
from dataloop.domain.search import Found, current_of, make_where
from dataloop.domain.tasks import Task
from dataloop.services.clock import Clock
from dataloop.services.curating import DatasetService
from dataloop.services.gathering import GatheringService
from dataloop.services.searching import SearchService
from dataloop.services.tracking import TaskService

NEAR_DUPLICATES = ("keep", "keep_first")
# Pictures are compared with what was kept in batches: the index of near hashes is made anew for each.
BATCH = 2_000
WISHES = ("near_duplicates",)


class QueryDatasetService:
    """The draft keeps which query made it, with its conditions as they were: a version can be asked why it holds what."""

    def __init__(
        self,
        searching: SearchService,
        curating: DatasetService,
        gathering: GatheringService,
        tasks: TaskService,
        clock: Clock,
    ) -> None:
        self._searching = searching
        self._curating = curating
        self._gathering = gathering
        self._tasks = tasks
        self._clock = clock

    def request(self, tenant: str, query_id: str, body: object, task_id: str | None = None) -> Task:
        """Make a draft of the annotations that a saved query finds. Raises NotFound, InvalidInput, Conflict.

        body: create_dataset's words (datasetName, datasetVersion, annotationType, split, …), and near_duplicates:
        keep | keep_first (of pictures that look alike only the first). annotationType: only annotations that teach it.
        """
        query = self._searching.get(tenant, query_id)
        if not isinstance(body, Mapping):
            raise InvalidInput("dataset_info", "must be an object", body)
        near = body.get("near_duplicates", "keep")
        if near not in NEAR_DUPLICATES:
            raise InvalidInput("near_duplicates", f"must be one of {', '.join(NEAR_DUPLICATES)}", near)
        id = task_id or self._clock.new_id()
        version_id = derived_uuid(int(id.replace("-", "")[:12], 16), "query dataset", id)
        said = {"id": query.id, "name": query.name, "revision": query.revision, "where": dict(query.where)}
        info = {name: value for name, value in body.items() if name not in WISHES} | {"query": said}
        self._curating.create(tenant, info, version_id)
        wish = {"version_id": version_id, "query_id": query_id, "where": dict(query.where), "near_duplicates": near}
        wish["annotation_type"] = str(info.get("annotationType") or "")
        return self._tasks.start(self._tasks.create(tenant, "query", f"Dataset#{version_id}", wish, id=id))

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"mode": "done"}
        self._tasks.begin(task, "search")
        return {"mode": "run"}

    def run(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Link what matches, up to 200,000 annotations a segment. Run again it links the same, and what came since."""
        task = self._tasks.read(tenant, task_id)
        version = self._curating.get(tenant, str(task.parameters["version_id"]))
        kind, counts = str(task.parameters["annotation_type"]), {"images": 0, "annotations": 0, "near_duplicates": 0}
        ids: set[str] = set()
        for hit in self._kept(tenant, task, counts):
            useful = [entry.id for entry in self._said(tenant, hit) if not kind or task_types.teaches(kind, entry.type)]
            counts["images"] += bool(useful)
            counts["annotations"] += len(useful)
            ids.update(useful)
            if len(ids) > MAX_LINK_IDS - 1_000:
                self._curating.add_segment(version, sorted(ids))
                ids.clear()
        if ids:
            self._curating.add_segment(version, sorted(ids))
        self._tasks.note(self._tasks.read(tenant, task_id), phase="search", context={"counts": counts})
        return {"task_id": task_id}

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        task = self._tasks.read(tenant, task_id)
        counts = dict(task.context.get("counts") or {})
        self._tasks.succeed(task, {"dataset_id": task.parameters["version_id"]} | counts)
        return {"task_id": task_id}

    def _said(self, tenant: str, hit: Found) -> list[Annotation]:
        return list(hit.annotations) or current_of(self._gathering.said_of(tenant, hit.raw.uid))

    def _kept(self, tenant: str, task: Task, counts: dict[str, int]) -> Iterator[Found]:
        """What the query finds; with `keep_first` without the pictures that look like one before."""
        distance = make_where(task.parameters["where"]).distance
        hits = self._searching.every(tenant, task.parameters["where"])
        if task.parameters["near_duplicates"] == "keep":
            yield from hits
            return
        hashes: list[int] = []
        recent: list[int] = []
        index = NearIndex(hashes, distance)
        for hit in hits:
            own = hit.raw.facts.phash if hit.raw.facts else None
            if own is not None:
                value = int(own, 16)
                if index.is_near(value) or any((value ^ other).bit_count() <= distance for other in recent):
                    counts["near_duplicates"] += 1
                    continue
                recent.append(value)
                if len(recent) == BATCH:
                    hashes += recent
                    recent, index = [], NearIndex(hashes, distance)
            yield hit
