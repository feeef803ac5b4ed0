"""Datasets as a whole: which there are, their versions and counts, what is running, and a few images of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from dataloop.catalog import task_types
from dataloop.domain.annotations import Annotation
from dataloop.domain.datasets import Dataset, DatasetVersion, Segment
from dataloop.domain.errors import NotFound
from dataloop.domain.ids import uid_of
from dataloop.domain.raw_data import RawData, key_of
from dataloop.domain.residency import Clearance
from dataloop.domain.surveys import DRAFT_NAME, Sample, Survey
from dataloop.domain.tasks import Task
from dataloop.formats.names import is_image
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.tracking import TaskService

# Ours: a tenant's datasets are filtered in memory, 1 KB each (design §5.4, pattern 12).
MAX_DATASETS = 5_000
PAGE = 1_000
# Ours: datasets that are looked at side by side; boto3's pool has ten connections.
AT_ONCE = 8
# Ours: up to so many ids in so many segments a draft's members are counted one by one; beyond that their sum is given,
# which counts an annotation twice that was linked twice.
COUNTED_IDS = 200_000
COUNTED_SEGMENTS = 20
# A row of objects.jsonl is 300 to 400 bytes; its key may have a kilobyte.
ROW_SIZE = 2_048
ID_SIZE = 25
# How far a look for images goes on past members whose images cannot be shown.
SPARE = 4
Wish = TypeVar("Wish")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Details:
    """What of each dataset on a page is wanted beyond its versions: running tasks of some kinds, and samples."""

    kinds: tuple[str, ...] = ()
    samples: int = 0


class SurveyService:
    """Reads only. Lists are eventually consistent: a dataset made a moment ago may come a moment later."""

    def __init__(
        self,
        datasets: DatasetRepository,
        annotations: AnnotationRepository,
        raw_data: RawDataRepository,
        tasks: TaskService,
        artifacts: Bucket,
        raw: Bucket,
    ) -> None:
        self._datasets = datasets
        self._annotations = annotations
        self._raw_data = raw_data
        self._tasks = tasks
        self._artifacts = artifacts
        self._raw = raw

    def datasets(self, tenant: str) -> list[Dataset]:
        """The newest 5,000 datasets of a tenant. 1 call per thousand."""
        found: list[Dataset] = []
        cursor: str | None = None
        while len(found) < MAX_DATASETS:
            page, cursor = self._datasets.list_datasets(tenant, limit=PAGE, cursor=cursor)
            found += page
            if cursor is None:
                break
        return found[:MAX_DATASETS]

    def overview(self, tenant: str, datasets: Sequence[Dataset]) -> list[Survey]:
        """Datasets with their versions and drafts. Cost: 2 calls a dataset that has a draft, else 1; eight at a time."""
        return self._each(lambda dataset: self._overview(tenant, dataset), datasets)

    def complete(self, tenant: str, surveys: Sequence[Survey], details: Details, clearance: Clearance) -> list[Survey]:
        """The same with imports, running tasks and samples.

        clearance: the caller's; images that it does not let pass are not among the samples.
        Cost: 1 call per kind of task, 1 read per unfinished import, at most 5 calls a dataset for its samples.
        """
        running = self._running(tenant, details.kinds)
        return self._each(lambda survey: self._complete(tenant, survey, details, running, clearance), surveys)

    def look(self, tenant: str, dataset_id: str, details: Details, clearance: Clearance) -> Survey:
        """One dataset with everything. Raises NotFound."""
        dataset = self._datasets.get_dataset(tenant, dataset_id)
        if dataset is None or dataset.status != "ACTIVE":
            raise NotFound("dataset", dataset_id)
        return self.complete(tenant, self.overview(tenant, [dataset]), details, clearance)[0]

    def version(self, tenant: str, dataset_id: str, version_id: str) -> tuple[Survey, DatasetVersion]:
        """A version among its dataset's. Raises NotFound(dataset or dataset version). 3 calls."""
        dataset = self._datasets.get_dataset(tenant, dataset_id)
        if dataset is None or dataset.status != "ACTIVE":
            raise NotFound("dataset", dataset_id)
        version = self._datasets.get_version(tenant, version_id)
        if version is None or version.dataset_id != dataset_id or version.status in ("DRAFT", "DELETED"):
            raise NotFound("dataset version", version_id)
        survey = self._overview(tenant, dataset)
        others = [version if each.id == version_id else each for each in survey.versions]
        # Lists are eventual: a version that was asked for by its id is there.
        if version not in others:
            others = sorted([version, *others], key=lambda each: (each.created_at, each.id), reverse=True)
        return replace(survey, versions=tuple(others)), version

    def _each(self, work: Callable[[Wish], Found], wishes: Sequence[Wish]) -> list[Found]:
        if len(wishes) < 2:
            return [work(wish) for wish in wishes]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(work, wishes))

    def _overview(self, tenant: str, dataset: Dataset) -> Survey:
        listed = list(self._versions(tenant, dataset.id))
        drafts = [version for version in listed if version.status == "DRAFT"]
        draft = next((each for each in drafts if each.version == DRAFT_NAME), drafts[0] if drafts else None)
        versions = tuple(version for version in listed if version.status not in ("DRAFT", "DELETED"))
        return Survey(dataset, versions, draft, self._linked(draft) if draft else 0)

    def _versions(self, tenant: str, dataset_id: str) -> Iterator[DatasetVersion]:
        cursor: str | None = None
        while True:
            page, cursor = self._datasets.list_versions(tenant, limit=PAGE, cursor=cursor, dataset_id=dataset_id)
            yield from page
            if cursor is None:
                return

    def _linked(self, draft: DatasetVersion) -> int:
        """How many annotations a draft holds: exact up to 200,000 in 20 segments, beyond that at most so many."""
        segments = list(self._datasets.segments(draft.tenant, draft.id))
        total = sum(segment.count for segment in segments)
        if len(segments) < 2 or total > COUNTED_IDS or len(segments) > COUNTED_SEGMENTS:
            return total
        return len({id for segment in segments for id in self._head(segment.key, ID_SIZE * segment.count).split()})

    def _running(self, tenant: str, kinds: Iterable[str]) -> list[Task]:
        return [task for kind in kinds for task in self._tasks.unended(tenant, kind)]

    def _complete(
        self, tenant: str, survey: Survey, details: Details, running: Sequence[Task], clearance: Clearance
    ) -> Survey:
        ids = {survey.dataset.id, *(version.id for version in survey.versions)}
        ids |= {survey.draft.id} if survey.draft else set()
        return replace(
            survey,
            importing=self._import_of(tenant, survey.dataset),
            running=tuple(task for task in running if not ids.isdisjoint(_named(task))),
            samples=tuple(self._samples(tenant, survey, details.samples, clearance)) if details.samples else (),
        )

    def _import_of(self, tenant: str, dataset: Dataset) -> Task | None:
        task_id = dataset.info.get("import_task_id")
        try:
            return self._tasks.read(tenant, task_id) if isinstance(task_id, str) else None
        except NotFound:
            return None

    def _samples(self, tenant: str, survey: Survey, count: int, clearance: Clearance) -> Iterator[Sample]:
        """The first images of the draft or else of the current version, or else of the folder it was made from."""
        annotations = self._first_annotations(tenant, survey, count * SPARE)
        by_uid: dict[str, list[Annotation]] = {}
        for annotation in annotations:
            for uid in annotation.data_ids:
                by_uid.setdefault(uid, []).append(annotation)
        for uid in () if by_uid else self._first_files(tenant, survey.dataset, count):
            by_uid.setdefault(uid, [])
        raws = self._raw_data.get_many(tenant, by_uid, consistent=True)
        shown = (
            self._sample(raws[uid], by_uid[uid])
            for uid in sorted(by_uid)
            if uid in raws and raws[uid].is_usable and clearance.problem(raws[uid].meta or {}) is None
        )
        yield from islice(shown, count)

    def _first_annotations(self, tenant: str, survey: Survey, count: int) -> list[Annotation]:
        if survey.is_gathering and survey.draft is not None:
            segments = list(self._datasets.segments(tenant, survey.draft.id))
            ids = self._first_ids(segments, count)
        elif survey.current is not None and survey.current.manifest_prefix:
            ids = self._first_members(survey.current.manifest_prefix, count)
        else:
            return []
        found = self._annotations.get_many(tenant, ids, consistent=True)
        return [found[id] for id in ids if id in found]

    def _first_ids(self, segments: Sequence[Segment], count: int) -> list[str]:
        ids: list[str] = []
        for segment in segments:
            ids += self._head(segment.key, (count - len(ids)) * ID_SIZE).decode().split()
            if len(ids) >= count:
                break
        return list(dict.fromkeys(ids))

    def _first_members(self, prefix: str, count: int) -> list[str]:
        """Annotation ids of a built version's first images, which its list of objects names."""
        rows = self._head(f"{prefix}/objects.jsonl", count * ROW_SIZE).split(b"\n")[:-1][:count]
        return [id for row in rows for id in json.loads(row)["annotation_ids"]]

    def _head(self, key: str, size_bytes: int) -> bytes:
        """The beginning of an object; nothing of one whose version is being deleted just now."""
        try:
            return self._artifacts.get_range(key, 0, size_bytes)
        except NotFound:
            return b""

    def _first_files(self, tenant: str, dataset: Dataset, count: int) -> Iterator[str]:
        """The content of the first pictures of the dataset's folder: 1 listing, 1 HEAD a picture."""
        folder = (dataset.info.get("found") or {}).get("folder")
        keys = self._raw.keys(key_of(tenant, folder)) if folder else ()
        pictures = (key for key, _ in keys if is_image(key))
        for key in islice(pictures, count):
            stored = self._raw.head(key)
            if stored is not None and stored.sha256:
                yield uid_of(stored.sha256)

    def _sample(self, raw: RawData, annotations: Sequence[Annotation]) -> Sample:
        facts, location = raw.facts, raw.location
        assert facts is not None  # is_usable says so
        assert location is not None
        labels: dict[str, int] = {}
        for annotation in annotations:
            for label in annotation.labels:
                labels[str(label["label"])] = labels.get(str(label["label"]), 0) + 1
        return Sample(
            uid=raw.uid,
            key=location.key,
            bucket=location.bucket,
            size_bytes=location.size_bytes,
            media_type=facts.media_type,
            url=self._raw.link(location.key, version_id=location.version_id),
            at=raw.first_seen or "",
            width=facts.width,
            height=facts.height,
            labels=labels,
        )


def task_type(survey: Survey) -> str | None:
    """What a dataset's annotations are about, as the catalog names it: said of the dataset, or of its newest version."""
    told = [survey.dataset.info.get("annotation_type")]
    told += [version.info.get("annotationType") for version in (*survey.versions, survey.draft) if version]
    kinds = (task_types.of_annotation_type(word) for word in told if isinstance(word, str))
    return next((kind.name for kind in kinds if kind is not None), None)


def _named(task: Task) -> Iterator[str]:
    """Ids of datasets and versions that a task is about."""
    yield task.target.partition("#")[2]
    for name in ("version_id", "dataset_id", "other_id"):
        value: object = task.parameters.get(name)
        if isinstance(value, str):
            yield value
