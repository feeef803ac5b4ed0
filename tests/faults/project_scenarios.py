"""Projects under faults: deletions and copies, a step at a time, repeated by their machine; requests by their client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dataloop.domain.errors import NotFound
from tests.core import Core
from tests.faults.injection import Scenario
from tests.services.projects import fill, make, run_batch

State = dict[str, Any]
# Each run begins at the same time, so that its tasks can be compared.
START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def workspace(core: Core) -> State:
    """Three images with a tag, a box and metadata each."""
    project = make(core, task_type="detection")
    cat, dog = (core.services.projects.create_tag(project, name) for name in ("cat", "dog"))
    core.services.projects.create_tag(project, "none", kind="negative")
    fill(core, project, 3, {0: [dog]}, boxed=cat)
    return {"project": project, "cat": cat}


def all_images(core: Core) -> State:
    state = workspace(core)
    return state | {"task_id": core.services.projects.delete_images(state["project"]).id}


def a_tag(core: Core) -> State:
    state = workspace(core)
    task = core.services.projects.delete_tag(state["project"], state["cat"].id)
    assert task is not None
    return state | {"task_id": task.id}


def a_copy(core: Core) -> State:
    state = workspace(core)
    token = core.services.copying.export(state["project"]).token
    copy = core.services.copying.start("default", token, "copy")
    [task] = [item for item in core.entity("TASK") if item["kind"] == "copy_project"]
    return state | {"task_id": task["id"], "project": copy}


def run_task(core: Core, state: State) -> None:
    run_batch(core, state["task_id"])


def repair(core: Core, state: State) -> None:
    """The table's stream brings the index after what died between a row and its terms; the repair does the same."""
    core.again().indexing.repair("default", state["project"].id)


def delete_project(core: Core, state: State) -> None:
    """A client that got no answer asks again, and is content with what is gone."""
    core.clock.moment = START
    services = core.again()
    try:
        services.projects.delete(services.projects.get("default", state["project"].id))
    except NotFound:
        return


def finish(core: Core, state: State) -> None:
    """Whatever was begun comes to its end: the sweep starts what no task is at, and tasks that were never started."""
    core.clock.moment = START + timedelta(hours=1)
    services = core.again()
    services.project_deletions.sweep("default")
    for task in services.tasks.unended("default", "bulk_delete"):
        run_batch(core, services.tasks.start(task).id)


SCENARIOS = [
    Scenario("all images of a project", all_images, [run_task, repair]),
    Scenario("a deleted tag", a_tag, [run_task, repair]),
    Scenario("a copied project", a_copy, [run_task, repair]),
    Scenario("a project is deleted and its deletion finished", workspace, [delete_project, finish]),
]
