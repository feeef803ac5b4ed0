"""Datasets: create, link, look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.canonical import canonical_json, check_storable
from dataloop.domain.datasets import MAX_LINK_IDS, Dataset, DatasetVersion, Segment, check_name
from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound
from dataloop.domain.ids import check_annotation_id, segment_id
from dataloop.domain.splits import SplitPolicy, make_split_policy
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.datasets import DatasetRepository
from dataloop.services.clock import Clock

# Up to here a link call looks every id up and refuses unknown ones (20 BatchGets, a fifth of a second). Larger calls
# are checked by the build, which reports them.
CHECKED_IDS = 2_000
MAX_INFO_BYTES = 16 * 1024


class DatasetService:
    """Versions are drafts until they are built; only drafts accept links."""

    def __init__(
        self, repository: DatasetRepository, annotations: AnnotationRepository, artifacts: Bucket, clock: Clock
    ) -> None:
        self._repository = repository
        self._annotations = annotations
        self._artifacts = artifacts
        self._clock = clock

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
        if len(canonical_json(dict(info))) > MAX_INFO_BYTES:
            raise LimitExceeded("dataset_info: bytes", MAX_INFO_BYTES)
        check_storable(info, "dataset_info")
        extra = {
            field: value for field, value in info.items() if field not in ("datasetName", "datasetVersion", "split")
        }
        return self.create_version(
            tenant,
            name,
            version,
            split=make_split_policy(info.get("split"), salt=name),
            info=extra,
            version_id=version_id,
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
        )
        return self._repository.create_version(dataset, draft)

    def link(self, tenant: str, version_id: str, annotation_ids: object) -> Segment:
        """Append annotations to a draft. Linking is a set union: order and repeats do not matter, retrying is free.

        annotation_ids: 1 to 200,000 ids of 24 hex characters. How many are new is known only after build.
        Raises NotFound(dataset version, annotation), IllegalTransition once it is no draft, InvalidInput, LimitExceeded.
        Cost: one S3 put and 4 WRU whatever the number of ids, and 1 BatchGet per 100 ids up to 2,000 ids.
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
        return self.add_segment(version, ids)

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
