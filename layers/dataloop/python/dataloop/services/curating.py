"""Datasets: create, link, look up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json, check_storable
from dataloop.domain.datasets import MAX_LINK_IDS, Dataset, DatasetVersion, Segment, check_name
from dataloop.domain.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.ids import check_annotation_id, segment_id
from dataloop.domain.residency import EVERYTHING, Clearance, Residency
from dataloop.domain.splits import SplitPolicy
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.split_lists import read_policy, without_lists

# Up to here a link call looks every id up and refuses unknown ones (20 BatchGets, a fifth of a second). Larger calls
# are checked by the build, which reports them.
CHECKED_IDS = 2_000
MAX_INFO_BYTES = 16 * 1024
# Of a dataset itself, where declared labels with colours and attributes are: a thousand of them. An item has 400 KB.
MAX_DATASET_INFO_BYTES = 200 * 1024
THREADS = 16


class DatasetService:
    """Versions are drafts until they are built; only drafts accept links."""

    def __init__(
        self,
        repository: DatasetRepository,
        annotations: AnnotationRepository,
        raw_data: RawDataRepository,
        artifacts: Bucket,
        clock: Clock,
        residency: Residency,
    ) -> None:
        self._repository = repository
        self._annotations = annotations
        self._raw_data = raw_data
        self._artifacts = artifacts
        self._clock = clock
        self._residency = residency

    def create(self, tenant: str, info: object, version_id: str | None = None) -> DatasetVersion:
        """Create a version, and its dataset when the name is new; the words are those of seed 000.

        version_id: the id to use, for callers that retry. Raises InvalidInput, Conflict (name + version taken).
        """
        if not isinstance(info, Mapping):
            raise InvalidInput("dataset_info", "must be an object")
        name = check_name(info.get("datasetName"), "datasetName")
        version = check_name(info.get("datasetVersion"), "datasetVersion")
        for field in ("annotationType", "modelType", "versionType", "bg", "owner", "remark"):
            if info.get(field) is not None and not isinstance(info[field], str):
                raise InvalidInput(field, "must be a text", info[field])
        by = info.get("annotationBy", [])
        if not isinstance(by, Sequence) or isinstance(by, str):
            raise InvalidInput("annotationBy", "must be a list", by)
        small = dict(info) | {"split": without_lists(info.get("split"))}
        if len(canonical_json(small)) > MAX_INFO_BYTES:
            raise LimitExceeded("dataset_info: bytes", MAX_INFO_BYTES)
        check_storable(small, "dataset_info")
        extra = {
            field: value
            for field, value in info.items()
            if field not in ("datasetName", "datasetVersion", "split", "residency")
        }
        return self.create_version(
            tenant,
            name,
            version,
            split=read_policy(self._artifacts, tenant, info.get("split"), salt=name),
            info=extra,
            version_id=version_id,
            residency=self._residency.check(info.get("residency"), "residency"),
        )

    def create_version(
        self,
        tenant: str,
        name: str,
        version: str,
        *,
        split: SplitPolicy,
        info: Mapping[str, Any],
        version_id: str | None = None,
        base_version_id: str | None = None,
        residency: Mapping[str, Any] | None = None,
        anchor_id: str | None = None,
    ) -> DatasetVersion:
        """The same with checked arguments. Raises Conflict."""
        now = self._clock.text()
        dataset = Dataset(tenant, self._clock.new_id(), name, now)
        draft = DatasetVersion(
            tenant=tenant,
            id=version_id or self._clock.new_id(),
            dataset_id=dataset.id,
            name=name,
            version=version,
            status="DRAFT",
            created_at=now,
            split=split,
            info=info,
            base_version_id=base_version_id,
            residency=residency or {},
            anchor_id=anchor_id,
        )
        return self._repository.create_version(dataset, draft)

    def link(self, tenant: str, version_id: str, annotation_ids: object, clearance: Clearance = EVERYTHING) -> Segment:
        """Append annotations to a draft. Linking is a set union: order and repeats do not matter, retrying is free.

        annotation_ids: 1 to 200,000 ids of 24 hex characters. How many are new is known only after build.
        clearance: the caller's; together with the version's own restriction it decides which images may be linked. Up to
        2,000 ids it is checked here, beyond that by the build alone, which leaves such images out.
        Raises NotFound(dataset version, annotation), IllegalTransition once it is no draft, InvalidInput, LimitExceeded,
        ResidencyViolation.
        Cost: one S3 put and 4 WRU whatever the number of ids, and up to 2,000 ids 1 BatchGet per 100 ids, with a
        restriction another per 100 images.
        """
        if not isinstance(annotation_ids, Sequence) or isinstance(annotation_ids, str) or not annotation_ids:
            raise InvalidInput("annotation_id_list", "must be a non-empty list of annotation ids", annotation_ids)
        if len(annotation_ids) > MAX_LINK_IDS:
            raise LimitExceeded("annotation_id_list", MAX_LINK_IDS, len(annotation_ids))
        ids = sorted({check_annotation_id(value, "annotation_id_list") for value in annotation_ids})
        version = self.get(tenant, version_id)
        if len(ids) <= CHECKED_IDS:
            known = self._annotations.get_many(tenant, ids, consistent=True)
            missing = [id for id in ids if id not in known]
            if missing:
                raise NotFound("annotation", ", ".join(missing[:5]) + ("" if len(missing) <= 5 else ", …"))
            self._check_residency(
                tenant, known.values(), clearance.within(self._residency.clearance(version.residency))
            )
        return self.add_segment(version, ids)

    def _check_residency(self, tenant: str, annotations: Iterable[Annotation], clearance: Clearance) -> None:
        if not clearance.is_limited:
            return
        uids = {uid for annotation in annotations for uid in annotation.data_ids}
        raws = self._raw_data.get_many(tenant, uids, consistent=True)
        for uid in sorted(uids):
            clearance.require((raws[uid].meta if uid in raws else None) or {}, f"file {uid}")

    def add_segment(self, version: DatasetVersion, ids: Sequence[str]) -> Segment:
        """Append checked, sorted, distinct ids. The ids are durable in S3 before the item that names them."""
        id = segment_id(ids)
        segment = Segment(
            version_id=version.id,
            id=id,
            key=f"{version.tenant}/segments/{version.id}/{id}.txt",
            count=len(ids),
            created_at=self._clock.text(),
        )
        self._artifacts.put(segment.key, ("\n".join(ids) + "\n").encode(), "text/plain")
        self._repository.add_segment(version.tenant, segment)
        return segment

    def get(self, tenant: str, version_id: str) -> DatasetVersion:
        """Raises NotFound."""
        version = self._repository.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        return version

    def find(self, tenant: str, name: object, version: object) -> DatasetVersion:
        """By name and version. Raises NotFound, InvalidInput."""
        name, text = check_name(name, "dataset_name"), check_name(version, "dataset_version")
        found = self._repository.find_version(tenant, name, text)
        if found is None:
            raise NotFound("dataset", f"{name} {text}")
        return found

    def page(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[DatasetVersion], str | None]:
        """All versions, newest first."""
        return self._repository.list_versions(tenant, limit=limit, cursor=cursor)

    def create_dataset(
        self, tenant: str, name: object, info: Mapping[str, Any] | None = None, dataset_id: str | None = None
    ) -> Dataset:
        """A dataset without a version. Raises InvalidInput, LimitExceeded, Conflict (name taken).

        dataset_id: the id to use, for callers that retry.
        """
        checked = check_name(name, "name")
        _check_info(info or {})
        made = Dataset(tenant, dataset_id or self._clock.new_id(), checked, self._clock.text(), info=dict(info or {}))
        return self._repository.create_dataset(made)

    def create_with_draft(
        self, tenant: str, name: str, info: Mapping[str, Any], draft_name: str, words: Mapping[str, Any]
    ) -> tuple[Dataset, DatasetVersion]:
        """A new dataset and its first draft, both or none. words: the draft's info. Cost: 2 calls, 14 WRU.

        Raises InvalidInput, LimitExceeded, Conflict (the dataset's name is taken).
        """
        check_name(name, "name")
        _check_info(info)
        now = self._clock.text()
        made = Dataset(tenant, self._clock.new_id(), name, now, info=dict(info))
        split = SplitPolicy(salt=name)
        draft = DatasetVersion(
            tenant, self._clock.new_id(), made.id, name, draft_name, "DRAFT", now, split=split, info=dict(words)
        )
        if self._repository.find_dataset(tenant, name) is not None:
            raise Conflict("dataset", name)
        try:
            stands = self._repository.create_version(made, draft)
        except Conflict as lost:  # somebody made one of this name, with a draft, since we looked
            raise Conflict("dataset", name) from lost
        if stands.dataset_id != made.id:
            raise Conflict("dataset", name)
        return made, stands

    def dataset(self, tenant: str, dataset_id: str) -> Dataset:
        """Raises NotFound. 1 read."""
        found = self._repository.get_dataset(tenant, dataset_id)
        if found is None:
            raise NotFound("dataset", dataset_id)
        return found

    def datasets(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[Dataset], str | None]:
        """Datasets, newest first, without those being deleted."""
        return self._repository.list_datasets(tenant, limit=limit, cursor=cursor)

    def grouped(
        self, tenant: str, limit: int, cursor: str | None, newest: int, name: str | None = None
    ) -> tuple[list[tuple[Dataset, list[DatasetVersion]]], str | None]:
        """Datasets, each with its newest versions; with a name that one, if there is one.

        Cost: 1 query (2 reads by name), and 1 a dataset, sixteen at a time.
        """
        if name is None:
            found, following = self.datasets(tenant, limit, cursor)
        else:
            one, following = self._repository.find_dataset(tenant, check_name(name, "name")), None
            found = [one] if one else []
        with ThreadPoolExecutor(THREADS) as pool:
            pages = pool.map(lambda each: self.versions(tenant, each.id, newest, None)[0], found)
            return list(zip(found, pages, strict=True)), following

    def versions(
        self, tenant: str, dataset_id: str, limit: int, cursor: str | None
    ) -> tuple[list[DatasetVersion], str | None]:
        """The history of a dataset: its versions, newest first, also those that were deleted."""
        return self._repository.list_versions(tenant, limit=limit, cursor=cursor, dataset_id=dataset_id)

    def update_dataset(
        self, tenant: str, dataset_id: str, info: Mapping[str, Any], seen: Dataset | None = None
    ) -> Dataset:
        """Replace what is kept of a dataset besides its name. Raises NotFound, IllegalTransition, InvalidInput.

        seen: what `info` was worked out from. Raises Throttled when it has changed since.
        """
        _check_info(info)
        return self._repository.update_dataset(tenant, dataset_id, self._clock.text(), seen=seen, info=dict(info))


def _check_info(info: Mapping[str, Any]) -> None:
    check_storable(info, "info")
    if len(canonical_json(dict(info))) > MAX_DATASET_INFO_BYTES:
        raise LimitExceeded("info: bytes", MAX_DATASET_INFO_BYTES)
