"""A deletion reaches projects: workspaces, what iterations froze of them, stored predictions, copies for people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataloop.domain.predictions import Said
from dataloop.domain.projects import Image, Iteration, Project
from dataloop.domain.terms import EVERYTHING, ImageQuery
from dataloop.gateways.erasable import ErasableBucket
from dataloop.services.adding import NewImage
from dataloop.services.project_predicting import Answer
from dataloop.services.snapshot_erasure import SnapshotEraser
from dataloop.services.snapshots import prefix_of
from tests.core import Core, account
from tests.erasing import delete, part_keys, receipt_of, run_deletion, stopped_bucket_clock, traces
from tests.pictures import picture


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found, stopped_bucket_clock(found):
        yield found


def add(core: Core, project: Project, content: bytes) -> Image:
    """One image of the workspace with a tag."""
    tag = core.services.projects.tags(project) or [core.services.projects.create_tag(project, "scratch")]
    [added] = core.again().adding.add(project, [NewImage("a.jpg", lambda: content, tag_ids=[tag[0].id])])
    assert added.image is not None, added
    return added.image


def frozen(core: Core, project: Project, images: list[Image]) -> Iteration:
    """A trained iteration that froze these images."""
    at = core.clock.text()
    made = Iteration(
        tenant=project.tenant,
        id=core.clock.new_id(),
        project_id=project.id,
        name="Iteration 1",
        number=1,
        status="TRAINING",
        task_id=core.clock.new_id(),
        created_at=at,
        updated_at=at,
    )
    core.stores.iterations.begin(made)
    snapshots = core.again().snapshots
    prefix = prefix_of(made.tenant, made.project_id, made.id)
    snapshots.write_part(prefix, 0, images)
    snapshots.finish(prefix, 1)
    ended: Iteration = core.stores.iterations.end(
        core.stores.iterations.note(made, at, snapshot=prefix), "COMPLETED", at
    )
    return ended


def test_a_deleted_image_leaves_nothing_in_a_project(core: Core) -> None:
    # given two images in a workspace, an iteration that froze both, and a stored prediction about each
    project = core.services.projects.create("default", "screws", task_type="multilabel_classification")
    contents = [picture(size=(1200, 900), seed=seed) for seed in (1, 2)]
    gone, kept = (add(core, project, content) for content in contents)
    iteration = frozen(core, project, [gone, kept])
    answer = Answer((Said("t", "scratch", "regular", 0.9),), 0.1)
    for content in contents:
        prediction = core.services.stored_predictions.prepare(project, iteration, content, answer)
        core.services.stored_predictions.store(prediction, content)
    core.clock.move(seconds=5)
    assert traces(core, gone.uid, contents[0])

    # when the first is deleted
    deletion_id = delete(core, [gone.uid])

    # then no trace of it is left, the other is whole, and the counts are exact
    assert traces(core, gone.uid, contents[0]) == []
    services = core.again()
    assert [each.id for each in services.browsing.page(services.browsing.workspace(project), ImageQuery())] == [kept.id]
    assert [each.image_count for each in services.projects.tags(project)] == [1]
    snapshot = services.snapshots.open(iteration)
    assert services.browsing.count(snapshot, EVERYTHING) == 1
    [row] = services.browsing.page(snapshot, ImageQuery())
    assert row == kept
    assert core.objects(f"{core.stores.raw.name}")[kept.key] == contents[1]
    # and the receipt says what went
    copies = {entry["prefix"]: entry for entry in receipt_of(core, deletion_id)["removed"]["copies"]}
    assert copies[f"default/projects/{project.id}/images/"]["removed"] == [gone.id]
    assert copies[f"default/projects/{project.id}/iterations/{iteration.id}/"]["rewritten"] == ["snapshot"]
    assert len(copies[f"default/predictions/{project.id}/"]["removed"]) == 1
    assert f"default/renditions/{gone.uid}/" in copies


def test_the_same_content_put_into_a_project_again_is_a_new_life(core: Core) -> None:
    # given an image that a deletion took
    project = core.services.projects.create("default", "screws", task_type="multilabel_classification")
    content = picture(seed=3)
    first = add(core, project, content)
    core.clock.move(seconds=5)
    delete(core, [first.uid])
    core.clock.move(seconds=5)

    # when somebody uploads it again, and another image is deleted
    second = add(core, project, content)
    other = add(core, project, picture(seed=4))
    core.clock.move(seconds=5)
    delete(core, [other.uid])

    # then it is there, as another image
    services = core.again()
    found = services.browsing.page(services.browsing.workspace(project), ImageQuery())
    assert [each.id for each in found] == [second.id] != [first.id]
    assert services.registering.get("default", second.uid).is_usable


@pytest.mark.parametrize("dies_at", ["forget", "purge"])
def test_a_deletion_that_dies_in_a_project_is_completed_by_its_repeat(
    core: Core, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    # given an image of a workspace and of an iteration, and a stored prediction about it
    project = core.services.projects.create("default", "screws", task_type="multilabel_classification")
    content = picture(size=(1200, 900), seed=5)
    gone = add(core, project, content)
    iteration = frozen(core, project, [gone])
    answer = Answer((Said("t", "scratch", "regular", 0.9),), 0.1)
    prediction = core.services.stored_predictions.prepare(project, iteration, content, answer)
    core.services.stored_predictions.store(prediction, content)
    core.clock.move(seconds=5)
    deletion, task = core.again().erasing.request("default", [gone.uid], "asked for by its owner")
    parts = part_keys(core, core.again().erasure_steps.plan("default", task.id))
    [part] = [key for key in parts if key.endswith("-projects.json")]

    # when the step dies behind the workspace's row, or behind the snapshot
    with monkeypatch.context() as patched:
        owner = SnapshotEraser if dies_at == "forget" else ErasableBucket
        patched.setattr(owner, dies_at, died)
        with pytest.raises(Died):
            core.again().erasure_steps.erase("default", task.id, part)
    assert core.again().browsing.count(core.services.browsing.workspace(project), EVERYTHING) == 0
    run_deletion(core, task.id)

    # then nothing is left, and the receipt names what the dead step removed
    assert traces(core, gone.uid, content) == []
    copies = {entry["prefix"]: entry for entry in receipt_of(core, deletion.id)["removed"]["copies"]}
    assert copies[f"default/projects/{project.id}/images/"]["removed"] == [gone.id]
    assert copies[f"default/predictions/{project.id}/"]["removed"] == [prediction.id]


class Died(BaseException):
    """The process is gone."""


def died(*_: object, **__: object) -> None:
    raise Died
