"""From changes of the table to domain events (a transactional outbox that DynamoDB's stream gives for free)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.events import MAX_IDS, DomainEvent, EventType, EventTypes
from dataloop.services import project_events

Change = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]

# (entity, field, value reached) -> the event that says so. The entity is the part of the key between | and #.
_STATUS_EVENTS: Mapping[tuple[str, str], EventType] = {
    ("DSV", "READY"): EventTypes.DATASET_VERSION_READY,
    ("DSV", "FAILED"): EventTypes.DATASET_VERSION_FAILED,
    ("MODEL", "COMPLETED"): EventTypes.MODEL_TRAINED,
    ("MODEL", "FAILED"): EventTypes.TRAINING_FAILED,
    ("REL", "PUBLISHED"): EventTypes.RELEASE_PUBLISHED,
    ("REL", "ROLLED_BACK"): EventTypes.RELEASE_ROLLED_BACK,
    ("TASK", "FAILED"): EventTypes.TASK_FAILED,
}


def events_of(changes: Sequence[Change]) -> list[tuple[int, DomainEvent]]:
    """Events of a batch of (old, new) items, each with the index of the change it came from.

    Registrations are coalesced per tenant into events of at most a hundred ids; the index is that of the first.
    """
    found: list[tuple[int, DomainEvent]] = []
    registered: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    erased: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for index, (old, new) in enumerate(changes):
        if new is None:
            continue
        tenant, _, entity = str(new["pk"]).split("#", 1)[0].partition("|")
        if entity == "RAW" and new["sk"] == "#" and _is_erasure(old, new):
            erased.setdefault((tenant, new["deletion_id"]), []).append((index, new["uid"], new["cleared_at"]))
        elif entity == "RAW" and new["sk"] == "#" and _is_registered(new) and not (old and _is_registered(old)):
            registered.setdefault((tenant, "raw"), []).append(
                (index, new["uid"], new.get("meta_at") or new["g1sk"][:24])
            )
        elif entity == "ANN" and old is None and new["sk"] == "#":
            registered.setdefault((tenant, "annotation"), []).append((index, new["id"], new["created_at"]))
        elif entity == "PROJ":
            found.extend((index, event) for event in project_events.of_project(tenant, old, new))
        else:
            event = _transition(tenant, entity, old, new)
            if event is not None:
                found.append((index, event))
            if entity == "TASK":
                found.extend((index, each) for each in project_events.of_export(tenant, old, new))
    for (tenant, what), entries in registered.items():
        found.extend(_coalesced(tenant, what, entries))
    for (tenant, deletion_id), entries in erased.items():
        found.extend(_coalesced(tenant, "erased", entries, deletion_id=deletion_id))
    return sorted(found, key=lambda pair: pair[0])


def _is_registered(item: Mapping[str, Any]) -> bool:
    return "sha256" in item and "meta" in item


def _is_erasure(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """The record was emptied: its bytes and annotations are gone (repositories/erasures.py, forget)."""
    return "cleared_at" in new and (old is None or old.get("cleared_at") != new["cleared_at"])


def _coalesced(
    tenant: str, what: str, entries: Sequence[tuple[int, str, str]], **more: str
) -> list[tuple[int, DomainEvent]]:
    kind, field = {
        "raw": (EventTypes.RAW_DATA_REGISTERED, "uids"),
        "annotation": (EventTypes.ANNOTATIONS_REGISTERED, "annotation_ids"),
        "erased": (EventTypes.RAW_DATA_ERASED, "uids"),
    }[what]
    events = []
    for start in range(0, len(entries), MAX_IDS):
        chunk = entries[start : start + MAX_IDS]
        data = {"count": len(chunk), field: [id for _, id, _ in chunk], **more}
        events.append((chunk[0][0], DomainEvent(kind.name, kind.area, tenant, max(at for _, _, at in chunk), data)))
    return events


def _transition(tenant: str, entity: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> DomainEvent | None:
    if entity == "MODEL" and str(new["sk"]).startswith("EVAL#"):
        data = {"model_id": new["model_id"], "version_id": new["version_id"]}
        return _event(EventTypes.MODEL_EVALUATED, tenant, new["created_at"], data, new["task_id"])
    if new["sk"] != "#" or new.get("status") is None or (old and old.get("status") == new["status"]):
        return None
    at = new.get("updated_at") or new["created_at"]
    if entity == "TASK" and new["status"] == "SUCCEEDED" and new.get("kind") == "export":
        return _event(EventTypes.MODEL_EXPORTED, tenant, at, {"task_id": new["id"], "target": new["target"]}, new["id"])
    kind = _STATUS_EVENTS.get((entity, new["status"]))
    task_id = new["id"] if entity == "TASK" else new.get("task_id")
    return _event(kind, tenant, at, _data(entity, new), task_id) if kind else None


def _data(entity: str, item: Mapping[str, Any]) -> dict[str, Any]:
    if entity == "DSV":
        return {"version_id": item["id"], "digest": item.get("digest") or ""}
    if entity == "MODEL":
        return {"model_id": item["id"], "dataset_version_id": item["dataset"]["version_id"]}
    if entity == "REL":
        return {"release_id": item["id"], "name": item["name"]}
    return {"task_id": item["id"], "kind": item["kind"]}


def _event(kind: EventType, tenant: str, at: str, data: Mapping[str, Any], task_id: str | None) -> DomainEvent:
    """The task that brought it about is what correlates events."""
    names = {name: value for name, value in data.items() if name in kind.fields}
    return DomainEvent(kind.name, kind.area, tenant, at, names, correlation_id=task_id)
