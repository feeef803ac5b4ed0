"""Iterations once they are there: names, publishing, deletion."""

from __future__ import annotations

import pytest

from dataloop.domain.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from dataloop.domain.projects import Iteration, Project
from tests import projects
from tests.core import Core


def completed(core: Core, count: int = 1) -> tuple[Project, list[Iteration]]:
    """A project with some iterations whose model is there; how they came is tested above."""
    made = projects.labelled_project(core, 5)
    found = []
    for _ in range(count):
        iteration = projects.train(core, made)
        core.stores.iterations.end(iteration, "COMPLETED", core.clock.text(), trained_at=core.clock.text())
        found.append(core.services.iterating.get(made, iteration.id))
    return made, found


def test_a_published_name_stands_for_one_iteration(core: Core) -> None:
    made, (first, second) = completed(core, 2)
    service = core.again().iterating
    offered = service.publish(made, first.id, "live", "/subscriptions/x")
    assert (offered.published["name"], offered.published["target"]) == ("live", "/subscriptions/x")
    assert service.published(made, "live").id == first.id
    # a name that is taken, and an iteration that is published already
    with pytest.raises(Conflict, match="published name 'live' exists already"):
        service.publish(made, second.id, "live", "/x")
    with pytest.raises(IllegalTransition, match="published iteration"):
        service.publish(made, first.id, "live", "/x")
    # overwrite moves the name in one step
    service.publish(made, second.id, "live", "/x", overwrite=True)
    assert service.published(made, "live").id == second.id
    assert service.get(made, first.id).published == {}
    # and gives an iteration another name, the old one being free again
    service.publish(made, second.id, "new", "/x", overwrite=True)
    with pytest.raises(NotFound):
        service.published(made, "live")
    service.publish(made, first.id, "live", "/x")
    # unpublishing
    service.unpublish(made, second.id)
    with pytest.raises(IllegalTransition, match="unpublished iteration"):
        service.unpublish(made, second.id)
    with pytest.raises(NotFound):
        service.published(made, "new")


def test_what_is_not_trained_is_not_published(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    iteration = projects.train(core, made)
    with pytest.raises(IllegalTransition) as refused:
        core.services.iterating.publish(made, iteration.id, "live", "/x")
    assert refused.value.entity == "iteration"


@pytest.mark.parametrize("name", ["", " ", "a/b", "a?b", "x" * 129, "a\nb", 7])
def test_names_that_no_url_can_carry_are_refused(core: Core, name: object) -> None:
    made, (first,) = completed(core)
    with pytest.raises(InvalidInput, match="published name"):
        core.services.iterating.publish(made, first.id, name, "/x")


def test_iteration_names_are_unique_in_a_project(core: Core) -> None:
    made, (first, second) = completed(core, 2)
    service = core.again().iterating
    assert service.rename(made, first.id, "best").name == "best"
    with pytest.raises(Conflict, match="iteration 'best' exists already"):
        service.rename(made, second.id, "best")
    # the name that the next one would have is taken: it gets another
    service.rename(made, second.id, "Iteration 3")
    assert projects.train(core, made).name == "Iteration 4"


def test_a_deleted_iteration_leaves_nothing_but_its_model_record(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    done = projects.trained(core, made)
    core.services.iterating.publish(made, done.id, "live", "/x")
    with pytest.raises(IllegalTransition, match="published iteration"):
        core.services.iterating.delete(made, done.id)
    core.services.iterating.unpublish(made, done.id)
    core.services.iterating.rename(made, done.id, "mine")
    core.again().iterating.delete(made, done.id)
    assert core.services.iterating.list(made) == []
    with pytest.raises(NotFound):
        core.services.iterating.get(made, done.id)
    with pytest.raises(NotFound):
        core.services.iterating.delete(made, done.id)
    assert not [key for key in core.objects() if f"/iterations/{done.id}/" in key]
    assert core.stores.models.get("default", done.id).status == "DELETED"
    # its name and its number's place are free, and nothing keeps the project from training
    assert projects.train(core, made).name == "Iteration 2"


def test_deleting_what_trains_stops_it(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    iteration = projects.train(core, made)
    core.services.iterating.delete(made, iteration.id)
    assert core.services.tasks.read("default", iteration.task_id).status in ("STOPPING", "STOPPED")
    assert projects.train(core, made).name == "Iteration 2"


def test_forgetting_a_project_removes_every_trace_of_its_iterations(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    done = projects.trained(core, made)
    core.services.iterating.publish(made, done.id, "live", "/x")
    projects.train(core, made, force=True)
    for _ in range(2):
        core.again().iterating.forget(made)
    left = [item for item in core.items() if made.id in item["pk"] and item["sk"] not in ("#",)]
    assert not [item for item in left if item["sk"].startswith(("ITER#", "TRAINING"))]
    assert not [item for item in core.items() if "UNIQ#publish" in item["pk"] or "UNIQ#iteration" in item["pk"]]
