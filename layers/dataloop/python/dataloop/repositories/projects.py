"""Projects and their tags. Names are unique through items written in the same transaction (design §5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dataloop.domain.errors import Conflict, IllegalTransition, NotFound, Throttled
from dataloop.domain.projects import Project, Tag
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed, Write

UNLESS_EXISTS = "attribute_not_exists(#pk)"
IF_MINE = "attribute_not_exists(#pk) OR #id = :mine"
# Kinds of which a project has at most one tag.
SINGLE_KINDS = ("negative", "general_product")
# A project whose copy failed may still be corrected, deleted and used; only one on its way out is closed.
OPEN = ("ACTIVE", "IMPORTING", "FAILED")


class ProjectRepository:
    """Reads are strongly consistent (S) but for lists of projects (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, project: Project) -> Project:
        """Write a project and its unique name. Raises Conflict(project); the same id again returns what stands.

        Cost: 1–2 calls, 6 WRU.
        """
        tenant = project.tenant
        item = to_item(
            project,
            keys.project(tenant, project.id),
            keys.ROOT,
            g1pk=keys.projects(tenant),
            g1sk=f"{project.created_at}#{project.id}",
        )
        writes = [
            self._table.write("Put", item=item, condition=UNLESS_EXISTS),
            self._name(tenant, "project", project.id, project.name),
        ]
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            stands = self.get(tenant, project.id)
            if stands is None:
                raise Conflict("project", project.name) from lost
            return stands
        return project

    def get(self, tenant: str, project_id: str) -> Project | None:
        """S. One on its way out too: its status says so. 1 call."""
        item = self._table.get(keys.project(tenant, project_id))
        return from_item(Project, item) if item else None

    def of_tenant(self, tenant: str, limit: int) -> list[Project]:
        """E. Newest first, without those being deleted. 1 call per megabyte."""
        found: list[Project] = []
        cursor: str | None = None
        while len(found) < limit:
            page = self._table.query(
                keys.projects(tenant),
                index=keys.BY_TIME,
                limit=limit - len(found),
                newest_first=True,
                cursor=cursor,
            )
            found += [from_item(Project, item) for item in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        return found

    def update(self, project: Project, at: str, **changes: Any) -> Project:
        """Change fields of a project that is still at its revision; a new name takes the place of the old one.

        Raises NotFound, IllegalTransition (being deleted), Conflict(project), Throttled (changed meanwhile).
        Cost: 1 transaction, 4 WRU; 4 more and two index entries with a new name.
        """
        tenant, name = project.tenant, changes.get("name", project.name)
        values: dict[str, Any] = {"updated_at": at, "revision": project.revision + 1} | changes
        writes = [self._change(project, values)]
        if name != project.name:
            writes += self._rename(tenant, project.id, "project", (project.name,), (name,))
        self._commit(writes, project, 1, Conflict("project", name))
        return replace(project, **values)

    def begin_deletion(self, project: Project, at: str) -> Project:
        """DELETING: out of the list, its name free. Being there already is no error. Raises NotFound. 1–2 calls."""
        leaving = {
            "status": "DELETING",
            "updated_at": at,
            "g1pk": keys.leaving_projects(project.tenant),
            "g1sk": f"{at}#{project.id}",
        }
        writes = [
            self._change(project, leaving | {"revision": project.revision + 1}),
            self._table.write(
                "Delete",
                pk=keys.unique(project.tenant, "project", project.name),
                condition=IF_MINE,
                mine=project.id,
            ),
        ]
        try:
            self._commit(writes, project, 1, Throttled("this project keeps changing"))
        except IllegalTransition:
            stands = self.get(project.tenant, project.id)
            if stands is None:
                raise NotFound("project", project.id) from None
            return stands
        return replace(project, status="DELETING", updated_at=at, revision=project.revision + 1)

    def end_deletion(self, project: Project) -> None:
        """Remove the project's own item, when nothing else of it is left. Again is no error. 1 call."""
        try:
            self._table.delete(
                keys.project(project.tenant, project.id),
                condition="attribute_not_exists(#pk) OR #status = :leaving",
                leaving="DELETING",
            )
        except ConditionFailed as lost:
            raise IllegalTransition("project", project.id, lost.item["status"], "removing") from lost

    def leaving(self, tenant: str) -> Iterator[Project | tuple[str, Tag]]:
        """E. What a sweep finishes, the oldest first: projects being deleted, and (when, tag) of deleted tags."""
        for item in self._table.query_all(keys.leaving_projects(tenant), index=keys.BY_TIME):
            if item["sk"] == keys.ROOT:
                yield from_item(Project, item)
            else:
                yield str(item["deleted_at"]), from_item(Tag, item)

    def create_tag(self, tag: Tag) -> Tag:
        """Write a tag and its unique name; the same id again returns what stands.

        Raises Conflict (`tag`, or `negative tag`, `general_product tag` where the project has its one of the kind),
        NotFound(project). Cost: 1 transaction, 8 WRU.
        """
        item = to_item(tag, keys.project(tag.tenant, tag.project_id), keys.tag(tag.id))
        writes = [
            self._is_open(tag.tenant, tag.project_id),
            self._table.write("Put", item=item, condition=UNLESS_EXISTS),
            self._name(tag.tenant, "tag", tag.id, tag.project_id, tag.name),
        ]
        if tag.kind in SINGLE_KINDS:
            writes.append(self._name(tag.tenant, "tag kind", tag.id, tag.project_id, tag.kind))
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            stands = self.tag(tag.tenant, tag.project_id, tag.id)
            if stands is not None:
                return stands
            raise self._refusal(lost.failed, tag) from lost
        return tag

    def tags(self, tenant: str, project_id: str) -> list[Tag]:
        """S. In the order they were made. 1 call per megabyte."""
        items = self._table.query_all(keys.project(tenant, project_id), prefix="TAG#", consistent=True)
        return [from_item(Tag, item) for item in items]

    def tag(self, tenant: str, project_id: str, tag_id: str) -> Tag | None:
        """S. 1 call."""
        item = self._table.get(keys.project(tenant, project_id), keys.tag(tag_id))
        return from_item(Tag, item) if item else None

    def update_tag(self, tag: Tag, *, name: str, description: str, kind: str) -> Tag:
        """Change what was read as `tag`; its count of images is not touched.

        Raises NotFound, Conflict as `create_tag`, Throttled (changed meanwhile). Cost: 1 transaction, 2 to 18 WRU.
        """
        changed = replace(tag, name=name, description=description, kind=kind)
        writes = [
            self._is_open(tag.tenant, tag.project_id),
            self._table.write(
                "Update",
                pk=keys.project(tag.tenant, tag.project_id),
                sk=keys.tag(tag.id),
                set={"name": name, "description": description, "kind": kind},
                condition="#name = :seen_name AND #kind = :seen_kind",
                seen_name=tag.name,
                seen_kind=tag.kind,
            ),
        ]
        if name != tag.name:
            writes += self._rename(tag.tenant, tag.id, "tag", (tag.project_id, tag.name), (tag.project_id, name))
        kinds = [each for each in (kind, tag.kind) if each in SINGLE_KINDS and kind != tag.kind]
        if kind in kinds:
            writes.append(self._name(tag.tenant, "tag kind", tag.id, tag.project_id, kind))
        if tag.kind in kinds:
            writes.append(self._forget_name(tag.tenant, "tag kind", tag.id, tag.project_id, tag.kind))
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            if 1 not in lost.failed:
                raise self._refusal(lost.failed, changed, had_name=name == tag.name) from lost
            if not lost.failed[1]:
                raise NotFound("tag", tag.id) from lost
            raise Throttled("the tag was changed meanwhile: read it again") from lost
        return changed

    def delete_tag(self, tag: Tag, at: str) -> None:
        """Take a tag out of the project: its name is free, and a note stays until no image has it. Again is no error.

        Raises Throttled (renamed meanwhile). Cost: 1 transaction, 10 WRU.
        """
        pk = keys.project(tag.tenant, tag.project_id)
        note: Item = to_item(tag, pk, keys.deleted_tag(tag.id), g1pk=keys.leaving_projects(tag.tenant))
        writes = [
            self._table.write(
                "Delete",
                pk=pk,
                sk=keys.tag(tag.id),
                condition="#name = :seen_name AND #kind = :seen_kind",
                seen_name=tag.name,
                seen_kind=tag.kind,
            ),
            self._table.write("Put", item=note | {"g1sk": f"{at}#{tag.id}", "deleted_at": at}),
            self._forget_name(tag.tenant, "tag", tag.id, tag.project_id, tag.name),
        ]
        if tag.kind in SINGLE_KINDS:
            writes.append(self._forget_name(tag.tenant, "tag kind", tag.id, tag.project_id, tag.kind))
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            if lost.failed.get(0):
                raise Throttled("the tag was changed meanwhile: read it again") from lost

    def forget_deleted_tag(self, tenant: str, project_id: str, tag_id: str) -> None:
        """No image has the deleted tag any more. 1 call, 1 WRU."""
        self._table.delete(keys.project(tenant, project_id), keys.deleted_tag(tag_id))

    def is_deleted_tag(self, tenant: str, project_id: str, tag_id: str) -> str | None:
        """S. When it was deleted, while its note stands. 1 call."""
        item = self._table.get(keys.project(tenant, project_id), keys.deleted_tag(tag_id))
        return str(item["deleted_at"]) if item else None

    def drop_tag(self, tag: Tag) -> None:
        """Remove a tag of a project that is being deleted, with its names and its note. Again is no error. 3–4 calls."""
        pk = keys.project(tag.tenant, tag.project_id)
        names = [("tag", tag.name)] + ([("tag kind", tag.kind)] if tag.kind in SINGLE_KINDS else [])
        for kind, name in names:
            self._table.delete(keys.unique(tag.tenant, kind, tag.project_id, name))
        self._table.delete(pk, keys.deleted_tag(tag.id))
        self._table.delete(pk, keys.tag(tag.id))

    def deleted_tags(self, tenant: str, project_id: str) -> list[Tag]:
        """S. Those that images may still have. 1 call."""
        items = self._table.query_all(keys.project(tenant, project_id), prefix="GONETAG#", consistent=True)
        return [from_item(Tag, item) for item in items]

    def _change(self, project: Project, values: Mapping[str, object]) -> Write:
        named: dict[str, Any] = {f"open{index}": status for index, status in enumerate(OPEN)}
        return self._table.write(
            "Update",
            pk=keys.project(project.tenant, project.id),
            set=values,
            condition=f"#status IN ({', '.join(f':{name}' for name in named)}) AND #revision = :seen",
            seen=project.revision,
            **named,
        )

    def _commit(self, writes: list[Write], project: Project, first_name: int, taken: Exception) -> None:
        """Write; `first_name`: the first write about a name, whose loss means `taken`."""
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            stands = lost.failed.get(0)
            if stands is None:
                assert min(lost.failed) >= first_name
                raise taken from lost
            if not stands:
                raise NotFound("project", project.id) from lost
            if stands["status"] not in OPEN:
                raise IllegalTransition("project", project.id, stands["status"], "changing") from lost
            raise Throttled("the project was changed meanwhile: read it again") from lost

    def _is_open(self, tenant: str, project_id: str) -> Write:
        named: dict[str, Any] = {f"open{index}": status for index, status in enumerate(OPEN)}
        condition = f"#status IN ({', '.join(f':{name}' for name in named)})"
        return self._table.write("ConditionCheck", pk=keys.project(tenant, project_id), condition=condition, **named)

    def _name(self, tenant: str, kind: str, id: str, *names: str) -> Write:
        item = {"pk": keys.unique(tenant, kind, *names), "sk": keys.ROOT, "id": id}
        return self._table.write("Put", item=item, condition=IF_MINE, mine=id)

    def _forget_name(self, tenant: str, kind: str, id: str, *names: str) -> Write:
        return self._table.write("Delete", pk=keys.unique(tenant, kind, *names), condition=IF_MINE, mine=id)

    def _rename(self, tenant: str, id: str, kind: str, before: tuple[str, ...], after: tuple[str, ...]) -> list[Write]:
        return [self._name(tenant, kind, id, *after), self._forget_name(tenant, kind, id, *before)]

    def _refusal(self, failed: Mapping[int, Item], tag: Tag, *, had_name: bool = False) -> Exception:
        """Why a tag could not be written: 0 is the project's check, 1 the tag, 2 its name, then its kind."""
        if 0 in failed:
            return NotFound("project", tag.project_id)
        if 2 in failed and not had_name:
            return Conflict("tag", tag.name)
        return Conflict(f"{tag.kind} tag", tag.name)
