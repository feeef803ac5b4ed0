"""Tags of a workspace, as Microsoft's own client sees them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training import models

from dataloop.services import projects as projects_module
from tests.core import Core
from tests.services.projects import fill, freeze, run_batch
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.test_projects import UNKNOWN, batch_of, refusal


@covers("create_tag", "get_tag", "get_tags")
def test_tags_are_made_and_found(training: Any, project: Any) -> None:
    cat = training.create_tag(project.id, "cat", description="purrs")
    none = training.create_tag(project.id, "none of them", type="Negative")
    assert (cat.name, cat.description, cat.type, cat.image_count) == ("cat", "purrs", "Regular", 0)
    assert none.type == "Negative"
    assert training.get_tags(project.id) == [cat, none]
    assert training.get_tag(project.id, cat.id) == cat


def test_wrong_tags_are_refused(training: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cat = training.create_tag(project.id, "cat")
    training.create_tag(project.id, "none", type="Negative")
    training.create_tag(project.id, "product", type="GeneralProduct")
    assert refusal(lambda: training.create_tag(project.id, "cat"))[:2] == (400, "BadRequestTagNameNotUnique")
    assert refusal(lambda: training.create_tag(project.id, "x" * 201))[:2] == (400, "BadRequestTagName")
    assert (
        refusal(lambda: training.create_tag(project.id, "t", description="d" * 2001))[1] == "BadRequestTagDescription"
    )
    assert refusal(lambda: training.create_tag(project.id, "t", type="Odd"))[:2] == (400, "BadRequestTagType")
    negative = refusal(lambda: training.create_tag(project.id, "nothing", type="Negative"))
    assert negative[:2] == (400, "BadRequestMultipleNegativeTag")
    product = refusal(lambda: training.create_tag(project.id, "goods", type="GeneralProduct"))
    assert product[:2] == (400, "BadRequestMultipleGeneralProductTag")
    assert refusal(lambda: training.get_tag(project.id, UNKNOWN))[:2] == (404, "NotFoundTag")
    assert refusal(lambda: training.get_tag(project.id, "cat"))[:2] == (400, "BadRequestInvalidIds")
    assert refusal(lambda: training.create_tag(UNKNOWN, "cat"))[:2] == (404, "NotFoundProject")
    monkeypatch.setattr(projects_module, "MAX_TAGS", 3)
    assert refusal(lambda: training.create_tag(project.id, "one more"))[1] == "BadRequestExceedTagPerProjectLimit"
    assert [tag.name for tag in training.get_tags(project.id)] == ["cat", "none", "product"]
    assert training.get_tag(project.id, cat.id) == cat


@covers("update_tag")
def test_a_tag_is_changed_by_sending_it_back_and_keeps_its_images(training: Any, project: Any, core: Core) -> None:
    cat = training.create_tag(project.id, "cat")
    training.create_tag(project.id, "dog")
    found = core.services.projects.get("default", project.id)
    fill(core, found, 10, {0: [core.services.projects.tag(found, cat.id)]})
    changed = training.update_tag(project.id, cat.id, models.Tag(name="lion", description="roars", type="Negative"))
    assert (changed.id, changed.name, changed.description, changed.type) == (cat.id, "lion", "roars", "Negative")
    assert changed.image_count == 5
    assert training.get_tag(project.id, cat.id) == changed
    taken = models.Tag(name="dog", description="", type="Regular")
    assert refusal(lambda: training.update_tag(project.id, cat.id, taken))[1] == "BadRequestTagNameNotUnique"
    assert refusal(lambda: training.update_tag(project.id, UNKNOWN, taken))[1] == "NotFoundTag"
    odd = models.Tag(name="lion", description="", type="Odd")
    assert refusal(lambda: training.update_tag(project.id, cat.id, odd))[1] == "BadRequestTagType"


@covers("delete_tag")
def test_a_deleted_tag_leaves_its_images(training: Any, project: Any, core: Core) -> None:
    cat = training.create_tag(project.id, "cat")
    found = core.services.projects.get("default", project.id)
    fill(core, found, 10, {0: [core.services.projects.tag(found, cat.id)]})
    assert training.delete_tag(project.id, cat.id, raw=True).response.status_code == 204
    assert training.get_tags(project.id) == []
    assert refusal(lambda: training.delete_tag(project.id, cat.id))[:2] == (404, "NotFoundTag")
    # an image's answer names it no more, from the first moment on
    assert [image.tags for image in training.get_images(project.id)] == [None] * 10
    run_batch(core, batch_of(core, project.id, "bulk_delete"))
    assert (training.get_tagged_image_count(project.id), training.get_untagged_image_count(project.id)) == (0, 10)


@covers("get_tag", "get_tags")
def test_an_iteration_keeps_the_tags_it_was_trained_with(training: Any, project: Any, core: Core) -> None:
    cat = training.create_tag(project.id, "cat", description="purrs")
    found = core.services.projects.get("default", project.id)
    fill(core, found, 10, {0: [core.services.projects.tag(found, cat.id)]})
    iteration = freeze(core, found)
    # when the workspace goes on
    training.update_tag(project.id, cat.id, models.Tag(name="lion", description="roars", type="Regular"))
    dog = training.create_tag(project.id, "dog")
    # then the iteration says what it learnt
    [frozen] = training.get_tags(project.id, iteration_id=iteration.id)
    assert (frozen.id, frozen.name, frozen.description, frozen.image_count) == (cat.id, "cat", "purrs", 5)
    assert training.get_tag(project.id, cat.id, iteration_id=iteration.id) == frozen
    assert refusal(lambda: training.get_tag(project.id, dog.id, iteration_id=iteration.id))[1] == "NotFoundTag"
    assert refusal(lambda: training.get_tags(project.id, iteration_id=UNKNOWN))[1] == "NotFoundIteration"
    # and a project's copy counts it
    assert training.export_project(project.id).iteration_count == 1
