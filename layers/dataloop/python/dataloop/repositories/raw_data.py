"""Raw data: two commutative, idempotent upserts on one content-addressed item (design §6.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloop.domain.errors import IllegalTransition, InvalidInput
from dataloop.domain.ids import location_hash
from dataloop.domain.raw_data import Location, ObjectFacts, RawData
from dataloop.domain.times import day_of
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item
from dataloop.repositories.table import ConditionFailed, Table

_FACTS = ("sha256", "size_bytes", "media_type", "width", "height", "rejected", "phash")


class RawDataRepository:
    """Records of raw data. Reads are strongly consistent (S) unless marked eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._noted: set[tuple[str, str]] = set()

    def put_object_half(self, tenant: str, uid: str, facts: ObjectFacts, location: Location, seen_at: str) -> bool:
        """Write what the bytes say and where they lie. True when something changed.

        A location only moves forward: an event that is not newer than the stored one for the same (bucket, key)
        changes nothing, so duplicates and late events are free.
        Raises IllegalTransition for bytes older than the erasure of this content.
        Cost: 1 call, 2 WRU (item and day index); 1 call more for the first of a process, tenant and day, and for content
        that was erased once.
        """
        self._note_day(tenant, day_of(seen_at))
        attribute = location_attribute(location)
        changes = {
            attribute: location_item(location),
            "tenant": tenant,
            "uid": uid,
            "g1pk": keys.day_partition(tenant, seen_at, uid),
            "g1sk": f"{seen_at}#{uid}",
            **{name: getattr(facts, name) for name in _FACTS if getattr(facts, name) is not None},
        }
        first = {"seen_at": seen_at}
        is_new = f"(attribute_not_exists(#{attribute}) OR #{attribute}.#seq < :seq)"
        pk, seq = keys.raw(tenant, uid), location.sequencer
        try:
            condition = f"{is_new} AND attribute_not_exists(#erased_at)"
            self._table.update(pk, set=changes, set_if_absent=first, condition=condition, seq=seq)
        except ConditionFailed as lost:
            if "erased_at" not in lost.item:
                return False
        else:
            return True
        # It was erased once: bytes that came after that are a new decision, older ones are not.
        changes |= {"reopened_at": location.modified, "reopened_by": f"{attribute}#{seq}"}
        condition, modified = f"{is_new} AND #erased_at < :modified", location.modified
        try:
            self._table.update(pk, set=changes, set_if_absent=first, condition=condition, seq=seq, modified=modified)
        except ConditionFailed as lost:
            if lost.item["erased_at"] >= location.modified:
                raise IllegalTransition("raw data", uid, "ERASED", "registering an older copy") from lost
            return False
        return True

    def _note_day(self, tenant: str, day: str) -> None:
        """Before the first record of a day: whoever looks for records must know the days that have some."""
        if (tenant, day) not in self._noted:
            self._table.put({"pk": keys.raw_days(tenant), "sk": day})
            self._noted.add((tenant, day))

    def days(self, tenant: str) -> list[str]:
        """S. Every day (yyyymmdd) on which a file of the tenant came, ascending. 1 call."""
        return [item["sk"] for item in self._table.query_all(keys.raw_days(tenant), consistent=True)]

    def put_phash(self, tenant: str, uid: str, phash: str) -> bool:
        """Add the perceptual hash that an older record lacks. True when something changed. Cost: 1 call, 2 WRU."""
        condition = "attribute_exists(#sha256) AND attribute_not_exists(#phash) AND attribute_not_exists(#erased_at)"
        try:
            self._table.update(keys.raw(tenant, uid), set={"phash": phash}, condition=condition)
        except ConditionFailed:
            return False
        return True

    def put_metadata_half(self, tenant: str, uid: str, meta: Mapping[str, Any], at: str) -> RawData:
        """Write what the client says. The last statement counts. Raises IllegalTransition for erased content.

        Cost: 1 call, 1–2 WRU.

        While no object half exists the item is listed under the day its metadata came, so that a sweep finds it.
        """
        try:
            item = self._table.update(
                keys.raw(tenant, uid),
                set={"tenant": tenant, "uid": uid, "meta": dict(meta), "meta_at": at},
                set_if_absent={"g1pk": keys.raw_waiting(tenant, day_of(at)), "g1sk": f"{at}#{uid}", "seen_at": at},
                remove=("orphaned_at",),
                condition="attribute_not_exists(#erased_at) OR #reopened_at > #erased_at",
            )
        except ConditionFailed as lost:
            raise IllegalTransition("raw data", uid, "ERASED", "describing it: upload the file again first") from lost
        return raw_data_of(item)

    def put_hints(self, tenant: str, uid: str, hints: Mapping[str, Any]) -> None:
        """Write what an imported label file says of the image; metadata stays as it is. Cost: 1 call, 1–2 WRU."""
        changes = {"tenant": tenant, "uid": uid, "hints": dict(hints)}
        condition = "attribute_not_exists(#erased_at) OR #reopened_at > #erased_at"
        try:
            self._table.update(keys.raw(tenant, uid), set=changes, condition=condition)
        except ConditionFailed:
            return  # erased: nothing is said of it any more

    def remove_location(self, tenant: str, uid: str, location: Location) -> bool:
        """Mark a location as removed, unless a newer event is already there. True when something changed."""
        attribute = location_attribute(location)
        try:
            self._table.update(
                keys.raw(tenant, uid),
                set={attribute: location_item(location)},
                condition="attribute_exists(#pk) AND (attribute_not_exists(#erased_at) OR #reopened_at > #erased_at)"
                f" AND (attribute_not_exists(#{attribute}) OR #{attribute}.#seq < :seq)",
                seq=location.sequencer,
            )
        except ConditionFailed:
            return False
        return True

    def reopen(self, tenant: str, uid: str, at: str) -> None:
        """Somebody is about to upload erased content again: its metadata and labels are welcome. 1 call."""
        try:
            self._table.update(
                keys.raw(tenant, uid),
                set={"reopened_at": at, "reopened_by": at},
                condition="#erased_at < :at AND (attribute_not_exists(#reopened_at) OR #reopened_at < #erased_at)",
                at=at,
            )
        except ConditionFailed:
            return

    def mark_orphaned(self, tenant: str, uid: str, at: str) -> None:
        """Say that a metadata half waited too long for its object; the object's arrival still completes it."""
        try:
            self._table.update(
                keys.raw(tenant, uid),
                set={"orphaned_at": at},
                condition="attribute_exists(#meta) AND attribute_not_exists(#sha256)",
            )
        except ConditionFailed:
            return

    def get(self, tenant: str, uid: str) -> RawData | None:
        """S. 1 call."""
        item = self._table.get(keys.raw(tenant, uid))
        return raw_data_of(item) if item else None

    def get_many(self, tenant: str, uids: Iterable[str], *, consistent: bool = False) -> dict[str, RawData]:
        """By uid, the existing ones. 1 call per 100."""
        items = self._table.get_many(((keys.raw(tenant, uid), keys.ROOT) for uid in uids), consistent=consistent)
        return {raw.uid: raw for raw in map(raw_data_of, items)}

    def annotation_ids(self, tenant: str, uid: str) -> list[str]:
        """S. The ids of the annotations that speak of this content, sorted."""
        items = self._table.query_all(keys.raw(tenant, uid), prefix="ANN#", consistent=True)
        return [item["sk"].removeprefix("ANN#") for item in items]

    def of_day(self, tenant: str, day: str, *, limit: int, cursor: str | None) -> tuple[list[RawData], str | None]:
        """E. Raw data whose object came (or went) last on yyyymmdd. The cursor is `<shard digit><cursor of the shard>`."""
        shard, inner = (cursor[0], cursor[1:] or None) if cursor else (keys.DAY_SHARDS[0], None)
        if shard not in keys.DAY_SHARDS:
            raise InvalidInput("cursor", "is not one this service gave out", cursor)
        found: list[RawData] = []
        for digit in keys.DAY_SHARDS[keys.DAY_SHARDS.find(shard) :]:
            page = self._table.query(
                keys.raw_day(tenant, day, digit), index=keys.BY_TIME, limit=limit - len(found), cursor=inner
            )
            found.extend(map(raw_data_of, page.items))
            if page.cursor:
                return found, digit + page.cursor
            inner = None
            if len(found) >= limit:
                following = keys.DAY_SHARDS.find(digit) + 1
                return found, keys.DAY_SHARDS[following] if following < len(keys.DAY_SHARDS) else None
        return found, None

    def waiting(self, tenant: str, day: str) -> Iterator[RawData]:
        """E. Metadata halves of one day that still have no object."""
        items = self._table.query_all(keys.raw_waiting(tenant, day), index=keys.BY_TIME)
        return (raw for raw in map(raw_data_of, items) if raw.facts is None)


def location_attribute(location: Location) -> str:
    """The attribute of a record that holds this place."""
    return f"loc_{location_hash(location.bucket, location.key)}"


def location_item(location: Location) -> dict[str, Any]:
    """A place as an attribute holds it."""
    return {
        "b": location.bucket,
        "k": location.key,
        "v": location.version_id,
        "seq": location.sequencer,
        "n": location.size_bytes,
        "direct": location.from_bucket,
        "gone": location.is_removed,
        "m": location.modified,
    }


def raw_data_of(item: Item) -> RawData:
    """The record of an item."""
    locations = tuple(
        Location(
            bucket=value["b"],
            key=value["k"],
            version_id=value["v"],
            sequencer=value["seq"],
            size_bytes=value["n"],
            from_bucket=value.get("direct", False),
            is_removed=value.get("gone", False),
            modified=value.get("m", ""),
        )
        for value in (item[name] for name in sorted([name for name in item if name.startswith("loc_")]))
    )
    facts = from_item(ObjectFacts, item) if "sha256" in item else None
    return RawData(
        tenant=item["tenant"],
        uid=item["uid"],
        facts=facts,
        locations=locations,
        meta=item.get("meta"),
        meta_at=item.get("meta_at"),
        first_seen=item.get("seen_at"),
        last_seen=item["g1sk"].partition("#")[0] if facts and "g1sk" in item else None,
        orphaned_at=item.get("orphaned_at"),
        erased_at=item.get("erased_at"),
        deletion_id=item.get("deletion_id"),
        reopened_at=item.get("reopened_at"),
        hints=item.get("hints"),
    )
