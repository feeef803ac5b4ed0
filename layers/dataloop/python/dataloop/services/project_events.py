"""From changes of projects and iterations to domain events: what Custom Vision puts into a notification queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dataloop.domain.events import DomainEvent, EventType, EventTypes

Item = Mapping[str, Any]

# (status before, status now) of a project; None: any.
_PROJECT_EVENTS: Mapping[tuple[str | None, str], EventType] = {
    ("IMPORTING", "ACTIVE"): EventTypes.PROJECT_IMPORTED,
    ("IMPORTING", "FAILED"): EventTypes.PROJECT_IMPORT_FAILED,
    (None, "DELETING"): EventTypes.PROJECT_DELETED,
}
_ITERATION_EVENTS: Mapping[str, EventType] = {
    "COMPLETED": EventTypes.ITERATION_TRAINED,
    "FAILED": EventTypes.ITERATION_FAILED,
}
# What a finished export says of where it comes from.
_ORIGIN = ("project_id", "iteration_id", "notification_uri", "container_uri")


def of_project(tenant: str, old: Item | None, new: Item) -> Iterator[DomainEvent]:
    """Events of one change in a project's partition: its own item, or one of its iterations."""
    if new["sk"] == "#":
        yield from _of_itself(tenant, old, new)
    elif str(new["sk"]).startswith("ITER#"):
        yield from _of_iteration(tenant, old or {}, new)


def of_export(tenant: str, old: Item | None, new: Item) -> Iterator[DomainEvent]:
    """An export task of an iteration has succeeded; `origin` says of which, and who wants to know."""
    origin = (new.get("parameters") or {}).get("origin")
    if origin and new.get("status") == "SUCCEEDED" and (old or {}).get("status") != "SUCCEEDED":
        data = {"task_id": new["id"], **{name: str(origin.get(name) or "") for name in _ORIGIN}}
        yield _event(EventTypes.ITERATION_EXPORTED, tenant, new["updated_at"], data, new["id"])


def _of_itself(tenant: str, old: Item | None, new: Item) -> Iterator[DomainEvent]:
    info = new.get("info") or {}
    data = {"project_id": new["id"], "name": new["name"], "notification_uri": str(info.get("notification_uri") or "")}
    before, now = (old or {}).get("status"), new.get("status")
    if old is None:
        yield _event(EventTypes.PROJECT_CREATED, tenant, new["created_at"], data)
    elif before != now:
        kind = _PROJECT_EVENTS.get((before, str(now))) or _PROJECT_EVENTS.get((None, str(now)))
        if kind is not None:
            yield _event(kind, tenant, new["updated_at"], data)


def _of_iteration(tenant: str, old: Item, new: Item) -> Iterator[DomainEvent]:
    info = new.get("info") or {}
    data = {
        "project_id": new["project_id"],
        "iteration_id": new["id"],
        "notification_uri": str(info.get("notification_uri") or ""),
        "container_uri": str(info.get("container_uri") or ""),
    }
    kind = _ITERATION_EVENTS.get(str(new.get("status")))
    if kind is not None and old.get("status") != new["status"]:
        yield _event(kind, tenant, new["updated_at"], data, new.get("task_id"))
    was, is_ = (old.get("published") or {}).get("name"), (new.get("published") or {}).get("name")
    if was != is_:
        if was:
            yield _event(EventTypes.ITERATION_UNPUBLISHED, tenant, new["updated_at"], data | {"name": was})
        if is_:
            yield _event(EventTypes.ITERATION_PUBLISHED, tenant, new["updated_at"], data | {"name": is_})


def _event(kind: EventType, tenant: str, at: str, data: Mapping[str, Any], task_id: str | None = None) -> DomainEvent:
    return DomainEvent(kind.name, kind.area, tenant, at, dict(data), correlation_id=task_id)
