"""Deletions in steps: all images, a deleted tag, a whole project; a repeat or a crash between two steps changes nothing."""

from __future__ import annotations

import pytest

from dataloop.domain.errors import NotFound
from dataloop.domain.predictions import Said
from dataloop.services import project_batches as module
from dataloop.services.project_predicting import Answer
from tests.core import Core
from tests.pictures import picture
from tests.services.projects import count, fill, freeze, make, run_batch, traces


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCKS_A_STEP", 1)


def test_all_images_are_deleted_and_those_that_come_later_stay(core: Core) -> None:
    # given 300 images, so two blocks, with a tag on every second one
    project = make(core)
    cat = core.services.projects.create_tag(project, "cat")
    fill(core, project, 300, {1: [cat]})
    assert core.services.projects.tag(project, cat.id).image_count == 150
    # when all are deleted, and one comes before the task has begun
    task = core.services.projects.delete_images(project)
    late = fill(core, project, 1)[0]
    assert run_batch(core, task.id) == 2
    # then that one alone is there, and every count says so
    assert core.services.tasks.read("default", task.id).progress == {"done": 300, "total": 300}
    browsing = core.services.browsing
    assert [image.id for image in browsing.by_ids(browsing.workspace(project), [late.id])] == [late.id]
    assert (count(core, project), count(core, project, "tagged")) == (1, 0)
    assert core.services.projects.tag(project, cat.id).image_count == 0


def test_a_deleted_tag_leaves_every_image(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make(core, task_type="detection")
    cat, dog = (core.services.projects.create_tag(project, name) for name in ("cat", "dog"))
    fill(core, project, 20, {0: [dog]}, boxed=cat)
    task = core.services.projects.delete_tag(project, cat.id)
    assert task is not None
    run_batch(core, task.id)
    images = core.stores.images.block("default", project.id, 0)
    assert [image.regions for image in images] == [()] * 20
    assert (count(core, project, f"tag:{cat.id}"), count(core, project, f"tag:{dog.id}")) == (0, 10)
    assert count(core, project, "tagged") == 10
    assert core.services.projects.tag(project, dog.id).image_count == 10
    # and nothing of the tag is left
    assert [item["sk"] for item in core.items() if cat.id in item["sk"]] == []


def test_a_deleted_project_leaves_nothing(core: Core) -> None:
    # given a project with tags, boxes and metadata, and a neighbour with the same content
    project, neighbour = make(core, task_type="detection"), make(core, "plants")
    cat = core.services.projects.create_tag(project, "cat")
    core.services.projects.create_tag(project, "none", kind="negative")
    images = fill(core, project, 300, boxed=cat)
    fill(core, neighbour, 3)
    before = traces(core, neighbour.id)
    # and what was trained, published and predicted
    iteration = freeze(core, project, name="live")
    answer = Answer((Said(cat.id, "cat", "regular", 0.9),), 0.1)
    asked = core.services.stored_predictions.prepare(project, iteration, picture(), answer)
    core.services.stored_predictions.store(asked, picture())
    assert core.objects() != {}
    # when it is deleted
    task = core.services.projects.delete(project)
    run_batch(core, task.id)
    # then only its own item is left, which the sweep removes when no request can be under way any more
    assert [trace.rpartition(" ")[2] for trace in traces(core, project.id)] == ["#"]
    assert core.services.project_deletions.sweep("default") == 0
    core.clock.move(seconds=module.SETTLED_S + 1)
    assert core.services.project_deletions.sweep("default") == 1
    [again] = [item for item in core.entity("TASK") if item["id"] != task.id]
    run_batch(core, again["id"])
    assert traces(core, project.id) == []
    assert core.objects() == {}
    assert core.services.project_deletions.sweep("default") == 0
    # and the neighbour is as it was
    assert traces(core, neighbour.id) == before
    assert count(core, neighbour) == 3
    assert core.stores.images.find("default", neighbour.id, [images[0].uid]) == {images[0].uid: 0}


def test_an_image_that_was_added_during_the_deletion_goes_with_the_project(core: Core) -> None:
    project = make(core)
    fill(core, project, 5)
    task = core.services.projects.delete(project)
    run_batch(core, task.id)
    fill(core, project, 2)  # a request that had read the project before
    core.clock.move(seconds=module.SETTLED_S + 1)
    core.services.project_deletions.sweep("default")
    [again] = [item for item in core.entity("TASK") if item["id"] != task.id]
    run_batch(core, again["id"])
    assert traces(core, project.id) == []


@pytest.mark.parametrize("listed", [True, False])
def test_images_leave_the_iterations_too_when_that_is_asked(core: Core, listed: bool) -> None:
    # given an image that the workspace lost after a training, and others
    project = make(core)
    images = fill(core, project, 300)
    iteration = freeze(core, project)
    core.services.tagging.delete_images(project, [images[0].id])
    # when images are deleted everywhere
    ids = [images[0].id, images[1].id, core.clock.new_id()] if listed else None
    run_batch(core, core.services.projects.delete_images(project, ids, all_iterations=True).id)
    # then the iteration has what was not named
    frozen = core.again().snapshots.open(iteration)
    left = len(frozen.bitmap("all"))
    assert (left, count(core, project)) == ((298, 298) if listed else (0, 0))


def test_what_was_trained_keeps_its_images_when_nothing_else_is_asked(core: Core) -> None:
    project = make(core)
    fill(core, project, 3)
    iteration = freeze(core, project)
    run_batch(core, core.services.projects.delete_images(project).id)
    assert (len(core.again().snapshots.open(iteration).bitmap("all")), count(core, project)) == (3, 0)


def test_a_task_whose_request_died_before_the_mark_finishes_the_deletion(core: Core) -> None:
    # given a task that is durable and a project that is not marked
    project = make(core)
    fill(core, project, 3)
    task = core.services.tasks.create("default", "bulk_delete", f"Project#{project.id}", {"what": "project"})
    # when it runs
    run_batch(core, task.id)
    # then the project is on its way out
    with pytest.raises(NotFound):
        core.services.projects.get("default", project.id)


def test_the_sweep_goes_on_with_what_a_failed_task_left(core: Core) -> None:
    project = make(core)
    cat = core.services.projects.create_tag(project, "cat")
    fill(core, project, 10, {0: [cat]})
    task = core.services.projects.delete_tag(project, cat.id)
    assert task is not None
    core.services.tasks.fail("default", task.id, "Broken", "x")
    core.clock.move(seconds=module.SETTLED_S + 1)
    assert core.services.project_deletions.sweep("default") == 1
    assert count(core, project, "tagged") == 0
    assert core.services.project_deletions.sweep("default") == 0


def test_a_step_of_an_ended_task_changes_nothing(core: Core) -> None:
    project = make(core)
    fill(core, project, 3)
    task = core.services.projects.delete_images(project)
    run_batch(core, task.id)
    before = core.items()
    assert core.services.project_batches.step("default", task.id) == {"task_id": task.id, "is_done": True}
    assert core.items() == before
