"""Raw data: two commutative, idempotent upserts on one content-addressed item (design §6.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloop.domain.errors import InvalidInput
from dataloop.domain.ids import location_hash
from dataloop.domain.raw_data import Location, ObjectFacts, RawData
from dataloop.domain.times import day_of
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item
from dataloop.repositories.table import ConditionFailed, Table

_FACTS = ("sha256", "size_bytes", "media_type", "width", "height", "rejected")


class RawDataRepository:
    """Records of raw data. Reads are strongly consistent (S) unless marked eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put_object_half(self, tenant: str, uid: str, facts: ObjectFacts, location: Location, seen_at: str) -> bool:
        """Write what the bytes say and where they lie. True when something changed.

        A location only moves forward: an event that is not newer than the stored one for the same (bucket, key)
        changes nothing, so duplicates and late events are free.
        Cost: 1 call, 2 WRU (item and day index).
        """
        attribute = f"loc_{location_hash(location.bucket, location.key)}"
        is_unknown = f"attribute_not_exists(#{attribute})"
        is_newer = f"#{attribute}.#seq < :seq"
        try:
            self._table.update(
                keys.raw(tenant, uid),
                set={
                    attribute: _location_to_item(location),
                    "tenant": tenant,
                    "uid": uid,
                    "g1pk": keys.day_partition(tenant, seen_at, uid),
                    "g1sk": f"{seen_at}#{uid}",
                    **{name: getattr(facts, name) for name in _FACTS if getattr(facts, name) is not None},
                },
                set_if_absent={"seen_at": seen_at},
                condition=f"{is_unknown} OR {is_newer}",
                seq=location.sequencer,
            )
        except ConditionFailed:
            return False
        return True

    def put_metadata_half(self, tenant: str, uid: str, meta: Mapping[str, Any], at: str) -> RawData:
        """Write what the client says. The last statement counts. Cost: 1 call, 1–2 WRU.

        While no object half exists the item is listed under the day its metadata came, so that a sweep finds it.
        """
        item = self._table.update(
            keys.raw(tenant, uid),
            set={"tenant": tenant, "uid": uid, "meta": dict(meta), "meta_at": at},
            set_if_absent={"g1pk": keys.raw_waiting(tenant, day_of(at)), "g1sk": f"{at}#{uid}", "seen_at": at},
            remove=("orphaned_at",),
        )
        return _from_item(item)

    def remove_location(self, tenant: str, uid: str, location: Location) -> bool:
        """Mark a location as removed, unless a newer event is already there. True when something changed."""
        attribute = f"loc_{location_hash(location.bucket, location.key)}"
        try:
            self._table.update(
                keys.raw(tenant, uid),
                set={attribute: _location_to_item(location)},
                condition=f"attribute_exists(#pk) AND (attribute_not_exists(#{attribute}) OR #{attribute}.#seq < :seq)",
                seq=location.sequencer,
            )
        except ConditionFailed:
            return False
        return True

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
        return _from_item(item) if item else None

    def get_many(self, tenant: str, uids: Iterable[str], *, consistent: bool = False) -> dict[str, RawData]:
        """By uid, the existing ones. 1 call per 100."""
        items = self._table.get_many(((keys.raw(tenant, uid), keys.ROOT) for uid in uids), consistent=consistent)
        return {raw.uid: raw for raw in map(_from_item, items)}

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
            found.extend(map(_from_item, page.items))
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
        return (raw for raw in map(_from_item, items) if raw.facts is None)


def _location_to_item(location: Location) -> dict[str, Any]:
    return {
        "b": location.bucket,
        "k": location.key,
        "v": location.version_id,
        "seq": location.sequencer,
        "n": location.size_bytes,
        "direct": location.from_bucket,
        "gone": location.is_removed,
    }


def _from_item(item: Item) -> RawData:
    locations = tuple(
        Location(
            bucket=value["b"],
            key=value["k"],
            version_id=value["v"],
            sequencer=value["seq"],
            size_bytes=value["n"],
            from_bucket=value.get("direct", False),
            is_removed=value.get("gone", False),
        )
        for name, value in sorted(item.items())
        if name.startswith("loc_")
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
        orphaned_at=item.get("orphaned_at"),
    )
