"""Datasets and versions on their way out: names are free at once, records stay, a sweep finds what is unfinished."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from dataloop.domain import transitions
from dataloop.domain.datasets import Dataset, DatasetVersion
from dataloop.domain.errors import IllegalTransition, NotFound, Throttled
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.datasets import DatasetRepository, version_of
from dataloop.repositories.entities import from_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed, Write

# A tag may move while its version is being deleted: look again.
ATTEMPTS = 5


class RemovalRepository:
    """What deletion writes. Reads are strongly consistent (S) but for lists (E)."""

    def __init__(self, table: Table, datasets: DatasetRepository) -> None:
        self._table = table
        self._datasets = datasets

    def begin_version(self, version: DatasetVersion, at: str, deletion: Mapping[str, Any]) -> DatasetVersion:
        """DELETING: out of the lists, its name and its tags free for others, all in one transaction.

        A version that is DELETING or DELETED already is returned as it stands. Raises NotFound, IllegalTransition.
        Cost: 2 reads, 1 transaction of 6 WRU and 6 per tag.
        """
        for _ in range(ATTEMPTS):
            stands = self._datasets.get_version(version.tenant, version.id)
            if stands is None:
                raise NotFound("dataset version", version.id)
            if stands.status in ("DELETING", "DELETED"):
                return stands
            if stands.status not in transitions.sources(transitions.DATASET_VERSION, "DELETING"):
                raise IllegalTransition("dataset version", stands.id, stands.status, "deleting")
            try:
                self._table.transact(self._version_writes(stands, at, deletion))
            except TransactionFailed:
                continue  # its status or its tags changed since we looked
        raise Throttled("this version keeps changing")

    def _version_writes(self, version: DatasetVersion, at: str, deletion: Mapping[str, Any]) -> list[Write]:
        tenant = version.tenant
        writes = [
            self._table.write(
                "Update",
                pk=keys.version(tenant, version.id),
                set={
                    "status": "DELETING",
                    "updated_at": at,
                    "deletion": dict(deletion),
                    "tags": [],
                    "g1pk": keys.leaving(tenant),
                    "g1sk": f"{at}#{version.id}",
                },
                condition="#status = :seen",
                seen=version.status,
            )
        ]
        dataset = self._datasets.get_dataset(tenant, version.dataset_id)
        own = [] if dataset is None else [tag for tag, id in dataset.tags.items() if id == version.id]
        if dataset is not None:
            # Also without a tag of its own: one that is set meanwhile changes the revision, and we look again.
            rest = {tag: id for tag, id in dataset.tags.items() if id != version.id}
            writes.append(self._datasets.tags_write(dataset, rest, at))
        writes += [
            self._table.write(
                "Delete",
                pk=keys.unique(tenant, "version", version.name, name),
                condition="attribute_not_exists(#pk) OR #id = :mine",
                mine=version.id,
            )
            for name in (version.version, *own)
        ]
        return writes

    def end_version(self, tenant: str, version_id: str, at: str) -> DatasetVersion:
        """DELETED: nothing is left but the record. Being there already is no error. Raises NotFound. 1 call."""
        return version_of(self._end(keys.version(tenant, version_id), ("dataset version", version_id), at))

    def begin_dataset(self, dataset: Dataset, at: str) -> Dataset:
        """DELETING: out of the list, its name free, closed for new versions. Repeats change nothing. 1–2 calls."""
        tenant, pk = dataset.tenant, keys.dataset(dataset.tenant, dataset.id)
        writes = [
            self._table.write(
                "Update",
                pk=pk,
                set={
                    "status": "DELETING",
                    "updated_at": at,
                    "g1pk": keys.leaving(tenant),
                    "g1sk": f"{at}#{dataset.id}",
                },
                condition="#status = :active",
                active="ACTIVE",
            ),
            self._table.write(
                "Delete",
                pk=keys.unique(tenant, "dataset", dataset.name),
                condition="attribute_not_exists(#pk) OR #id = :mine",
                mine=dataset.id,
            ),
        ]
        with contextlib.suppress(TransactionFailed):  # somebody else began: what stands tells
            self._table.transact(writes)
        stands = self._datasets.get_dataset(tenant, dataset.id)
        if stands is None:
            raise NotFound("dataset", dataset.id)
        return stands

    def end_dataset(self, tenant: str, dataset_id: str, at: str) -> Dataset:
        """DELETED. Raises NotFound. 1 call."""
        return from_item(Dataset, self._end(keys.dataset(tenant, dataset_id), ("dataset", dataset_id), at))

    def _end(self, pk: str, entity: tuple[str, str], at: str) -> Item:
        try:
            return self._table.update(
                pk,
                set={"status": "DELETED", "updated_at": at},
                remove=("g1pk", "g1sk", "manifest_prefix"),
                condition="#status = :leaving",
                leaving="DELETING",
            )
        except ConditionFailed as lost:
            if not lost.item:
                raise NotFound(*entity) from lost
            if lost.item["status"] == "DELETED":
                return lost.item
            raise IllegalTransition(*entity, lost.item["status"], "DELETED") from lost

    def unfinished(self, tenant: str) -> Iterator[Dataset | DatasetVersion]:
        """E. What is DELETING, the oldest first: versions and datasets."""
        for item in self._table.query_all(keys.leaving(tenant), index=keys.BY_TIME):
            yield version_of(item) if "version" in item else from_item(Dataset, item)

    def users(self, tenant: str, version_id: str) -> list[str]:
        """S. The versions that took this one's members over. 1 call."""
        items = self._table.query_all(keys.version(tenant, version_id), prefix="USE#", consistent=True)
        return [str(item["id"]) for item in items]

    def forget_user(self, tenant: str, version_id: str, user_id: str) -> None:
        """This version no longer uses the other's members. 1 call, 1 WRU."""
        self._table.delete(keys.version(tenant, version_id), keys.user(user_id))

    def forget_segment(self, tenant: str, version_id: str, segment_id: str) -> None:
        """1 call, 1 WRU."""
        self._table.delete(keys.version(tenant, version_id), keys.segment(segment_id))
