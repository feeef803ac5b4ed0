"""Projects and tags: names are unique, changes are guarded, a deleted project looks gone at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dataloop.domain.errors import Conflict, IllegalTransition, InvalidInput, LimitExceeded, NotFound, Throttled
from dataloop.services import projects as module
from tests.core import Core, account


@pytest.fixture(params=["engine", "moto"])
def core(request: pytest.FixtureRequest) -> Iterator[Core]:
    """Conditional writes are read by two engines."""
    with account(moto_tables=request.param == "moto") as found:
        yield found


def make(core: Core, name: str = "animals", **more: Any) -> Any:
    return core.services.projects.create("default", name, task_type="classification", **more)


def test_projects_are_listed_newest_first_and_their_names_are_unique(core: Core) -> None:
    first = make(core)
    core.clock.move(seconds=1)
    second = make(core, "plants")
    assert core.services.projects.list("default") == [second, first]
    with pytest.raises(Conflict) as taken:
        make(core)
    assert (taken.value.entity, taken.value.name) == ("project", "animals")
    # and another tenant may have the name
    other = core.services.projects.create("other", "animals", task_type="classification")
    assert core.services.projects.list("other") == [other]
    with pytest.raises(NotFound):
        core.services.projects.get("default", other.id)


def test_a_new_name_takes_the_place_of_the_old_one(core: Core) -> None:
    project, _ = make(core), make(core, "plants")
    with pytest.raises(Conflict):
        core.services.projects.update(project, name="plants")
    renamed = core.services.projects.update(project, name="beasts", description="wild ones")
    assert core.services.projects.get("default", project.id) == renamed
    assert (renamed.name, renamed.description, renamed.revision) == ("beasts", "wild ones", 1)
    assert make(core).name == "animals"


def test_a_change_worked_out_from_an_old_project_is_refused(core: Core) -> None:
    project = make(core)
    core.services.projects.update(project, description="one")
    with pytest.raises(Throttled):
        core.services.projects.update(project, description="two")
    assert core.services.projects.get("default", project.id).description == "one"


@pytest.mark.parametrize("name", ["", "   ", "a" * 201, "a\nb", 7])
def test_a_name_that_nobody_could_read_is_refused(core: Core, name: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        core.services.projects.create("default", name, task_type="detection")
    assert refused.value.field == "project name"
    project = make(core)
    with pytest.raises(InvalidInput) as refused:
        core.services.projects.create_tag(project, name)
    assert refused.value.field == "tag name"


def test_a_tag_name_is_unique_in_its_project(core: Core) -> None:
    project, other = make(core), make(core, "plants")
    cat = core.services.projects.create_tag(project, "cat")
    with pytest.raises(Conflict) as taken:
        core.services.projects.create_tag(project, "cat")
    assert (taken.value.entity, taken.value.name) == ("tag", "cat")
    assert core.services.projects.create_tag(other, "cat").id != cat.id
    dog = core.services.projects.create_tag(project, "dog")
    with pytest.raises(Conflict):
        core.services.projects.update_tag(project, dog.id, name="cat")
    core.services.projects.update_tag(project, cat.id, name="lion")
    assert core.services.projects.update_tag(project, dog.id, name="cat").name == "cat"
    assert [tag.name for tag in core.services.projects.tags(project)] == ["lion", "cat"]


@pytest.mark.parametrize("kind", ["negative", "general_product"])
def test_a_project_has_one_tag_of_a_special_kind(core: Core, kind: str) -> None:
    project = make(core)
    none = core.services.projects.create_tag(project, "none of them", kind=kind)
    cat = core.services.projects.create_tag(project, "cat")
    for attempt in (
        lambda: core.services.projects.create_tag(project, "nothing", kind=kind),
        lambda: core.services.projects.update_tag(project, cat.id, kind=kind),
    ):
        with pytest.raises(Conflict) as taken:
            attempt()
        assert taken.value.entity == f"{kind} tag"
    # the kind is free when its tag becomes another one, or goes
    core.services.projects.update_tag(project, none.id, kind="regular")
    core.services.projects.update_tag(project, cat.id, kind=kind)
    core.services.projects.delete_tag(project, cat.id)
    assert core.services.projects.create_tag(project, "nothing", kind=kind).kind == kind


def test_of_many_who_want_one_name_one_gets_it(core: Core) -> None:
    project = make(core)

    def attempt(_: int) -> str:
        try:
            return core.services.projects.create_tag(project, "cat", kind="negative").id
        except Conflict:
            return ""

    with ThreadPoolExecutor(8) as pool:
        made = [id for id in pool.map(attempt, range(8)) if id]
    assert [tag.id for tag in core.services.projects.tags(project)] == made
    assert len(made) == 1


def test_a_deleted_tag_is_gone_and_its_name_is_free(core: Core) -> None:
    project = make(core)
    cat = core.services.projects.create_tag(project, "cat", description="purrs")
    assert core.services.projects.delete_tag(project, cat.id) is None
    for wanted in (cat.id, core.clock.new_id()):
        with pytest.raises(NotFound) as gone:
            core.services.projects.tag(project, wanted)
        assert gone.value.entity == "tag"
    with pytest.raises(NotFound):
        core.services.projects.delete_tag(project, cat.id)
    assert core.services.projects.create_tag(project, "cat").id != cat.id


def test_projects_and_tags_have_limits(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PROJECTS", 2)
    monkeypatch.setattr(module, "MAX_TAGS", 2)
    project, _ = make(core), make(core, "plants")
    with pytest.raises(LimitExceeded) as refused:
        make(core, "stones")
    assert (refused.value.what, refused.value.limit) == ("projects", 2)
    core.services.projects.create_tag(project, "a")
    core.services.projects.create_tag(project, "b")
    with pytest.raises(LimitExceeded) as refused:
        core.services.projects.create_tag(project, "c")
    assert (refused.value.what, refused.value.limit) == ("tags of a project", 2)


def test_a_deleted_project_looks_gone_at_once_and_takes_no_tags(core: Core) -> None:
    project = make(core)
    task = core.services.projects.delete(project)
    assert (task.kind, task.target) == ("bulk_delete", f"Project#{project.id}")
    with pytest.raises(NotFound):
        core.services.projects.get("default", project.id)
    assert core.services.projects.list("default") == []
    assert make(core).id != project.id  # its name is free
    for attempt in (
        lambda: core.services.projects.create_tag(project, "cat"),
        lambda: core.services.projects.update(project, description="late"),
    ):
        with pytest.raises((NotFound, IllegalTransition)):
            attempt()


def test_a_rename_during_a_deletion_leaves_no_name_behind(core: Core) -> None:
    project = make(core)
    core.services.projects.update(project, name="beasts")
    core.services.projects.delete(project)  # as it was read before the rename
    assert {make(core).name, make(core, "beasts").name} == {"animals", "beasts"}
