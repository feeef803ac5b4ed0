"""Deletions: one item each; what they did is in S3."""

from __future__ import annotations

from dataloop.domain.erasure import Deletion
from dataloop.domain.errors import NotFound
from dataloop.repositories import keys, lifecycle
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table


class DeletionRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, deletion: Deletion) -> Deletion:
        """Write a deletion; the same id again returns what stands. 1 call."""
        item = to_item(
            deletion,
            keys.deletion(deletion.tenant, deletion.id),
            keys.ROOT,
            g1pk=keys.deletions(deletion.tenant),
            g1sk=f"{deletion.created_at}#{deletion.id}",
        )
        return _deletion(lifecycle.create(self._table, item))

    def find(self, tenant: str, deletion_id: str) -> Deletion | None:
        """S. 1 call."""
        item = self._table.get(keys.deletion(tenant, deletion_id))
        return _deletion(item) if item else None

    def get(self, tenant: str, deletion_id: str) -> Deletion:
        """S. Raises NotFound. 1 call."""
        found = self.find(tenant, deletion_id)
        if found is None:
            raise NotFound("deletion", deletion_id)
        return found

    def note(self, deletion: Deletion, at: str, **changes: object) -> Deletion:
        """Change fields of a deletion that is not DONE; a finished one is left as it is and returned. 1 call."""
        try:
            item = self._table.update(
                keys.deletion(deletion.tenant, deletion.id),
                set={"updated_at": at} | changes,
                condition="attribute_exists(#pk) AND #status <> :done",
                done="DONE",
            )
        except ConditionFailed as lost:
            if not lost.item:
                raise NotFound("deletion", deletion.id) from lost
            return _deletion(lost.item)
        return _deletion(item)

    def page(self, tenant: str, *, limit: int, cursor: str | None) -> tuple[list[Deletion], str | None]:
        """E. Newest first."""
        page = self._table.query(
            keys.deletions(tenant), index=keys.BY_TIME, limit=limit, newest_first=True, cursor=cursor
        )
        return [_deletion(item) for item in page.items], page.cursor


def _deletion(item: Item) -> Deletion:
    return from_item(Deletion, item, unknown=tuple(item.get("unknown", ())))
