"""Tasks: started once, stopped when asked, ended by whatever ended their execution, never left running for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.tasks import Task
from dataloop.services.tracking import reason_of
from tests.actions import labelled, ready_version, trained_model
from tests.core import Core


def task(core: Core, kind: str = "export") -> Task:
    return core.services.tasks.start(core.services.tasks.create("default", kind, "Model#1", {}))


def test_starting_twice_is_starting_once(core: Core) -> None:
    started = task(core)
    again = core.again().tasks.start(started)
    assert (started.status, again.status) == ("QUEUED", "QUEUED")
    arn = core.settings.machine_arn("model_export")
    assert len(core.clients.states.list_executions(stateMachineArn=arn)["executions"]) == 1


@pytest.mark.parametrize("ended", ["SUCCEEDED", "FAILED", "STOPPED"])
def test_nothing_changes_an_ended_task(core: Core, ended: str) -> None:
    found = task(core)
    if ended == "SUCCEEDED":
        core.services.tasks.succeed(found, {"x": 1})
    elif ended == "FAILED":
        core.services.tasks.fail("default", found.id, "First", "the first reason")
    else:
        core.services.tasks.stop("default", found.id)
        core.services.tasks.follow("default", found.id, "ABORTED", "Stopped", "a client asked to stop")
    before = core.services.tasks.read("default", found.id)
    assert before.status == ended
    core.services.tasks.fail("default", found.id, "Second", "another")
    core.services.tasks.follow("default", found.id, "FAILED", "x", "y")
    core.services.tasks.note(before, phase="other")
    core.services.tasks.phase_of_job("default", found.id, "Training")
    core.services.tasks.start(before)
    with pytest.raises(IllegalTransition):
        core.services.tasks.begin(before)
    with pytest.raises(IllegalTransition):
        core.services.tasks.stop("default", found.id)
    assert core.services.tasks.read("default", found.id) == before


def test_a_phase_that_comes_late_changes_nothing_but_a_restart_begins_again(core: Core) -> None:
    found = core.services.tasks.begin(task(core))
    seen = []
    for event in ("Pending", "Training", "Downloading", "Uploading", "Training", "Interrupted", "Downloading"):
        core.services.tasks.phase_of_job("default", found.id, event)
        seen.append(core.services.tasks.read("default", found.id).phase)
    assert seen == ["pending", "training", "training", "uploading", "uploading", "interrupted", "downloading"]


def test_what_was_counted_is_done_at_the_end(core: Core) -> None:
    found = core.services.tasks.begin(task(core))
    found = core.services.tasks.note(found, progress={"done": 0, "total": 24, "unit": "annotation"})
    assert core.services.tasks.succeed(found, {}).progress == {"done": 24, "total": 24, "unit": "annotation"}


def test_a_stop_wins_over_a_late_success(core: Core) -> None:
    found = core.services.tasks.begin(task(core))
    core.services.tasks.stop("default", found.id)
    assert core.services.tasks.succeed(found, {}).status == "STOPPED"


def test_a_task_that_never_began_is_stopped_at_once(core: Core) -> None:
    made = core.services.tasks.create("default", "export", "Model#1", {})
    assert core.services.tasks.stop("default", made.id).status == "STOPPED"


def test_failing_a_training_fails_its_model(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    found = core.services.training.request("default", version.id)
    core.services.tasks.fail("default", found.id, "JobFailed", "learning_rate must be below 1, got 7")
    model = core.services.tracing.model("default", found.parameters["model_id"])
    assert model.status == "FAILED"
    assert core.services.tasks.get("default", found.id).error == {
        "code": "JobFailed",
        "message": "learning_rate must be below 1, got 7",
    }


def test_a_replayed_registration_of_a_model_answers_the_same(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    model = trained_model(core, version.id)
    done = core.services.tasks.page("default", "train", 1, None)[0][0]
    assert core.again().training.register_model("default", done.id, "s3://gone/gone/model.tar.gz") == {
        "model_id": model
    }
    assert core.services.tasks.read("default", done.id) == done


@pytest.mark.parametrize("kind", ["export", "train", "loop"])
def test_a_task_without_execution_is_started_by_the_sweep(core: Core, kind: str) -> None:
    made = core.services.tasks.create("default", kind, "Model#1", {"loop_id": "x", "model_id": "x"})
    core.clock.move(minutes=10)
    core.services.sweeping.sweep(full=True)
    assert core.services.tasks.read("default", made.id).status in ("QUEUED", "FAILED")
    assert core.stores.machines.look(
        {"export": "model_export", "train": "training", "loop": "retrain_loop"}[kind], made.execution_name
    )


def test_a_task_whose_execution_ended_is_ended_by_the_sweep(core: Core) -> None:
    # given a running task whose execution was stopped behind its back
    found = core.services.tasks.begin(task(core))
    core.stores.machines.stop("model_export", found.execution_name, "from the console")
    core.clock.move(minutes=10)
    # when the schedule comes
    counts = core.services.sweeping.sweep(full=False)
    # then it has ended with a reason, and a second sweep has nothing to do
    ended = core.services.tasks.read("default", found.id)
    assert ended.is_ended and ended.error
    assert counts["tasks"] == 1
    assert core.services.sweeping.sweep(full=False)["tasks"] == 0


def test_a_sub_task_ends_with_its_run_and_waits_for_a_running_one(core: Core) -> None:
    parent = core.services.tasks.create("default", "export", "Model#1", {})
    child = core.services.tasks.create("default", "evaluate", "Model#1", {}, parent_id=parent.id)
    assert core.services.tasks.resume(child) == "waits for its run"
    core.services.tasks.fail("default", parent.id, "x", "y")
    core.services.tasks.resume(child)
    assert core.services.tasks.read("default", child.id).status == "FAILED"


def test_lists_are_newest_first_and_kinds_are_checked(core: Core) -> None:
    made = []
    for kind in ("export", "train", "export"):
        core.clock.move(seconds=1)
        made.append(core.services.tasks.create("default", kind, "x", {}).id)
    assert [found.id for found in core.services.tasks.page("default", None, 10, None)[0]] == made[::-1]
    assert [found.id for found in core.services.tasks.page("default", "export", 1, None)[0]] == made[2:]
    with pytest.raises(InvalidInput):
        core.services.tasks.page("default", "no-kind", 1, None)
    with pytest.raises(NotFound):
        core.services.tasks.get("default", "x" * 5000)


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        ("Timeout", "too long", ("Timeout", "too long")),
        ("", "", ("Failed", "no reason was given")),
        ("NotFound", json.dumps({"errorType": "NotFound", "errorMessage": "dataset x"}), ("NotFound", "dataset x")),
        (
            "States.TaskFailed",
            json.dumps({"FailureReason": "bad lr", "TrainingJobStatus": "Failed"}),
            ("JobFailed", "bad lr"),
        ),
        (
            "States.TaskFailed",
            json.dumps({"ProcessingJobStatus": "Stopped"}),
            ("States.TaskFailed", "the job ended as Stopped"),
        ),
        (
            "States.TaskFailed",
            json.dumps({"Status": "FAILED", "Error": "E", "Cause": json.dumps({"FailureReason": "deep"})}),
            ("JobFailed", "deep"),
        ),
        ("E", "[1]", ("E", "[1]")),
    ],
)
def test_the_reason_is_found_in_whatever_step_functions_says(error: str, cause: str, expected: Any) -> None:
    assert reason_of(error, cause) == expected
