"""Releases: a gate, one pointer per name, and the way back."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import GateRefused, IllegalTransition, InvalidInput, NotFound
from tests.actions import job_output, labelled, ready_version, release, run_release, trained_model
from tests.core import ARTIFACTS, Core


def models(core: Core, *values: float) -> list[str]:
    version = ready_version(core, labelled(core, 4))
    found = []
    for value in values:
        core.clock.move(minutes=1)
        found.append(trained_model(core, version.id, value))
    return found


def test_a_release_names_its_model_and_a_better_one_takes_over(core: Core) -> None:
    first, second = models(core, 0.7, 0.8)
    one, two = release(core, first), release(core, second)
    assert core.services.releasing.current("default", "scenes").id == two
    stands = core.services.releasing.get("default", two)
    assert (stands.status, stands.number, stands.previous_release_id) == ("PUBLISHED", 2, one)


def test_a_worse_model_is_refused_with_its_numbers_and_the_task_says_so(core: Core) -> None:
    first, second = models(core, 0.8, 0.7)
    one = release(core, first)
    two = release(core, second)
    refused = core.services.releasing.get("default", two)
    assert refused.status == "FAILED"
    assert "0.7000" in refused.verdict["reasons"][0] and "0.8000" in refused.verdict["reasons"][0]
    assert core.services.tasks.get("default", two).result["published"] is False
    assert core.services.releasing.current("default", "scenes").id == one


def test_each_reason_of_a_refusal_is_said_once(core: Core) -> None:
    first, second = models(core, 0.8, 0.7)
    release(core, first)
    refused = core.services.releasing.get("default", release(core, second, gate={"min_primary": 0.9}))
    reasons = refused.verdict["reasons"]
    assert len(reasons) > 1
    assert not [one for one in reasons for other in reasons if one != other and other in one]


def test_force_publishes_and_keeps_the_verdict(core: Core) -> None:
    first, second = models(core, 0.8, 0.7)
    release(core, first)
    two = release(core, second, force=True)
    verdict = core.services.releasing.get("default", two).verdict
    assert "published by force" in verdict["reasons"]
    assert core.services.releasing.current("default", "scenes").model_id == second


def test_rolling_back_goes_one_step_and_ends_at_the_first(core: Core) -> None:
    one, two, three = [release(core, model) for model in models(core, 0.6, 0.7, 0.8)]
    assert core.services.releasing.roll_back_name("default", "scenes").id == two
    assert core.services.releasing.roll_back_name("default", "scenes").id == one
    with pytest.raises(IllegalTransition):
        core.services.releasing.roll_back_name("default", "scenes")
    assert core.services.releasing.current("default", "scenes").id == one
    assert [core.services.releasing.get("default", id).status for id in (one, two, three)] == [
        "PUBLISHED",
        "ROLLED_BACK",
        "ROLLED_BACK",
    ]
    with pytest.raises(NotFound):
        core.services.releasing.roll_back_name("default", "nothing")


def test_a_repeated_rollback_goes_back_one_step(core: Core) -> None:
    one, two, three = [release(core, model) for model in models(core, 0.6, 0.7, 0.8)]
    # given a rollback whose process died behind the pointer
    dying: Any = core.again().releasing
    dying._releases.move = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        dying.roll_back_name("default", "scenes", "request-1")
    # when the client repeats its request, twice
    for _ in range(2):
        assert core.again().releasing.roll_back_name("default", "scenes", "request-1").id == two
    # then it went back one step, and the release it left is marked
    assert core.services.releasing.current("default", "scenes").id == two
    assert core.services.releasing.get("default", three).status == "ROLLED_BACK"
    # and another request is another step
    assert core.services.releasing.roll_back_name("default", "scenes", "request-2").id == one


def test_two_publishing_at_once_end_in_one_pointer(core: Core) -> None:
    # given two releases of one name that both looked at the pointer before either moved it
    first, second = models(core, 0.8, 0.8)
    ids = []
    for model in (first, second):
        task = core.services.releasing.request("default", model, name="scenes")
        ids.append(core.services.releasing.collect("default", task.id)["release_id"])
    late: Any = core.again().releasing
    seen = core.stores.releases.pointer("default", "scenes")
    late._releases.pointer = lambda tenant, name: seen
    core.services.releasing.publish("default", ids[0])
    # when the second one moves it
    with pytest.raises(IllegalTransition):
        late.publish("default", ids[1])
    # then the first stands
    assert core.services.releasing.current("default", "scenes").id == ids[0]
    core.services.tasks.fail("default", ids[1], "IllegalTransition", "somebody was quicker")
    assert core.services.releasing.get("default", ids[1]).status == "FAILED"


def test_every_step_may_run_twice(core: Core) -> None:
    first, second = models(core, 0.7, 0.8)
    release(core, first)
    task = core.services.releasing.request("default", second, name="scenes")
    for _ in range(2):
        id = core.again().releasing.collect("default", task.id)["release_id"]
    for _ in range(2):
        assert core.again().releasing.publish("default", id)["revision"] == 2
    for _ in range(2):
        core.again().releasing.smoke("default", id)
    for _ in range(2):
        core.again().releasing.mark("default", id)
    assert core.services.releasing.get("default", id).number == 2


def test_a_publish_that_died_behind_the_pointer_is_completed(core: Core) -> None:
    (model,) = models(core, 0.7)
    task = core.services.releasing.request("default", model, name="scenes")
    id = core.services.releasing.collect("default", task.id)["release_id"]
    dying: Any = core.again().releasing
    dying._note = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        dying.publish("default", id)
    core.services.releasing.publish("default", id)
    assert core.services.releasing.get("default", id).number == 1


def test_a_changed_artefact_is_not_released(core: Core) -> None:
    (model,) = models(core, 0.7)
    key = f"{core.services.tracing.model('default', model).prefix}/model.onnx"
    core.clients.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=b"something else")
    task = core.services.releasing.request("default", model, name="scenes")
    with pytest.raises(GateRefused):
        core.services.releasing.collect("default", task.id)


@pytest.mark.parametrize("has_one_before", [False, True])
def test_a_failed_smoke_test_gives_the_name_back(core: Core, has_one_before: bool) -> None:
    first, second = models(core, 0.7, 0.8)
    before = release(core, first) if has_one_before else None
    task = core.services.releasing.request("default", second, name="scenes")
    id = core.services.releasing.collect("default", task.id)["release_id"]
    core.services.releasing.publish("default", id)
    for _ in range(2):
        core.again().releasing.roll_back("default", id)
    assert core.services.releasing.get("default", id).status == "ROLLED_BACK"
    if before:
        assert core.services.releasing.current("default", "scenes").id == before
    else:
        with pytest.raises(NotFound):
            core.services.releasing.current("default", "scenes")
        # and the name can be used again
        again = release(core, first)
        assert core.services.releasing.current("default", "scenes").id == again


def test_a_release_waits_for_a_person(core: Core) -> None:
    (model,) = models(core, 0.7)
    task = core.services.releasing.request("default", model, name="scenes", require_approval=True)
    found = core.services.releasing.collect("default", task.id)
    assert found["needs_approval"] is True
    with pytest.raises(IllegalTransition):
        core.services.releasing.approve("default", found["release_id"])
    for _ in range(2):
        core.again().releasing.await_approval("default", found["release_id"], "token")
    assert core.services.releasing.get("default", found["release_id"]).status == "AWAITING_APPROVAL"


@pytest.mark.parametrize(
    "wish",
    [{"name": ""}, {"name": 5}, {"name": "x" * 201}, {"force": "yes"}, {"require_approval": 1}, {"gate": {"x": 1}}],
)
def test_a_wrong_request_makes_nothing(core: Core, wish: dict[str, Any]) -> None:
    (model,) = models(core, 0.7)
    with pytest.raises(InvalidInput):
        core.services.releasing.request("default", model, **wish)
    assert core.entity("REL") == []


def test_the_same_request_again_is_the_same_release(core: Core) -> None:
    (model,) = models(core, 0.7)
    id = core.clock.new_id()
    task = core.services.releasing.request("default", model, name="scenes", task_id=id)
    run_release(core, task.id)
    again = core.services.releasing.request("default", model, name="scenes", task_id=id)
    assert (again.id, again.status) == (id, "SUCCEEDED")
    assert len(core.entity("REL")) == 1


def judged(core: Core, version_id: str, value: float, **metrics: Any) -> str:
    """A COMPLETED model whose evaluation says more than its primary metric."""
    core.clock.move(minutes=1)
    task = core.services.training.request("default", version_id)
    core.services.training.prepare("default", task.id)
    archive = job_output(core, task.id, value, **metrics)
    return str(core.services.training.register_model("default", task.id, archive)["model_id"])


def sliced(value: float, images: int = 40) -> dict[str, Any]:
    return {"region": {"north": {"primary": value, "images": images, "confidence": [0.1, 0.9]}}}


def test_a_slice_that_fell_keeps_the_champion_although_the_whole_is_better(core: Core) -> None:
    # given a champion and a better model that lost in the north
    version = ready_version(core, labelled(core, 4))
    champion = judged(core, version.id, 0.7, slices=sliced(0.7))
    challenger = judged(core, version.id, 0.9, slices=sliced(0.5))
    one = release(core, champion)
    # when it is released under a gate that looks at regions
    two = release(core, challenger, gate={"slices": ["region"], "max_slice_drop": 0.1})
    # then the gate says where it fell, and the pointer stands
    refused = core.services.releasing.get("default", two)
    assert refused.status == "FAILED"
    assert "region='north' (40 images)" in refused.verdict["reasons"][0] and "0.5000" in refused.verdict["reasons"][0]
    assert list(refused.gate["slices"]) == ["region"]
    assert core.services.releasing.current("default", "scenes").id == one
    # and a gate that does not look lets it through
    assert core.services.releasing.current("default", "scenes").id != release(core, challenger)


def test_a_compressed_model_that_lost_too_much_is_not_released(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    facts = {"kind": "pruning", "parent_primary": 0.8, "primary": 0.7, "drop": 0.125, "allowed": 0.02, "kept": False}
    refused = release(core, judged(core, version.id, 0.7, compression=facts))
    assert "0.8000" in core.services.releasing.get("default", refused).verdict["reasons"][0]
    kept = release(core, judged(core, version.id, 0.79, compression=facts | {"primary": 0.79, "kept": True}))
    assert core.services.releasing.current("default", "scenes").id == kept
