"""Trainings of projects, and what is done to iterations, as the steps that somebody repeats."""

from __future__ import annotations

from typing import Any

from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.iterations import TrainingWish
from tests import projects
from tests.actions import run_build
from tests.core import Core
from tests.faults.injection import Scenario

State = dict[str, Any]


def labelled(core: Core) -> State:
    made = projects.labelled_project(core, 5)
    return {"project": made.id}


def project(core: Core, state: State) -> Any:
    return core.services.projects.get("default", state["project"])


def request(core: Core, state: State) -> None:
    """A client that asks again learns that it trains already."""
    service = core.again().iterating
    try:
        service.train(project(core, state), TrainingWish())
    except IllegalTransition as running:
        assert running.entity == "running training", running
    (iteration,) = service.list(project(core, state))
    state |= {"iteration": iteration.id, "task": iteration.task_id}


def plan(core: Core, state: State) -> None:
    state["parts"] = core.again().freezing.plan("default", state["task"])["parts_prefix"]


def freeze(core: Core, state: State) -> None:
    core.again().freezing.freeze("default", state["task"], f"{state['parts']}00000.json")


def link(core: Core, state: State) -> None:
    state["build"] = core.again().freezing.link("default", state["task"])["build"]["task_id"]


def plan_training(core: Core, state: State) -> None:
    planned = core.again().project_training.plan_training("default", state["task"])
    state["train"] = planned["train"]["task_id"]


def record(core: Core, state: State) -> None:
    core.again().project_training.record("default", state["task"])


def fail(core: Core, state: State) -> None:
    core.again().tasks.fail("default", state["task"], "JobFailed", "because")


def built(core: Core) -> State:
    state = labelled(core) | {"key": "before"}
    for step in (request, plan, freeze, link):
        step(core, state)
    run_build(core, state["build"])
    return state


def learnt(core: Core) -> State:
    state = built(core)
    plan_training(core, state)
    core.again().training.prepare("default", state["train"])
    core.again().training.register_model("default", state["train"], projects.job_output(core, state["train"]))
    return state


def asked(core: Core) -> State:
    state = labelled(core) | {"key": "before"}
    request(core, state)
    return state


def two(core: Core) -> State:
    """Two iterations that came to a good end; the first one is published."""
    made = projects.labelled_project(core, 5)
    ids = []
    for _ in range(2):
        iteration = projects.train(core, made)
        core.stores.iterations.end(iteration, "COMPLETED", core.clock.text(), trained_at=core.clock.text())
        ids.append(iteration.id)
    core.services.iterating.publish(made, ids[0], "live", "/x")
    return {"project": made.id, "first": ids[0], "second": ids[1]}


def move_name(core: Core, state: State) -> None:
    core.again().iterating.publish(project(core, state), state["second"], "live", "/x", overwrite=True)


def rename(core: Core, state: State) -> None:
    core.again().iterating.rename(project(core, state), state["first"], "best")


def delete(core: Core, state: State) -> None:
    """A client that asks again may learn that it is gone."""
    try:
        core.again().iterating.delete(project(core, state), state["first"])
    except NotFound as gone:
        assert gone.entity == "iteration", gone


def unpublish(core: Core, state: State) -> None:
    """A client that asks again may learn that it is not published."""
    try:
        core.again().iterating.unpublish(project(core, state), state["second"])
    except IllegalTransition as done:
        assert done.entity == "unpublished iteration", done


def forget(core: Core, state: State) -> None:
    core.again().iterating.forget(project(core, state))


WHOLE = (
    Scenario("iteration", labelled, [request, plan, freeze, link]),
    Scenario("trained iteration", built, [plan_training]),
    Scenario("recorded iteration", learnt, [record]),
    Scenario("failed iteration", asked, [fail]),
    Scenario("changed iterations", two, [move_name, rename, delete, unpublish]),
    Scenario("forgotten iterations", two, [forget]),
)
SCENARIOS = [single for scenario in WHOLE for single in scenario.one_by_one()]
