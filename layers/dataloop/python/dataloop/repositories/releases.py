"""Releases and the one pointer per release name. Publishing is one conditional write of the pointer (design §6.3)."""

from __future__ import annotations

from dataloop.domain import transitions
from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.models import Release, ReleasePointer
from dataloop.repositories import keys, lifecycle
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item, touches_of
from dataloop.repositories.table import ConditionFailed, Table


class ReleaseRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, release: Release) -> Release:
        """Write a release; the same id again returns what stands."""
        item = to_item(
            release,
            keys.release(release.tenant, release.id),
            keys.ROOT,
            g1pk=keys.releases(release.tenant),
            g1sk=f"{release.created_at}#{release.id}",
            g2pk=keys.releases_of(release.tenant, release.model_id),
            g2sk=f"REL#{release.created_at}",
        )
        return _release(lifecycle.create(self._table, item))

    def get(self, tenant: str, release_id: str) -> Release:
        """S. Raises NotFound. 1 call."""
        item = self._table.get(keys.release(tenant, release_id))
        if item is None:
            raise NotFound("release", release_id)
        return _release(item)

    def move(self, release: Release, status: str, at: str, **changes: object) -> Release:
        """Change the status as the transitions allow. Raises IllegalTransition; being there already is no error."""
        pk, changed = keys.release(release.tenant, release.id), {"updated_at": at} | changes
        entity = ("release", release.id)
        return _release(lifecycle.move(self._table, pk, entity, transitions.RELEASE, status, changed))

    def note(self, release: Release, at: str, **changes: object) -> Release:
        """Change fields other than the status. Raises NotFound."""
        try:
            item = self._table.update(
                keys.release(release.tenant, release.id),
                set={"updated_at": at} | changes,
                condition="attribute_exists(#pk)",
            )
        except ConditionFailed as lost:
            raise NotFound("release", release.id) from lost
        return _release(item)

    def page(
        self, tenant: str, *, limit: int, cursor: str | None, name: str | None = None
    ) -> tuple[list[Release], str | None]:
        """E. Newest first. With a name: as many pages as it takes to find `limit` of that name."""
        found: list[Release] = []
        while True:
            page = self._table.query(
                keys.releases(tenant), index=keys.BY_TIME, limit=limit - len(found), newest_first=True, cursor=cursor
            )
            releases = (_release(item) for item in page.items)
            found += [release for release in releases if name in (None, release.name)]
            cursor = page.cursor
            if cursor is None or len(found) >= limit:
                return found, cursor

    def of_model(self, tenant: str, model_id: str) -> list[Release]:
        """E. The releases of one model."""
        items = self._table.query_all(keys.releases_of(tenant, model_id), index=keys.BY_PARENT)
        return [_release(item) for item in items]

    def pointer(self, tenant: str, name: str) -> ReleasePointer | None:
        """S. What the name stands for now. 1 call."""
        item = self._table.get(keys.pointer(tenant, name))
        return from_item(ReleasePointer, item) if item else None

    def move_pointer(self, pointer: ReleasePointer) -> ReleasePointer:
        """Set the pointer if its revision is still the one before ours (or it is the first).

        Raises IllegalTransition when somebody moved it meanwhile; the same move again returns what stands.
        """
        try:
            self._table.put(
                to_item(pointer, keys.pointer(pointer.tenant, pointer.name), keys.ROOT),
                condition="(attribute_not_exists(#pk) AND :before = :zero) OR #revision = :before",
                before=pointer.revision - 1,
                zero=0,
            )
        except ConditionFailed as lost:
            stands = from_item(ReleasePointer, lost.item) if lost.item else None
            if stands and (stands.release_id, stands.revision) == (pointer.release_id, pointer.revision):
                return stands
            current = f"at revision {stands.revision}" if stands else "unset"
            raise IllegalTransition("release pointer", pointer.name, current, "publishing") from lost
        return pointer

    def remove_pointer(self, pointer: ReleasePointer) -> None:
        """Forget a name, if its pointer still stands where we looked. Raises IllegalTransition."""
        try:
            self._table.delete(
                keys.pointer(pointer.tenant, pointer.name),
                condition="attribute_not_exists(#pk) OR #revision = :seen",
                seen=pointer.revision,
            )
        except ConditionFailed as lost:
            raise IllegalTransition("release pointer", pointer.name, "at another revision", "removing") from lost


def _release(item: Item) -> Release:
    return from_item(Release, item, touched_by=touches_of(item))
