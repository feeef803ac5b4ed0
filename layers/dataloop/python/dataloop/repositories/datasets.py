"""Datasets, versions and segments. Names are unique through items written in the same transaction (design §5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dataloop.domain import transitions
from dataloop.domain.datasets import MAX_TAGS, Dataset, DatasetVersion, Segment
from dataloop.domain.errors import Conflict, IllegalTransition, LimitExceeded, NotFound, Throttled
from dataloop.domain.splits import SplitPolicy
from dataloop.repositories import keys, lifecycle
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed, Write

# Two people who tag one dataset at once: the later one looks again. Nobody tags faster than this.
ATTEMPTS = 5
UNLESS_EXISTS = "attribute_not_exists(#pk)"


class DatasetRepository:
    """Reads are strongly consistent (S) but for lists (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create_version(self, dataset: Dataset, version: DatasetVersion) -> DatasetVersion:
        """Write a version, and its dataset when the name is new, with both names, in one transaction.

        Returns the version with the id of the dataset that owns the name. Raises Conflict(dataset version) when
        name+version exists, as a version or as a tag; the same version id again is a retry and returns what stands.
        Cost: 1–3 calls, 8 + 2 WRU.
        """
        tenant = dataset.tenant
        owner = self.find_dataset(tenant, dataset.name)
        version = replace(version, dataset_id=(owner or dataset).id)
        writes = [
            self._table.write("Put", item=self._version_item(version), condition=UNLESS_EXISTS),
            self._name(tenant, dataset.name, version.version, version.id),
        ]
        if owner is None:
            writes += self._dataset_writes(dataset)
        else:
            writes.append(self._is_active(owner))
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            stands = self.get_version(tenant, version.id)
            if stands is not None:
                return stands
            if 1 not in lost.failed and {2, 3} & set(lost.failed):
                # Somebody made or deleted the dataset between our look and our write: the next look tells.
                return self.create_version(dataset, version)
            raise Conflict("dataset version", f"{dataset.name} {version.version}") from lost
        return version

    def create_dataset(self, dataset: Dataset) -> Dataset:
        """Write a dataset that has no version yet. Raises Conflict(dataset); the same id again returns what stands.

        Cost: 1–2 calls, 6 WRU.
        """
        try:
            self._table.transact(self._dataset_writes(dataset))
        except TransactionFailed as lost:
            stands = self.get_dataset(dataset.tenant, dataset.id)
            if stands is None:
                raise Conflict("dataset", dataset.name) from lost
            return stands
        return dataset

    def _dataset_writes(self, dataset: Dataset) -> list[Write]:
        item = to_item(
            dataset,
            keys.dataset(dataset.tenant, dataset.id),
            keys.ROOT,
            g1pk=keys.datasets(dataset.tenant),
            g1sk=f"{dataset.created_at}#{dataset.id}",
        )
        name = {"pk": keys.unique(dataset.tenant, "dataset", dataset.name), "sk": keys.ROOT, "id": dataset.id}
        return [self._table.write("Put", item=each, condition=UNLESS_EXISTS) for each in (item, name)]

    def _name(self, tenant: str, name: str, version: str, version_id: str) -> Write:
        item = {"pk": keys.unique(tenant, "version", name, version), "sk": keys.ROOT, "id": version_id}
        return self._table.write("Put", item=item, condition=UNLESS_EXISTS)

    def _is_active(self, dataset: Dataset) -> Write:
        pk = keys.dataset(dataset.tenant, dataset.id)
        return self._table.write("ConditionCheck", pk=pk, condition="#status = :active", active="ACTIVE")

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
        return self.get_dataset(tenant, pointer["id"]) if pointer else None

    def get_dataset(self, tenant: str, dataset_id: str) -> Dataset | None:
        """S. 1 call."""
        item = self._table.get(keys.dataset(tenant, dataset_id))
        return from_item(Dataset, item) if item else None

    def list_datasets(self, tenant: str, *, limit: int, cursor: str | None) -> tuple[list[Dataset], str | None]:
        """E. Newest first; those being deleted are not among them. 1 call, 0.5 RRU per 4 KB."""
        page = self._table.query(
            keys.datasets(tenant), index=keys.BY_TIME, limit=limit, newest_first=True, cursor=cursor
        )
        return [from_item(Dataset, item) for item in page.items], page.cursor

    def update_dataset(
        self, tenant: str, dataset_id: str, at: str, *, seen: Dataset | None = None, **changes: object
    ) -> Dataset:
        """Change fields of an ACTIVE dataset (not its name: versions, loops and splits hang on it). 1 call, 2 WRU.

        seen: what the changes were worked out from; the dataset must still be at its revision.
        Raises NotFound, IllegalTransition, Throttled (somebody changed it meanwhile).
        """
        guard: dict[str, Any] = {} if seen is None else {"seen": seen.revision}
        is_unchanged = "" if seen is None else " AND (attribute_not_exists(#revision) OR #revision = :seen)"
        try:
            item = self._table.update(
                keys.dataset(tenant, dataset_id),
                set={"updated_at": at} | changes | ({} if seen is None else {"revision": seen.revision + 1}),
                condition="#status = :active" + is_unchanged,
                active="ACTIVE",
                **guard,
            )
        except ConditionFailed as lost:
            if not lost.item:
                raise NotFound("dataset", dataset_id) from lost
            if lost.item["status"] == "ACTIVE":
                raise Throttled("the dataset was changed meanwhile: read it again") from lost
            raise IllegalTransition("dataset", dataset_id, lost.item["status"], "changing") from lost
        return from_item(Dataset, item)

    def set_tag(self, tenant: str, version_id: str, tag: str, at: str) -> Dataset:
        """Let a tag of the dataset stand for this version from now on. Cost: 2 reads, 1 transaction of ≤ 10 WRU.

        The tag takes a place among the names of the dataset's versions, so that every look-up by name finds it.
        Raises NotFound, IllegalTransition (being deleted), Conflict (a version has this name), LimitExceeded.
        """
        return self._change_tags(tenant, version_id, tag, at, is_set=True)

    def remove_tag(self, tenant: str, version_id: str, tag: str, at: str) -> Dataset:
        """Forget a tag of this version. Raises NotFound (also when the tag stands for another version by now)."""
        return self._change_tags(tenant, version_id, tag, at, is_set=False)

    def _change_tags(self, tenant: str, version_id: str, tag: str, at: str, *, is_set: bool) -> Dataset:
        for _ in range(ATTEMPTS):
            version = self.get_version(tenant, version_id)
            dataset = self.get_dataset(tenant, version.dataset_id) if version else None
            if version is None or dataset is None:
                raise NotFound("dataset version", version_id)
            before = dataset.tags.get(tag)
            if is_set and before == version_id:
                return dataset
            if not is_set and before != version_id:
                raise NotFound("tag", tag)
            tags = {name: id for name, id in dataset.tags.items() if name != tag}
            if is_set:
                tags[tag] = version_id
            if len(tags) > MAX_TAGS:
                raise LimitExceeded("tags of a dataset", MAX_TAGS, len(tags))
            try:
                self._table.transact(self._tag_writes(dataset, version, tag, tags, at))
            except TransactionFailed as lost:
                if 1 in lost.failed:
                    raise Conflict("dataset version", f"{dataset.name} {tag}") from lost
                if 2 in lost.failed:
                    raise IllegalTransition(
                        "dataset version", version_id, lost.failed[2]["status"], "tagging"
                    ) from lost
                continue
            return replace(dataset, tags=tags, updated_at=at, revision=dataset.revision + 1)
        raise Throttled("the tags of this dataset keep changing")

    def _tag_writes(
        self, dataset: Dataset, version: DatasetVersion, tag: str, tags: dict[str, str], at: str
    ) -> list[Write]:
        """The dataset with its new tags, the name in the list of names, and the tags noted on the versions concerned."""
        tenant, name = dataset.tenant, keys.unique(dataset.tenant, "version", dataset.name, tag)
        is_tag = "attribute_not_exists(#pk) OR attribute_exists(#is_tag)"
        entry = {"pk": name, "sk": keys.ROOT, "id": tags.get(tag), "is_tag": True}
        writes = [
            self.tags_write(dataset, tags, at),
            self._table.write("Put", item=entry, condition=is_tag)
            if tag in tags
            else self._table.write("Delete", pk=name, condition=is_tag),
        ]
        concerned = [version.id, *({dataset.tags[tag]} - {version.id} if tag in dataset.tags else ())]
        writes += [
            self._table.write(
                "Update",
                pk=keys.version(tenant, id),
                set={"tags": sorted(name for name, each in tags.items() if each == id)},
                condition="attribute_exists(#pk) AND NOT #status IN (:leaving, :gone)",
                leaving="DELETING",
                gone="DELETED",
            )
            for id in concerned
        ]
        return writes

    def tags_write(self, dataset: Dataset, tags: dict[str, str], at: str) -> Write:
        """The dataset's tags as they shall be, if nobody changed them since we looked."""
        return self._table.write(
            "Update",
            pk=keys.dataset(dataset.tenant, dataset.id),
            set={"tags": tags, "updated_at": at, "revision": dataset.revision + 1},
            condition="attribute_exists(#pk) AND (attribute_not_exists(#revision) OR #revision = :seen)",
            seen=dataset.revision,
        )

    def find_version(self, tenant: str, name: str, version: str) -> DatasetVersion | None:
        """S. By the version's name or by one of the dataset's tags. 2 calls."""
        pointer = self._table.get(keys.unique(tenant, "version", name, version))
        return self.get_version(tenant, pointer["id"]) if pointer else None

    def get_version(self, tenant: str, version_id: str) -> DatasetVersion | None:
        """S. 1 call."""
        item = self._table.get(keys.version(tenant, version_id))
        return version_of(item) if item else None

    def list_versions(
        self, tenant: str, *, limit: int, cursor: str | None, dataset_id: str | None = None
    ) -> tuple[list[DatasetVersion], str | None]:
        """E. Newest first: of one dataset, with what was deleted of it, or of all, without."""
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
        return [version_of(item) for item in page.items], page.cursor

    def add_segment(self, tenant: str, segment: Segment) -> None:
        """Append a segment to a draft. Raises NotFound, IllegalTransition. The same segment again changes nothing.

        Ids that lie below another version are taken over from it: it is noted there who uses them, so that its
        deletion spares them; a version that is being deleted lends nothing any more.
        Cost: 1 transaction of a check and a put, 4 WRU; 4 more when taken over.
        """
        owner_id = segment.owner_id
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
                condition=UNLESS_EXISTS,
            ),
        ]
        if owner_id != segment.version_id:
            writes += self._use_writes(tenant, owner_id, segment.version_id)
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            if 1 in lost.failed and 0 not in lost.failed:
                return
            if 0 not in lost.failed:
                current = lost.failed[2].get("status", "gone")
                raise IllegalTransition("dataset version", owner_id, current, "taking over its members") from lost
            stands = self.get_version(tenant, segment.version_id)
            if stands is None:
                raise NotFound("dataset version", segment.version_id) from lost
            raise IllegalTransition("dataset version", stands.id, stands.status, "linking") from lost

    def _use_writes(self, tenant: str, owner_id: str, user_id: str) -> list[Write]:
        pk = keys.version(tenant, owner_id)
        is_there = "attribute_exists(#pk) AND NOT #status IN (:leaving, :gone)"
        note = {"pk": pk, "sk": keys.user(user_id), "tenant": tenant, "id": user_id}
        return [
            self._table.write("ConditionCheck", pk=pk, condition=is_there, leaving="DELETING", gone="DELETED"),
            self._table.write("Put", item=note),
        ]

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
        return version_of(found)


def version_of(item: Item) -> DatasetVersion:
    """The version that an item holds."""
    return from_item(DatasetVersion, item, split=SplitPolicy(**item["split"]), tags=tuple(item.get("tags", ())))
