"""Datasets, versions and segments. Names are unique through items written in the same transaction (design §5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dataloop.domain import transitions
from dataloop.domain.datasets import Dataset, DatasetVersion, Segment
from dataloop.domain.errors import Conflict, IllegalTransition, NotFound
from dataloop.domain.splits import SplitPolicy
from dataloop.repositories import keys, lifecycle
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import Table, TransactionFailed


class DatasetRepository:
    """Reads are strongly consistent (S) but for lists (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create_version(self, dataset: Dataset, version: DatasetVersion) -> DatasetVersion:
        """Write a version, and its dataset when the name is new, with both names, in one transaction.

        Returns the version with the id of the dataset that owns the name. Raises Conflict(dataset version) when
        name+version exists; the same version id again is a retry and returns what stands.
        Cost: 1–3 calls, 8 + 2 WRU.
        """
        tenant = dataset.tenant
        owner = self.find_dataset(tenant, dataset.name)
        if owner is not None:
            version = replace(version, dataset_id=owner.id)
        unless_exists = "attribute_not_exists(#pk)"
        writes = [
            self._table.write("Put", item=self._version_item(version), condition=unless_exists),
            self._table.write(
                "Put",
                item={
                    "pk": keys.unique(tenant, "version", dataset.name, version.version),
                    "sk": keys.ROOT,
                    "id": version.id,
                },
                condition=unless_exists,
            ),
        ]
        if owner is None:
            writes += [
                self._table.write(
                    "Put",
                    item=to_item(
                        dataset,
                        keys.dataset(tenant, dataset.id),
                        keys.ROOT,
                        g1pk=keys.datasets(tenant),
                        g1sk=f"{dataset.created_at}#{dataset.id}",
                    ),
                    condition=unless_exists,
                ),
                self._table.write(
                    "Put",
                    item={"pk": keys.unique(tenant, "dataset", dataset.name), "sk": keys.ROOT, "id": dataset.id},
                    condition=unless_exists,
                ),
            ]
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            existing = self.find_version(tenant, dataset.name, version.version)
            if existing is None:
                # Somebody made the dataset between our look and our write: with its owner known the next try is plain.
                if owner is None and {2, 3} & set(lost.failed):
                    return self.create_version(dataset, version)
                raise
            if existing.id != version.id:
                raise Conflict("dataset version", f"{dataset.name} {version.version}") from lost
            return existing
        return version

    def _version_item(self, version: DatasetVersion) -> Item:
        return to_item(
            version,
            keys.version(version.tenant, version.id),
            keys.ROOT,
            g1pk=keys.versions(version.tenant),
            g1sk=f"{version.created_at}#{version.id}",
            g2pk=keys.dataset(version.tenant, version.dataset_id),
            g2sk=f"V#{version.created_at}#{version.id}",
        )

    def find_dataset(self, tenant: str, name: str) -> Dataset | None:
        """S. 2 calls."""
        pointer = self._table.get(keys.unique(tenant, "dataset", name))
        item = self._table.get(keys.dataset(tenant, pointer["id"])) if pointer else None
        return from_item(Dataset, item) if item else None

    def find_version(self, tenant: str, name: str, version: str) -> DatasetVersion | None:
        """S. 2 calls."""
        pointer = self._table.get(keys.unique(tenant, "version", name, version))
        return self.get_version(tenant, pointer["id"]) if pointer else None

    def get_version(self, tenant: str, version_id: str) -> DatasetVersion | None:
        """S. 1 call."""
        item = self._table.get(keys.version(tenant, version_id))
        return _version(item) if item else None

    def list_versions(
        self, tenant: str, *, limit: int, cursor: str | None, dataset_id: str | None = None
    ) -> tuple[list[DatasetVersion], str | None]:
        """E. Newest first, of one dataset or of all."""
        if dataset_id:
            page = self._table.query(
                keys.dataset(tenant, dataset_id),
                index=keys.BY_PARENT,
                prefix="V#",
                limit=limit,
                newest_first=True,
                cursor=cursor,
            )
        else:
            page = self._table.query(
                keys.versions(tenant), index=keys.BY_TIME, limit=limit, newest_first=True, cursor=cursor
            )
        return [_version(item) for item in page.items], page.cursor

    def add_segment(self, tenant: str, segment: Segment) -> None:
        """Append a segment to a draft. Raises NotFound, IllegalTransition. The same segment again changes nothing.

        Cost: 1 transaction of a check and a put, 4 WRU.
        """
        writes = [
            self._table.write(
                "ConditionCheck",
                pk=keys.version(tenant, segment.version_id),
                condition="#status = :draft",
                draft="DRAFT",
            ),
            self._table.write(
                "Put",
                item=to_item(segment, keys.version(tenant, segment.version_id), keys.segment(segment.id)),
                condition="attribute_not_exists(#pk)",
            ),
        ]
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            if 0 not in lost.failed:
                return
            stands = self.get_version(tenant, segment.version_id)
            if stands is None:
                raise NotFound("dataset version", segment.version_id) from lost
            raise IllegalTransition("dataset version", stands.id, stands.status, "linking") from lost

    def segments(self, tenant: str, version_id: str) -> Iterator[Segment]:
        """S. All segments of a version."""
        for item in self._table.query_all(keys.version(tenant, version_id), prefix="SEG#", consistent=True):
            yield from_item(Segment, item)

    def move(
        self, tenant: str, version_id: str, status: str, at: str, *, owner: str | None = None, **changes: object
    ) -> DatasetVersion:
        """Change a version's status as the table of transitions allows, with other fields.

        owner: only the version of this task moves; another task may be building it by now.
        Raises NotFound, IllegalTransition; a move that has already happened with the same task is no error.
        """
        found = lifecycle.move(
            self._table,
            keys.version(tenant, version_id),
            ("dataset version", version_id),
            transitions.DATASET_VERSION,
            status,
            {"updated_at": at} | changes,
            is_done=lambda stands: changes.get("task_id", stands.get("task_id")) == stands.get("task_id"),
            owner=owner,
        )
        return _version(found)


def _version(item: Item) -> DatasetVersion:
    return from_item(DatasetVersion, item, split=SplitPolicy(**item["split"]))
