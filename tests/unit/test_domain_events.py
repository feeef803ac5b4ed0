"""Changes of the table become events: which, how many, for whom, and the same ids when a batch comes again."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.events import MAX_IDS, EventTypes
from dataloop.services.publishing import events_of

AT = "2026-11-22T12:00:00.000Z"


def raw(number: int, *, tenant: str = "default", meta: bool = True, facts: bool = True) -> dict[str, Any]:
    uid = f"{number:032x}"
    found: dict[str, Any] = {"pk": f"{tenant}|RAW#{uid}", "sk": "#", "uid": uid, "g1sk": f"{AT}#{uid}"}
    return found | ({"meta": {}, "meta_at": AT} if meta else {}) | ({"sha256": "0" * 64} if facts else {})


def annotation(number: int, tenant: str = "default") -> dict[str, Any]:
    id = f"{number:024x}"
    return {"pk": f"{tenant}|ANN#{id}", "sk": "#", "id": id, "created_at": AT}


def entity(kind: str, status: str, **more: Any) -> dict[str, Any]:
    names = {"id": "1", "name": "n", "kind": "export", "target": "Model#1", "dataset": {"version_id": "2"}}
    return {"pk": f"default|{kind}#1", "sk": "#", "status": status, "created_at": AT} | names | more


def test_raw_data_is_announced_when_its_second_half_comes_and_not_again() -> None:
    assert events_of([(None, raw(1, facts=False))]) == []
    ((index, event),) = events_of([(raw(1, facts=False), raw(1))])
    assert (index, event.name, event.data["uids"]) == (0, "RawDataRegistered", [raw(1)["uid"]])
    assert events_of([(raw(1), raw(1))]) == []


def test_registrations_are_coalesced_per_tenant_in_pieces_of_a_hundred() -> None:
    # given 150 annotations of one tenant and one of another in one batch
    changes: list[Any] = [(None, annotation(number)) for number in range(150)] + [(None, annotation(1, "acme"))]
    # when
    found = events_of(changes)
    # then
    assert [(event.tenant, event.data["count"]) for _, event in found] == [
        ("default", 100),
        ("default", 50),
        ("acme", 1),
    ]
    assert [index for index, _ in found] == [0, MAX_IDS, 150]


def test_the_same_batch_again_has_the_same_ids() -> None:
    changes: list[Any] = [(None, annotation(1)), (None, raw(1)), (entity("TASK", "RUNNING"), entity("TASK", "FAILED"))]
    first, second = events_of(changes), events_of(changes)
    assert [event.id for _, event in first] == [event.id for _, event in second]
    assert len({event.id for _, event in first}) == 3


@pytest.mark.parametrize(
    ("kind", "before", "after", "name"),
    [
        ("DSV", "BUILDING", "READY", "DatasetVersionReady"),
        ("DSV", "BUILDING", "FAILED", "DatasetVersionFailed"),
        ("MODEL", "TRAINING", "COMPLETED", "ModelTrained"),
        ("MODEL", "TRAINING", "FAILED", "TrainingFailed"),
        ("REL", "PUBLISHING", "PUBLISHED", "ReleasePublished"),
        ("REL", "PUBLISHED", "ROLLED_BACK", "ReleaseRolledBack"),
        ("TASK", "RUNNING", "FAILED", "TaskFailed"),
        ("TASK", "RUNNING", "SUCCEEDED", "ModelExported"),
    ],
)
def test_a_transition_is_announced_once(kind: str, before: str, after: str, name: str) -> None:
    ((_, event),) = events_of([(entity(kind, before), entity(kind, after, digest="d"))])
    assert event.name == name
    assert events_of([(entity(kind, after), entity(kind, after))]) == []


def project(status: str, **more: Any) -> dict[str, Any]:
    info = {"notification_uri": "https://queue.example/q", "container_uri": None}
    return entity("PROJ", status, updated_at=AT, info=info) | more


def iteration(status: str, **more: Any) -> dict[str, Any]:
    info = {"notification_uri": "https://queue.example/q", "container_uri": "https://blob.example/c"}
    names = {"sk": "ITER#7", "id": "7", "project_id": "1", "task_id": "9", "info": info}
    return entity("PROJ", status, updated_at=AT) | names | more


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        (None, project("ACTIVE"), ["ProjectCreated"]),
        (project("IMPORTING"), project("ACTIVE"), ["ProjectImported"]),
        (project("IMPORTING"), project("FAILED"), ["ProjectImportFailed"]),
        (project("ACTIVE"), project("DELETING"), ["ProjectDeleted"]),
        (project("ACTIVE"), project("ACTIVE", name="other"), []),
        (None, iteration("TRAINING"), []),
        (iteration("TRAINING"), iteration("COMPLETED"), ["IterationTrained"]),
        (iteration("TRAINING"), iteration("FAILED"), ["IterationFailed"]),
        (iteration("COMPLETED"), iteration("COMPLETED", published={"name": "a"}), ["IterationPublished"]),
        (
            iteration("COMPLETED", published={"name": "a"}),
            iteration("COMPLETED", published={"name": "b"}),
            ["IterationUnpublished", "IterationPublished"],
        ),
        (iteration("COMPLETED", published={"name": "a"}), iteration("COMPLETED"), ["IterationUnpublished"]),
        (iteration("COMPLETED"), iteration("COMPLETED"), []),
        (None, {"pk": "default|PROJ#1", "sk": "TAG#2", "id": "2", "name": "cat"}, []),
    ],
)
def test_projects_and_iterations_say_where_their_owner_listens(before: Any, after: Any, names: list[str]) -> None:
    found = [event for _, event in events_of([(before, after)])]
    assert [event.name for event in found] == names
    declared = {kind.name: set(kind.fields) for kind in EventTypes.all()}
    for event in found:
        assert set(event.data) == declared[event.name]
        assert event.data["notification_uri"] == "https://queue.example/q"


def test_an_export_of_an_iteration_is_announced_with_its_container() -> None:
    origin = {"project_id": "1", "iteration_id": "7", "container_uri": "https://blob.example/c"}
    after = entity("TASK", "SUCCEEDED", updated_at=AT, parameters={"origin": origin})
    found = [event for _, event in events_of([(entity("TASK", "RUNNING"), after)])]
    assert [event.name for event in found] == ["ModelExported", "IterationExported"]
    assert found[1].data == {"task_id": "1", "notification_uri": "", **origin}
    assert events_of([(after, after)]) == []


@pytest.mark.parametrize("changes", [(entity("DSV", "DRAFT"), None), (None, entity("DSV", "DRAFT"))])
def test_other_changes_mean_nothing(changes: Any) -> None:
    assert events_of([changes]) == []


def test_an_event_carries_exactly_the_declared_fields() -> None:
    changes: list[Any] = [
        (None, raw(1)),
        (None, annotation(1)),
        (None, entity("DSV", "READY")),
        (None, entity("REL", "PUBLISHED")),
    ]
    declared = {kind.name: set(kind.fields) for kind in EventTypes.all()}
    for _, event in events_of(changes):
        assert set(event.envelope()["data"]) == declared[event.name]
        assert event.envelope()["scope"] == {"tenant": "default"}
