"""What a deletion does to records of raw data: mark first, forget last (docs/deletion.md).

Kept apart from `raw_data.py`: only the services of deletion write here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.models import Model, Release
from dataloop.domain.raw_data import Location, RawData
from dataloop.domain.tasks import Task
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import TOUCHED
from dataloop.repositories.raw_data import location_attribute, location_item, raw_data_of
from dataloop.repositories.table import ConditionFailed, Table

_FACTS = ("sha256", "size_bytes", "media_type", "width", "height", "rejected", "phash", "hints")
# What stays of an erased record: enough to refuse late copies of it.
_KEPT = {"pk", "sk", "tenant", "uid", "erased_at", "deletion_id", "reopened_at", "reopened_by", "cleared_at"}
_IS_LIVE = "attribute_not_exists(#erased_at) OR #reopened_at > #erased_at"


class ErasureRepository:
    """Reads are strongly consistent (S)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def is_known(self, tenant: str, uid: str) -> bool:
        """S. Is there a record, or an annotation that came before its file? 1 or 2 calls."""
        pk = keys.raw(tenant, uid)
        return self._table.get(pk) is not None or bool(self._table.query(pk, limit=1, consistent=True).items)

    def mark(self, tenant: str, uid: str, deletion_id: str, at: str) -> RawData:
        """From here on nobody reads, labels or builds with this content. Marked already: what stands. 1 or 2 calls."""
        pk = keys.raw(tenant, uid)
        try:
            item = self._table.update(
                pk,
                set={"tenant": tenant, "uid": uid, "erased_at": at, "deletion_id": deletion_id},
                remove=("cleared_at",),
                condition=_IS_LIVE,
            )
        except ConditionFailed as lost:
            item = lost.item
        return raw_data_of(item)

    def note_late(self, tenant: str, uid: str, location: Location) -> bool:
        """An older copy was found after the erasure: keep its place, so that the deletion can remove it. 1 call.

        False: this place was known already.
        """
        attribute = location_attribute(location)
        try:
            self._table.update(
                keys.raw(tenant, uid),
                set={attribute: location_item(location)},
                condition=f"attribute_exists(#erased_at) AND"
                f" (attribute_not_exists(#{attribute}) OR #{attribute}.#seq < :seq)",
                seq=location.sequencer,
            )
        except ConditionFailed:
            return False
        return True

    def forget(self, tenant: str, uid: str, at: str) -> None:
        """Take everything out of a marked record but the mark itself. What came with a new upload stays.

        2 calls; 2 more for each upload that comes in between.
        """
        pk = keys.raw(tenant, uid)
        while item := self._table.get(pk):
            raw = raw_data_of(item)
            if raw.erased_at is None:
                return
            names = sorted(_stale_names(item, raw))
            by = item.get("reopened_by")
            condition = "#erased_at = :erased AND " + (
                "#reopened_by = :by" if by else "attribute_not_exists(#reopened_by)"
            )
            try:
                self._table.update(
                    pk,
                    set={"cleared_at": item.get("cleared_at", at)},
                    remove=names,
                    condition=condition,
                    erased=raw.erased_at,
                    **({"by": by} if by else {}),
                )
            except ConditionFailed:
                continue  # a new upload came while we looked
            return

    def records(self, tenant: str, uids: Iterable[str]) -> dict[str, RawData]:
        """S. The records among these, by uid. 1 call per 100."""
        items = self._table.get_many(((keys.raw(tenant, uid), keys.ROOT) for uid in uids), consistent=True)
        return {raw.uid: raw for raw in map(raw_data_of, items)}

    def edges(self, tenant: str, uid: str) -> list[str]:
        """S. Ids of the annotations that speak of this content. 1 call per thousand."""
        items = self._table.query_all(keys.raw(tenant, uid), prefix="ANN#", consistent=True)
        return [item["sk"].removeprefix("ANN#") for item in items]

    def forget_annotation(self, tenant: str, annotation_id: str, uid: str) -> str:
        """Take one image out of an annotation: removed whole when it speaks of no other, else shortened; and its edge.

        The edge goes last, so that a repeat finds what is left. Answers removed, shortened or gone. 2 or 3 calls.
        """
        pk = keys.annotation(tenant, annotation_id)
        outcome = "gone"
        while item := self._table.get(pk):
            seen = list(item["data_ids"])
            others = [other for other in seen if other != uid]
            if others == seen:
                outcome = "shortened"
                break
            try:
                if others:
                    self._table.update(pk, set={"data_ids": others}, condition="#data_ids = :seen", seen=seen)
                else:
                    self._table.delete(pk, condition="#data_ids = :seen", seen=seen)
            except ConditionFailed:
                continue  # another deletion took another image out of it meanwhile
            outcome = "shortened" if others else "removed"
            break
        self._table.delete(keys.raw(tenant, uid), keys.edge(annotation_id))
        return outcome

    def speaks_of(self, tenant: str, annotation_id: str, uid: str) -> bool:
        """S. Does an annotation still name this content? 1 call."""
        item = self._table.get(keys.annotation(tenant, annotation_id))
        return item is not None and uid in item["data_ids"]

    def forget_items(self, items: Iterable[Item]) -> None:
        """Delete items by their keys. 1 call each."""
        for item in items:
            self._table.delete(item["pk"], item["sk"])

    def speaks_only_of(self, tenant: str, annotation_id: str, uid: str) -> bool:
        """S. Does an annotation name this content and no other, or is it gone? 1 call."""
        item = self._table.get(keys.annotation(tenant, annotation_id))
        return item is None or list(item["data_ids"]) == [uid]

    def note_build(self, tenant: str, version_id: str, deletion_id: str, at: str) -> bool:
        """Tell a version that is being built what was erased meanwhile. False: it is not being built. 1 call."""
        try:
            self._table.update(
                keys.version(tenant, version_id),
                set={f"erase_{deletion_id.replace('-', '_')}": {"id": deletion_id, "at": at}},
                condition="#status = :building",
                building="BUILDING",
            )
        except ConditionFailed:
            return False
        return True

    def noted_in_build(self, tenant: str, version_id: str) -> list[str]:
        """S. Ids of the deletions that a build was told of. 1 call."""
        item = self._table.get(keys.version(tenant, version_id)) or {}
        return [item[name]["id"] for name in sorted(item) if name.startswith("erase_")]

    def touch_version(
        self, version: DatasetVersion, deletion_id: str, facts: Mapping[str, Any], **changes: object
    ) -> None:
        """Mark a version as touched by a deletion, with what changed of it; marked again it is the same. 1 call."""
        self._touch(keys.version(version.tenant, version.id), deletion_id, facts, changes)

    def touch_model(self, model: Model, deletion_id: str, facts: Mapping[str, Any]) -> None:
        """The same for a model. 1 call."""
        self._touch(keys.model(model.tenant, model.id), deletion_id, facts, {})

    def touch_release(self, release: Release, deletion_id: str, facts: Mapping[str, Any]) -> None:
        """The same for a release. 1 call."""
        self._touch(keys.release(release.tenant, release.id), deletion_id, facts, {})

    def _touch(self, pk: str, deletion_id: str, facts: Mapping[str, Any], changes: Mapping[str, object]) -> None:
        marks = {touched_attribute(deletion_id): dict(facts) | {"deletion_id": deletion_id}}
        with contextlib.suppress(ConditionFailed):
            self._table.update(pk, set=marks | dict(changes), condition="attribute_exists(#pk)")

    def rewrite_task(self, task: Task, **changes: object) -> None:
        """Replace what an ended task says; one that moved on is left. 1 call."""
        pk = keys.task(task.tenant, task.id)
        with contextlib.suppress(ConditionFailed):
            self._table.update(pk, set=changes, condition="#status = :status", status=task.status)

    def rewrite_model(self, model: Model, **changes: object) -> None:
        """The same of a model. 1 call."""
        pk = keys.model(model.tenant, model.id)
        with contextlib.suppress(ConditionFailed):
            self._table.update(pk, set=changes, condition="#status = :status", status=model.status)


def touched_attribute(deletion_id: str) -> str:
    """The attribute that says what a deletion did to an entity."""
    return f"{TOUCHED}{deletion_id.replace('-', '_')}"


def _stale_names(item: Item, raw: RawData) -> set[str]:
    """The attributes that the erasure takes."""
    if raw.is_erased:
        return {name for name in item if name not in _KEPT}
    names = {location_attribute(at) for at in raw.locations if not raw.is_after_erasure(at)}
    if not raw.live_locations:
        names |= {name for name in _FACTS if name in item}
    if raw.meta_at is not None and raw.erased_at is not None and raw.meta_at <= raw.erased_at:
        names |= {"meta", "meta_at"}
    return names
