"""Loops, their decisions and their locks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dataloop.domain.errors import Conflict, NotFound
from dataloop.domain.promotion import Gate
from dataloop.domain.retraining import Loop, Query, Thresholds
from dataloop.domain.times import to_text
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed


class LoopRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, loop: Loop) -> Loop:
        """Write a loop and its unique name. Raises Conflict(loop); the same id again returns what stands."""
        item = to_item(
            loop,
            keys.loop(loop.tenant, loop.id),
            keys.ROOT,
            g1pk=keys.loops(loop.tenant),
            g1sk=f"{loop.created_at}#{loop.id}",
        )
        name = {"pk": keys.unique(loop.tenant, "loop", loop.name), "sk": keys.ROOT, "id": loop.id}
        unless_exists = "attribute_not_exists(#pk)"
        try:
            self._table.transact(
                [
                    self._table.write("Put", item=item, condition=unless_exists),
                    self._table.write("Put", item=name, condition=unless_exists),
                ]
            )
        except TransactionFailed as lost:
            stands = self._table.get(keys.loop(loop.tenant, loop.id))
            if stands is None:
                raise Conflict("loop", loop.name) from lost
            return _loop(stands)
        return loop

    def get(self, tenant: str, loop_id: str) -> Loop:
        """S. Raises NotFound."""
        item = self._table.get(keys.loop(tenant, loop_id))
        if item is None:
            raise NotFound("loop", loop_id)
        return _loop(item)

    def of_tenant(self, tenant: str) -> list[Loop]:
        """E. All loops of a tenant: there are few."""
        return [_loop(item) for item in self._table.query_all(keys.loops(tenant), index=keys.BY_TIME)]

    def set_draft(self, loop: Loop, version_id: str, number: int) -> Loop:
        """Name the next draft, if nobody else did: the loser gets what stands."""
        try:
            item = self._table.update(
                keys.loop(loop.tenant, loop.id),
                set={"draft_version_id": version_id, "draft_number": number},
                condition="#draft_number = :before",
                before=loop.draft_number,
            )
        except ConditionFailed as lost:
            if not lost.item:
                raise NotFound("loop", loop.id) from lost
            return _loop(lost.item)
        return _loop(item)

    def note(self, loop: Loop, **changes: object) -> Loop:
        """Change facts about past runs. Raises NotFound."""
        try:
            item = self._table.update(keys.loop(loop.tenant, loop.id), set=changes, condition="attribute_exists(#pk)")
        except ConditionFailed as lost:
            raise NotFound("loop", loop.id) from lost
        return _loop(item)

    def record(self, tenant: str, loop_id: str, at: str, task_id: str, decision: Mapping[str, Any]) -> None:
        """Keep a decision with its reasons, below the loop."""
        self._table.put(
            {
                "pk": keys.loop(tenant, loop_id),
                "sk": keys.decision(at, task_id, str(decision["kind"])),
                "at": at,
                "task_id": task_id,
            }
            | dict(decision)
        )

    def decisions(self, tenant: str, loop_id: str, limit: int = 20) -> list[Item]:
        """E. The newest decisions first."""
        page = self._table.query(keys.loop(tenant, loop_id), prefix="RUN#", limit=limit, newest_first=True)
        return [{name: value for name, value in item.items() if name not in ("pk", "sk")} for item in page.items]

    def lock(self, tenant: str, what: str, owner: str, now: datetime, seconds: int) -> bool:
        """Take a lock that expires by itself. True when owner holds it (also when it held it before)."""
        try:
            self._table.put(
                {
                    "pk": keys.lock(tenant, what),
                    "sk": keys.ROOT,
                    "owner": owner,
                    "expires_at": to_text(now + timedelta(seconds=seconds)),
                },
                condition="attribute_not_exists(#pk) OR #owner = :mine OR #expires_at < :now",
                mine=owner,
                now=to_text(now),
            )
        except ConditionFailed:
            return False
        return True

    def lock_owner(self, tenant: str, what: str, now: datetime) -> str | None:
        """S. Who holds the lock at this time."""
        item = self._table.get(keys.lock(tenant, what))
        return item["owner"] if item and item["expires_at"] > to_text(now) else None

    def unlock(self, tenant: str, what: str, owner: str) -> None:
        """Give a lock back; somebody else's lock stays."""
        try:
            self._table.delete(
                keys.lock(tenant, what), condition="attribute_not_exists(#pk) OR #owner = :mine", mine=owner
            )
        except ConditionFailed:
            return


def _loop(item: Item) -> Loop:
    query = item["query"]
    return from_item(
        Loop,
        item,
        query=Query(
            annotation_type=query["annotation_type"],
            labels=tuple(query["labels"]),
            sources=tuple(query["sources"]),
            regions=tuple(query["regions"]),
            suggestions=bool(query.get("suggestions")),  # loops of earlier releases have no such field
        ),
        thresholds=Thresholds(**item["thresholds"]),
        gate=Gate(**item["gate"]),
    )
