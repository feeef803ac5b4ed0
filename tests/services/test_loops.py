"""Loops: labels gather without a call, the policy decides, a run ends in a verdict, and replays change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import Conflict, DomainError, IllegalTransition
from tests.actions import image, job_output, label, labelled, put, run_build, run_release
from tests.core import Core

ORDER = {
    "name": "loop",
    "dataset_name": "animals",
    "annotation_type": "detection",
    "release_name": "scenes",
    "thresholds": {"min_new": 3, "fraction": 0.0, "cooldown_s": 3600},
}


def make(core: Core, **changes: Any) -> str:
    return core.services.looping.create("default", ORDER | changes).id


def absorb(core: Core, ids: list[str]) -> Any:
    """What start_loop does with an AnnotationsRegistered event."""
    touched = core.again().looping.absorb("default", ids)
    return [core.again().looping.consider("default", loop.id) for loop in touched]


def run(core: Core, task_id: str, value: float = 0.8, times: int = 1, **metrics: Any) -> dict[str, Any]:
    """The states of retrain_loop with its nested machines; every step `times` times. metrics: what the job measured."""

    def step(name: str) -> dict[str, Any]:
        answers = [getattr(core.again().loop_steps, name)("default", task_id) for _ in range(times)]
        assert all(answer == answers[0] for answer in answers), name
        return dict(answers[0])

    begun = step("begin")
    if not begun["start"]:
        core.again().loop_steps.skip("default", task_id, begun["reason"])
        return {}
    run_build(core, begun["build"]["task_id"])
    train = step("plan_training")["train"]["task_id"]
    core.again().training.prepare("default", train)
    core.again().training.register_model("default", train, job_output(core, train, value, **metrics))
    evaluation = step("plan_evaluation")
    assert not evaluation["needed"] or evaluation["evaluate"]["task_id"]
    verdict = step("compare")
    if verdict["promote"]:
        run_release(core, verdict["release"]["task_id"])
    return step("finish")


def test_what_the_query_is_about_is_what_a_first_version_is_about(core: Core) -> None:
    # given a loop for a dataset that is not there yet, as docs/sdk.md makes one
    id = make(core, annotation_type=None, query={"annotation_type": "detection"})
    # when enough labels have come for a run
    ((_, task),) = absorb(core, labelled(core, 3))
    # then the run knows what to train
    assert run(core, task.id)
    train = core.services.tasks.page("default", "train", 1, None)[0][0]
    assert train.parameters["task_type"] == "detection"
    assert core.services.looping.get("default", id).failures == 0


def test_labels_gather_until_there_are_enough_and_then_one_run_starts(core: Core) -> None:
    # given a loop that wants three new labels
    id = make(core)
    first, second, third = labelled(core, 3)
    # when two have come, it waits
    ((decision, task),) = absorb(core, [first, second])
    assert (decision.start, task) == (False, None)
    assert "2 new annotations, 3 needed" in decision.reason
    # when the event of the third comes three times, one run starts
    started = [absorb(core, [third])[0][1] for _ in range(3)]
    assert len({found.id for found in started}) == 1
    assert len(core.entity("TASK")) == 1
    assert core.services.looping.get("default", id).draft_number == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_ends_in_a_release_and_the_labels_count_as_learnt(core: Core, times: int) -> None:
    id = make(core)
    ((_, task),) = absorb(core, labelled(core, 4))
    assert run(core, task.id, times=times) == {"promoted": True}
    ended = core.services.tasks.read("default", task.id)
    assert ended.status == "SUCCEEDED"
    assert ended.result["promoted"] is True
    assert core.services.releasing.current("default", "scenes").model_id == ended.result["model_id"]
    loop = core.services.looping.get("default", id)
    assert loop.trained_version_id == ended.result["version_id"] == loop.test_version_id
    core.clock.move(hours=2)
    assert core.services.looping.consider("default", id)[0].reason == "nothing new to learn"
    assert core.messages(core.settings.loop_queue_url)[0]["loop_id"] == id


def test_the_second_run_learns_old_and_new_labels_and_meets_the_champion_on_the_frozen_set(core: Core) -> None:
    id = make(core)
    ((_, task),) = absorb(core, labelled(core, 4))
    run(core, task.id)
    first = core.services.looping.get("default", id)
    core.clock.move(hours=2)
    # when new labels come and the challenger is worse
    ((_, second),) = absorb(core, labelled(core, 4, prefix="new"))
    assert second is not None
    assert run(core, second.id, value=0.5) == {"promoted": False}
    # then the champion stands, the reasons are kept, and both were judged on the first test set
    ended = core.services.tasks.read("default", second.id)
    assert "0.5000" in ended.result["reasons"][0]
    assert ended.result["verdict"]["test_version_id"] == first.test_version_id
    assert core.services.releasing.current("default", "scenes").model_id != ended.result["model_id"]
    version = core.services.curating.get("default", ended.result["version_id"])
    assert sum(version.report["counts"].values()) == 8
    # and refused labels are learnt labels: it does not start again with them
    core.clock.move(hours=2)
    assert not core.services.looping.consider("default", id)[0].start
    kinds = [entry["kind"] for entry in core.services.looping.decisions("default", id)]
    assert kinds.count("promotion") == 2


def test_a_loop_keeps_its_champion_when_a_slice_of_its_gate_fell(core: Core) -> None:
    # given a loop whose gate looks at every slice, and its first release
    id = make(core, gate={"slices": "*", "max_slice_drop": 0.1})
    ((_, task),) = absorb(core, labelled(core, 4))
    north = {"primary": 0.8, "images": 30, "confidence": [0.7, 0.9]}
    assert run(core, task.id, 0.8, slices={"region": {"north": north}}) == {"promoted": True}
    # when the next model is better as a whole and worse there
    core.clock.move(hours=2)
    ((_, second),) = absorb(core, labelled(core, 4, prefix="new"))
    assert second is not None
    worse = {"region": {"north": north | {"primary": 0.6}}}
    assert run(core, second.id, value=0.9, slices=worse) == {"promoted": False}
    # then the decision says where
    ended = core.services.tasks.read("default", second.id)
    assert "region='north'" in ended.result["reasons"][0]
    assert core.services.looping.get("default", id).gate.slices == ("*",)


def test_labels_that_come_during_a_run_wait_for_the_next(core: Core) -> None:
    id = make(core)
    ((_, task),) = absorb(core, labelled(core, 4))
    begun = core.services.loop_steps.begin("default", task.id)
    # when labels come while the draft is frozen
    ((decision, other),) = absorb(core, labelled(core, 5, prefix="late"))
    assert (decision.start, other) == (False, None)
    assert decision.reason == "a run of this loop is active"
    # and the step that froze it is replayed, then it still speaks of the first draft
    assert core.again().loop_steps.begin("default", task.id) == begun
    frozen = core.services.tasks.read("default", begun["build"]["task_id"]).parameters["version_id"]
    assert frozen == core.services.tasks.read("default", task.id).context["version_id"]
    run(core, task.id)
    assert sum(core.services.curating.get("default", frozen).report["counts"].values()) == 4
    # then the late ones are the next run's
    core.clock.move(hours=2)
    decision, following = core.services.looping.consider("default", id)
    assert decision.start and following and following.id != task.id


def test_a_begin_that_died_is_not_told_to_cool_down_from_itself(core: Core) -> None:
    make(core)
    ((_, task),) = absorb(core, labelled(core, 4))
    dying: Any = core.again().loop_steps
    dying._building.request_build = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        dying.begin("default", task.id)
    assert core.again().loop_steps.begin("default", task.id)["start"] is True


def test_a_failed_run_frees_the_lock_counts_once_and_backs_off(core: Core) -> None:
    id = make(core, thresholds={"min_new": 3, "cooldown_s": 0})
    ((_, task),) = absorb(core, labelled(core, 4))
    core.services.loop_steps.begin("default", task.id)
    for _ in range(3):
        core.again().loop_steps.abort("default", task.id, "JobFailed", "the job ran out of memory")
    loop = core.services.looping.get("default", id)
    assert loop.failures == 1
    assert (core.services.tasks.read("default", task.id).error or {})["code"] == "JobFailed"
    decision = core.services.looping.consider("default", id)[0]
    assert not decision.start and decision.look_again is not None
    core.clock.moment = decision.look_again
    decision, again = core.services.looping.consider("default", id)
    assert decision.start and again and again.id != task.id


def test_a_second_run_beside_the_first_is_skipped(core: Core) -> None:
    id = make(core)
    ((_, task),) = absorb(core, labelled(core, 4))
    core.services.loop_steps.begin("default", task.id)
    other = core.services.tasks.create("default", "loop", f"Loop#{id}", {"loop_id": id, "forced": True})
    answer = core.services.loop_steps.begin("default", other.id)
    assert answer["start"] is False
    for _ in range(2):
        core.again().loop_steps.skip("default", other.id, answer["reason"])
    # the first run still holds the lock
    assert core.services.looping.evidence(core.services.looping.get("default", id), core.clock.now()).active_loop


def test_forcing_needs_something_new(core: Core) -> None:
    id = make(core)
    with pytest.raises(IllegalTransition) as refused:
        core.services.looping.run_once("default", id, True)
    assert "nothing new" in str(refused.value)
    absorb(core, [image(core, "only")])
    with pytest.raises(IllegalTransition):
        core.services.looping.run_once("default", id, False)
    assert core.services.looping.run_once("default", id, True).status == "QUEUED"


def test_only_matching_labels_are_taken(core: Core) -> None:
    make(core, query={"labels": ["cat"], "regions": ["CN"]})
    cat, dog = image(core, "cat"), image(core, "dog", label_name="dog")
    early = core.services.annotating.register("default", label("1" * 32)).id
    assert core.services.looping.absorb("default", [dog, early]) == []
    assert len(core.services.looping.absorb("default", [cat])) == 1


def test_a_label_before_its_metadata_is_taken_when_the_metadata_comes(core: Core) -> None:
    make(core, query={"regions": ["CN"]})
    uid, notice = put(core, "late.jpg")
    id = core.services.annotating.register("default", label(uid)).id
    core.services.registering.register_object(notice)
    assert core.services.looping.absorb("default", [id]) == []
    core.services.registering.register_metadata("default", {"uid": uid, "region": "CN"})
    (loop,) = core.services.looping.absorb_files("default", [uid])
    evidence = core.services.looping.evidence(core.services.looping.get("default", loop.id), core.clock.now())
    assert evidence.new_labelled == 1


def test_a_name_is_taken_once_and_a_persons_version_name_is_not_overwritten(core: Core) -> None:
    make(core)
    with pytest.raises(Conflict):
        make(core)
    core.services.curating.create("default", {"datasetName": "animals", "datasetVersion": "auto-1"})
    absorb(core, labelled(core, 1))
    names = {version.version for version in core.services.curating.page("default", 10, None)[0]}
    assert names == {"auto-1", "auto-1-b"}


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"dataset_name": None}, {"thresholds": 5}, {"training": {"lr": 1}}, {"training": {"parameters": 5}},
     {"gate": {"margin": 9}}, {"query": {"labels": "cat"}}, {"require_approval": "no"}, {"split": {"x": 1}}],
)  # fmt: skip
def test_a_wrong_order_makes_nothing(core: Core, wrong: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        make(core, **wrong)
    assert core.items() == []
