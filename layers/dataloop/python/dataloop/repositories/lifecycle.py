"""Made once, moved only as the table of transitions allows: the two writes that every entity with a status shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dataloop.domain import transitions
from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.repositories.codec import Item
from dataloop.repositories.table import ConditionFailed, Table

Transitions = dict[str, frozenset[str]]


def create(table: Table, item: Mapping[str, Any]) -> Item:
    """Put an item if its key is free; returns what stands. The same id again is a retry, not a second entity. 1 call."""
    try:
        table.put(item, condition="attribute_not_exists(#pk)")
    except ConditionFailed as lost:
        return lost.item
    return dict(item)


def move(
    table: Table,
    pk: str,
    entity: tuple[str, str],
    allowed: Transitions,
    status: str,
    changes: Mapping[str, object],
    *,
    is_done: Callable[[Item], bool] = lambda stands: True,
    owner: str | None = None,
) -> Item:
    """Change a status from any state that allows it, and other attributes with it; returns the item.

    entity: (kind, id) for messages. owner: only when the item's task_id is this one.
    An item that is there already is returned unchanged when `is_done` agrees: a replayed step must be a no-op.
    Raises NotFound, IllegalTransition. 1 call.
    """
    sources = {f"from{index}": state for index, state in enumerate(transitions.sources(allowed, status))}
    values: dict[str, Any] = dict(sources) | ({"owner": owner} if owner else {})
    is_from = f"#status IN ({', '.join(f':{name}' for name in sources)})"
    try:
        return table.update(
            pk,
            set={"status": status} | dict(changes),
            condition=f"{is_from} AND #task_id = :owner" if owner else is_from,
            **values,
        )
    except ConditionFailed as lost:
        if not lost.item:
            raise NotFound(*entity) from lost
        if lost.item["status"] == status and is_done(lost.item):
            return lost.item
        raise IllegalTransition(*entity, lost.item["status"], status) from lost
