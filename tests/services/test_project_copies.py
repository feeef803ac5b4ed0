"""Copies by token: what there is to copy, who may, and what the copy has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataloop.domain.errors import Conflict, InvalidInput, NotFound
from dataloop.domain.project_tokens import token_of
from dataloop.services import copying as module
from tests.core import Core
from tests.services.projects import count, fill, make, run_batch


def task_of(core: Core, project_id: str) -> str:
    [task] = [item for item in core.entity("TASK") if item["target"] == f"Project#{project_id}"]
    return str(task["id"])


def test_an_export_counts_what_there_is(core: Core) -> None:
    project = make(core, task_type="detection")
    cat = core.services.projects.create_tag(project, "cat")
    core.services.projects.create_tag(project, "dog")
    fill(core, project, 300, boxed=cat)
    images = core.stores.images.block("default", project.id, 0)
    core.services.tagging.delete_images(project, [images[0].id])
    found = core.services.copying.export(project)
    assert (found.iterations, found.images, found.tags, found.regions) == (0, 299, 2, 299)
    assert found.estimated_ms == module.START_MS + 299 * module.IMAGE_MS
    # and the token may stand in a URL as it is
    assert set(found.token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_copy_has_the_same_images_with_tags_boxes_and_metadata(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCKS_A_STEP", 1)
    # given 300 images of which one was deleted
    project = make(core, task_type="detection", info={"domain_id": "d"}, description="wild ones")
    cat = core.services.projects.create_tag(project, "cat", description="purrs")
    none = core.services.projects.create_tag(project, "none", kind="negative")
    fill(core, project, 300, boxed=cat)
    core.services.tagging.delete_images(project, [core.stores.images.block("default", project.id, 0)[7].id])
    # when it is copied
    token = core.services.copying.export(project).token
    copy = core.services.copying.start("default", token, "animals again")
    assert (copy.status, copy.task_type, copy.info, copy.description) == (
        "IMPORTING",
        "detection",
        {"domain_id": "d"},
        "wild ones",
    )
    assert run_batch(core, task_of(core, copy.id)) == 2
    # then it is a workspace of its own with the same content in the same order
    copy = core.services.projects.get("default", copy.id)
    assert copy.status == "ACTIVE"
    tags = core.services.projects.tags(copy)
    assert [(tag.name, tag.kind, tag.description, tag.image_count) for tag in tags] == [
        ("cat", "regular", "purrs", 299),
        ("none", "negative", "", 0),
    ]
    assert {tag.id for tag in tags}.isdisjoint({cat.id, none.id})
    for block in (0, 1):
        ours = core.stores.images.block("default", project.id, block)
        theirs = core.stores.images.block("default", copy.id, block)
        assert {image.id for image in ours}.isdisjoint(image.id for image in theirs)
        assert [replace(image, id="", project_id="", regions=(), revision=0) for image in ours] == [
            replace(image, id="", project_id="", regions=(), revision=0) for image in theirs
        ]
        assert [region.box for image in ours for region in image.regions] == [
            region.box for image in theirs for region in image.regions
        ]
    assert (count(core, copy), count(core, copy, f"tag:{tags[0].id}"), count(core, copy, "meta:site=north")) == (
        299,
        299,
        count(core, project, "meta:site=north"),
    )
    # and each goes its own way
    core.services.tagging.delete_images(copy, [core.stores.images.block("default", copy.id, 0)[0].id])
    assert (count(core, copy), count(core, project)) == (298, 299)


def test_a_step_that_is_repeated_copies_nothing_twice(core: Core) -> None:
    project = make(core)
    cat = core.services.projects.create_tag(project, "cat")
    fill(core, project, 30, {1: [cat]})
    copy = core.services.copying.start("default", core.services.copying.export(project).token)
    task_id = task_of(core, copy.id)
    task = core.services.tasks.begin(core.services.tasks.read("default", task_id))
    # given a step whose note was lost
    core.services.copying._copy_tags(project, copy)
    core.services.tagging.store(
        copy,
        [
            core.services.copying._copy(copy, row, core.services.copying._copy_tags(project, copy))
            for row in core.stores.images.block("default", project.id, 0)
        ],
    )
    assert core.services.copying.step(task)
    assert (count(core, copy), core.stores.images.last_ordinal("default", copy.id)) == (30, 30)
    assert [tag.image_count for tag in core.services.projects.tags(copy)] == [15]


def test_images_added_to_the_copy_meanwhile_come_behind(core: Core) -> None:
    project = make(core)
    fill(core, project, 3)
    copy = core.services.copying.start("default", core.services.copying.export(project).token)
    assert core.stores.images.reserve("default", copy.id, 1) == 3
    run_batch(core, task_of(core, copy.id))
    assert count(core, copy) == 3


def test_a_tag_made_in_the_copy_meanwhile_is_the_one(core: Core) -> None:
    project = make(core)
    cat = core.services.projects.create_tag(project, "cat")
    fill(core, project, 4, {0: [cat]})
    copy = core.services.copying.start("default", core.services.copying.export(project).token)
    own = core.services.projects.create_tag(copy, "cat")
    run_batch(core, task_of(core, copy.id))
    assert [(tag.id, tag.image_count) for tag in core.services.projects.tags(copy)] == [(own.id, 2)]


def test_without_a_name_the_copy_gets_one_of_its_own(core: Core) -> None:
    project = make(core, "a" * 200)
    token = core.services.copying.export(project).token
    copy = core.services.copying.start("default", token)
    assert copy.name == "a" * 160 + " (2026-11-22T12:00:00.000Z)"
    with pytest.raises(Conflict):
        core.services.copying.start("default", token, copy.name)


@pytest.mark.parametrize(
    "damage", ["changed", "cut", "ended", "another tenant's", "another root", "gone", "words", "bytes"]
)
def test_a_token_that_does_not_count_is_refused(core: Core, damage: str) -> None:
    project = make(core)
    token, tenant = core.services.copying.export(project).token, "default"
    if damage == "changed":
        token = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    elif damage == "cut":
        token = token[:-3]
    elif damage == "ended":
        core.clock.move(hours=module.TOKEN_HOURS, seconds=1)
    elif damage == "another tenant's":
        tenant = "other"
    elif damage == "another root":
        token = token_of(b"another deployment", "default", project.id, 2**31)
    elif damage == "gone":
        core.services.projects.delete(project)
    elif damage == "words":
        token = "please"
    else:
        token = "\N{SNOWMAN}" * 5
    with pytest.raises(InvalidInput) as refused:
        core.services.copying.start(tenant, token, "mine")
    assert refused.value.field == "import token"
    assert core.services.projects.list(tenant) == ([] if damage in ("gone", "another tenant's") else [project])


def test_a_copy_whose_source_goes_away_fails_and_says_so(core: Core) -> None:
    project = make(core)
    fill(core, project, 3)
    copy = core.services.copying.start("default", core.services.copying.export(project).token)
    core.services.projects.delete(project)
    task_id = task_of(core, copy.id)
    with pytest.raises(NotFound):
        core.services.project_batches.step("default", task_id)
    core.services.tasks.fail("default", task_id, "NotFound", "its source is gone")
    assert core.services.projects.get("default", copy.id).status == "FAILED"
