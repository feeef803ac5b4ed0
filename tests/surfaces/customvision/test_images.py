"""Pages, counts and lookups of images through Microsoft's client; tags, regions, metadata, deletions."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    ImageRegionCreateEntry,
    ImageTagCreateEntry,
)

from tests.core import Core
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.gateway import Gateway
from tests.surfaces.customvision.stored import freeze, run_batches, store

NOBODY = str(uuid.UUID(int=7))


def ids(images: list[Any]) -> list[str]:
    return [image.id for image in images]


def refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(CustomVisionErrorException) as caught:
        call(*arguments, **named)
    return caught.value.response.status_code, caught.value.error.code


# -- pages and counts --------------------------------------------------------------------------------------------
@covers("get_images")
def test_pages_go_through_a_project_newest_first_or_oldest_first(core: Core, training: Any, project: Any) -> None:
    made = store(core, project.id, 300)

    assert ids(training.get_images(project.id)) == made[::-1][:50]
    assert ids(training.get_images(project.id, take=256)) == made[::-1][:256]
    assert ids(training.get_images(project.id, take=256, skip=256)) == made[::-1][256:]
    assert ids(training.get_images(project.id, order_by="Oldest", take=3, skip=1)) == made[1:4]
    assert training.get_images(project.id, skip=300) == []
    assert training.get_images(project.id, take=0) == []


@covers("get_images", "get_image_count")
def test_tags_are_any_of_and_all_filters_hold_together(core: Core, training: Any, multilabel_project: Any) -> None:
    # Given images of one tag, of the other, of both and of none, half of them with metadata
    project = multilabel_project.id
    cat, dog = (training.create_tag(project, name).id for name in ("cat", "dog"))
    cats, dogs = store(core, project, 2, tags=[cat]), store(core, project, 2, tags=[dog], metadata={"night": "yes"})
    both, none = store(core, project, 1, tags=[cat, dog]), store(core, project, 2, metadata={"night": "yes"})

    def look(**query: Any) -> set[str]:
        found = training.get_images(project, **query)
        assert training.get_image_count(project, **query) == len(found)
        return set(ids(found))

    assert look() == {*cats, *dogs, *both, *none}
    assert look(tag_ids=[cat, dog]) == {*cats, *dogs, *both}
    assert look(tag_ids=[cat]) == {*cats, *both}
    assert look(tagging_status="Tagged") == {*cats, *dogs, *both}
    assert look(tagging_status="Untagged") == {*none}
    assert look(tagging_status="All") == look()
    assert look(filter="night eq 'yes'") == {*dogs, *none}
    assert look(filter="night ne 'yes'") == {*cats, *both}
    assert look(filter="night eq 'yes'", tag_ids=[cat, dog], tagging_status="Tagged") == {*dogs}
    assert look(tagging_status="Untagged", tag_ids=[cat]) == set()


@covers("get_tagged_images", "get_tagged_image_count", "get_untagged_images", "get_untagged_image_count")
def test_tagged_and_untagged_images(core: Core, training: Any, project: Any) -> None:
    cat, dog = (training.create_tag(project.id, name).id for name in ("cat", "dog"))
    cats, dogs, none = (
        store(core, project.id, 3, tags=[cat]),
        store(core, project.id, 1, tags=[dog]),
        store(core, project.id, 2),
    )

    assert ids(training.get_tagged_images(project.id, order_by="Oldest")) == [*cats, *dogs]
    assert ids(training.get_tagged_images(project.id, tag_ids=[cat], take=2, skip=1)) == cats[::-1][1:]
    assert training.get_tagged_image_count(project.id) == 4
    assert training.get_tagged_image_count(project.id, tag_ids=[cat]) == 3
    assert training.get_tagged_image_count(project.id, tag_ids=[cat, dog]) == 4
    assert ids(training.get_untagged_images(project.id)) == none[::-1]
    assert ids(training.get_untagged_images(project.id, order_by="Oldest", take=1, skip=1)) == none[1:]
    assert training.get_untagged_image_count(project.id) == 2


@covers("get_images_by_ids")
def test_images_by_id_come_in_the_order_asked(core: Core, training: Any, project: Any) -> None:
    made = store(core, project.id, 256)

    assert ids(training.get_images_by_ids(project.id, [made[3], NOBODY, made[0]])) == [made[3], made[0]]
    assert ids(training.get_images_by_ids(project.id, made)) == made
    assert training.get_images_by_ids(project.id) == []
    # Another project's image is nobody's here
    other = training.create_project("other")
    assert training.get_images_by_ids(other.id, made[:1]) == []


@covers("get_images")
def test_what_is_said_of_an_image(core: Core, training: Any, detection_project: Any) -> None:
    project = detection_project.id
    fork = training.create_tag(project, "fork")
    (image_id,) = store(core, project, 1, boxes=[(fork.id, (0.1, 0.2, 0.3, 0.4))], metadata={"camera": "left"})

    (image,) = training.get_images(project)

    assert (image.id, image.width, image.height, image.metadata) == (image_id, 640, 480, {"camera": "left"})
    assert image.created == datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert [(tag.tag_id, tag.tag_name, tag.created) for tag in image.tags] == [(fork.id, "fork", image.created)]
    (region,) = image.regions
    assert (region.tag_id, region.tag_name) == (fork.id, "fork")
    assert (region.left, region.top, region.width, region.height) == (0.1, 0.2, 0.3, 0.4)
    assert uuid.UUID(region.region_id)
    for link in (image.original_image_uri, image.resized_image_uri, image.thumbnail_uri):
        assert link.startswith("https://")


def test_a_tag_is_named_as_it_is_called_now(core: Core, training: Any, project: Any) -> None:
    tag = training.create_tag(project.id, "cat")
    store(core, project.id, 1, tags=[tag.id])

    tag.name = "puma"
    training.update_tag(project.id, tag.id, tag)

    assert [each.tag_name for each in training.get_images(project.id)[0].tags] == ["puma"]


def test_an_iteration_answers_from_what_it_was_trained_on(core: Core, training: Any, project: Any) -> None:
    # Given an iteration, after which images came, went, and were tagged otherwise
    cat, dog = (training.create_tag(project.id, name).id for name in ("cat", "dog"))
    cats, none = store(core, project.id, 3, tags=[cat], metadata={"night": "yes"}), store(core, project.id, 1)
    iteration = freeze(core, project.id)
    store(core, project.id, 2, tags=[dog])
    training.delete_image_tags(project.id, cats[:1], [cat])
    training.update_image_metadata(project.id, cats, {"night": "no"})
    training.delete_images(project.id, cats[1:2])

    def look(call: Any, **query: Any) -> list[str]:
        return ids(call(project.id, iteration_id=iteration, order_by="Oldest", **query))

    assert look(training.get_images) == [*cats, *none]
    assert look(training.get_images, tag_ids=[cat], take=1, skip=1) == cats[1:2]
    assert look(training.get_images, filter="night eq 'yes'") == cats
    assert look(training.get_tagged_images) == cats
    assert look(training.get_untagged_images) == none
    assert training.get_image_count(project.id, iteration_id=iteration, filter="night eq 'no'") == 0
    assert training.get_tagged_image_count(project.id, iteration_id=iteration, tag_ids=[cat, dog]) == 3
    assert training.get_untagged_image_count(project.id, iteration_id=iteration) == 1
    (found,) = training.get_images_by_ids(project.id, cats[1:2], iteration_id=iteration)
    assert ([tag.tag_name for tag in found.tags], found.metadata) == (["cat"], {"night": "yes"})
    assert training.get_image_count(project.id) == 5
    assert refused(training.get_images, project.id, iteration_id=NOBODY) == (404, "NotFoundIteration")


# -- tags --------------------------------------------------------------------------------------------------------
@covers("create_image_tags")
def test_images_are_tagged_and_what_they_have_already_is_said(
    core: Core, training: Any, multilabel_project: Any
) -> None:
    project = multilabel_project.id
    cat, dog = (training.create_tag(project, name).id for name in ("cat", "dog"))
    made = store(core, project, 2, tags=[cat])
    pairs = [ImageTagCreateEntry(image_id=image, tag_id=tag) for image in made for tag in (cat, dog)]

    found = training.create_image_tags(project, pairs)

    assert [(each.image_id, each.tag_id) for each in found.created] == [(image, dog) for image in made]
    assert [(each.image_id, each.tag_id) for each in found.duplicated] == [(image, cat) for image in made]
    assert found.exceeded == []
    assert {tag.name: tag.image_count for tag in training.get_tags(project)} == {"cat": 2, "dog": 2}


@covers("delete_image_tags")
def test_tags_are_taken_off_with_their_regions(core: Core, training: Any, detection_project: Any) -> None:
    project = detection_project.id
    fork, knife = (training.create_tag(project, name).id for name in ("fork", "knife"))
    box = (0.1, 0.1, 0.2, 0.2)
    made = store(core, project, 2, boxes=[(fork, box), (knife, box)])

    training.delete_image_tags(project, made[:1], [fork])

    first, second = training.get_images_by_ids(project, made)
    assert [region.tag_id for region in first.regions] == [knife]
    assert [tag.tag_id for tag in first.tags] == [knife]
    assert len(second.regions) == 2
    assert training.get_tagged_image_count(project, tag_ids=[fork]) == 1
    # Again is no error, and neither is an image that is not there
    training.delete_image_tags(project, [made[0], NOBODY], [fork])


def test_tagging_what_is_not_there_changes_nothing(core: Core, training: Any, project: Any) -> None:
    tag = training.create_tag(project.id, "cat").id
    (image,) = store(core, project.id, 1)

    def pair(image_id: str, tag_id: str) -> list[ImageTagCreateEntry]:
        return [ImageTagCreateEntry(image_id=image, tag_id=tag), ImageTagCreateEntry(image_id=image_id, tag_id=tag_id)]

    assert refused(training.create_image_tags, project.id, pair(NOBODY, tag)) == (404, "NotFoundImage")
    assert refused(training.create_image_tags, project.id, pair(image, NOBODY)) == (404, "NotFoundTag")
    assert refused(training.create_image_tags, project.id, pair("7", tag)) == (400, "BadRequestInvalidIds")
    assert refused(training.create_image_tags, project.id, []) == (400, "BadRequestRequiredParamIsNull")
    assert training.get_untagged_image_count(project.id) == 1


def test_a_negative_tag_stands_alone(core: Core, training: Any, multilabel_project: Any) -> None:
    project = multilabel_project.id
    cat, none = training.create_tag(project, "cat").id, training.create_tag(project, "none", type="Negative").id
    (image,) = store(core, project, 1, tags=[cat])

    answer = refused(training.create_image_tags, project, [ImageTagCreateEntry(image_id=image, tag_id=none)])

    assert answer == (400, "BadRequestNegativeAndRegularTagOnSameImage")


# -- regions -----------------------------------------------------------------------------------------------------
@covers("create_image_regions")
def test_regions_are_added_and_twins_are_said(core: Core, training: Any, detection_project: Any) -> None:
    project = detection_project.id
    fork = training.create_tag(project, "fork").id
    made = store(core, project, 2)

    def entry(image: str, left: float) -> ImageRegionCreateEntry:
        return ImageRegionCreateEntry(image_id=image, tag_id=fork, left=left, top=0.25, width=0.5, height=0.125)

    first = training.create_image_regions(project, [entry(made[0], 0.0), entry(made[1], 0.5)])
    again = training.create_image_regions(project, [entry(made[0], 0.0), entry(made[0], 0.25)])

    assert [(each.image_id, each.left, each.tag_name) for each in first.created] == [
        (made[0], 0.0, "fork"),
        (made[1], 0.5, "fork"),
    ]
    assert [each.left for each in again.created] == [0.25]
    assert [(each.image_id, each.left) for each in again.duplicated] == [(made[0], 0.0)]
    assert (first.exceeded, again.exceeded) == ([], [])
    seen = training.get_images_by_ids(project, made[:1])[0].regions
    assert {region.region_id for region in seen} == {first.created[0].region_id, again.created[0].region_id}
    assert training.get_tag(project, fork).image_count == 2


@covers("delete_image_regions")
def test_regions_are_deleted_by_id(core: Core, training: Any, detection_project: Any) -> None:
    project = detection_project.id
    fork = training.create_tag(project, "fork").id
    store(core, project, 1, boxes=[(fork, (0.1, 0.1, 0.2, 0.2)), (fork, (0.5, 0.5, 0.2, 0.2))])
    first, second = (region.region_id for region in training.get_images(project)[0].regions)

    training.delete_image_regions(project, [first])
    assert [region.region_id for region in training.get_images(project)[0].regions] == [second]
    training.delete_image_regions(project, [first, second, NOBODY])

    assert training.get_images(project)[0].regions is None
    assert training.get_untagged_image_count(project) == 1


@pytest.mark.parametrize(
    "box",
    [
        {"left": -0.1},
        {"left": 1.5},
        {"width": 0},
        {"width": 0.95},
        {"height": None},
        {"top": "a"},
        {"top": True},
        {"left": 1e400},
    ],
)
def test_a_region_outside_the_image_is_refused_whole(
    core: Core, gateway: Gateway, training: Any, training_key: str, detection_project: Any, box: dict[str, Any]
) -> None:
    project = detection_project.id
    fork = training.create_tag(project, "fork").id
    (image,) = store(core, project, 1)
    good = {"imageId": image, "tagId": fork, "left": 0.1, "top": 0.1, "width": 0.2, "height": 0.2}

    status, _, raw = gateway.call(
        "POST",
        f"/customvision/v3.3/training/projects/{project}/images/regions",
        {"Training-Key": training_key, "Content-Type": "application/json"},
        json.dumps({"regions": [good, good | box]}).replace("Infinity", "1e400").encode(),
    )

    assert (status, json.loads(raw)["code"]) in [(400, "BadRequestImageRegions"), (400, "BadRequest")]
    assert training.get_images(project)[0].regions is None


# -- metadata ----------------------------------------------------------------------------------------------------
@covers("update_image_metadata")
def test_metadata_is_merged_and_every_image_has_its_status(core: Core, training: Any, project: Any) -> None:
    first, second = store(core, project.id, 1, metadata={"a": "1"}), store(core, project.id, 1)

    found = training.update_image_metadata(project.id, [*first, *second, NOBODY], {"b": "2"})

    assert not found.is_batch_successful
    assert [(each.image_id, each.status, each.metadata) for each in found.images] == [
        (first[0], "OK", {"a": "1", "b": "2"}),
        (second[0], "OK", {"b": "2"}),
        (NOBODY, "ErrorImageNotFound", {}),
    ]
    assert training.get_image_count(project.id, filter="a eq '1' and b eq '2'") == 1
    assert training.update_image_metadata(project.id, second, {"b": "3"}).is_batch_successful
    assert training.get_image_count(project.id, filter="b eq '2'") == 1


def test_too_much_metadata_is_that_images_own_error(core: Core, training: Any, project: Any) -> None:
    full = store(core, project.id, 1, metadata={f"k{number}": "v" for number in range(10)})
    empty = store(core, project.id, 1)

    found = training.update_image_metadata(project.id, [*full, *empty], {"more": "v"})

    assert [each.status for each in found.images] == ["ErrorLimitExceed", "OK"]
    assert refused(training.update_image_metadata, project.id, empty, {}) == (400, "BadRequestRequiredParamIsNull")
    assert refused(training.update_image_metadata, project.id, empty, {"": "v"}) == (400, "BadRequestImageMetadataKey")
    assert refused(training.update_image_metadata, project.id, empty, {"k": "v" * 257}) == (
        400,
        "BadRequestImageMetadataValue",
    )


# -- deletion ----------------------------------------------------------------------------------------------------
@covers("delete_images")
def test_images_are_deleted_by_id(core: Core, training: Any, project: Any) -> None:
    tag = training.create_tag(project.id, "cat").id
    made = store(core, project.id, 3, tags=[tag])

    training.delete_images(project.id, made[:2])

    assert ids(training.get_images(project.id)) == made[2:]
    assert training.get_tag(project.id, tag).image_count == 1
    # Again is no error: a client may not have seen the first answer
    training.delete_images(project.id, made[:2])


@covers("delete_images")
def test_all_images_are_deleted_by_a_task(core: Core, training: Any, project: Any) -> None:
    tag = training.create_tag(project.id, "cat").id
    store(core, project.id, 3, tags=[tag])
    iteration = freeze(core, project.id)

    answer = training.delete_images(project.id, all_images=True, raw=True)
    late = store(core, project.id, 1)
    run_batches(core)

    assert answer.response.status_code == 202
    assert ids(training.get_images(project.id)) == late
    assert training.get_tag(project.id, tag).image_count == 0
    # What an iteration learnt from stays
    assert training.get_image_count(project.id, iteration_id=iteration) == 3


@covers("delete_images")
def test_images_leave_all_iterations_when_that_is_asked_for(core: Core, training: Any, project: Any) -> None:
    tag = training.create_tag(project.id, "cat").id
    made = store(core, project.id, 3, tags=[tag])
    iteration = freeze(core, project.id)
    training.delete_images(project.id, made[1:2])

    # One image that stands, and one that is no longer in the workspace
    answer = training.delete_images(project.id, made[:2], all_iterations=True, raw=True)
    run_batches(core)

    assert answer.response.status_code == 202
    assert ids(training.get_images(project.id)) == made[2:]
    assert ids(training.get_images(project.id, iteration_id=iteration)) == made[2:]
    assert training.get_tagged_image_count(project.id, iteration_id=iteration, tag_ids=[tag]) == 1

    training.delete_images(project.id, all_images=True, all_iterations=True)
    run_batches(core)
    assert training.get_image_count(project.id, iteration_id=iteration) == 0


def test_a_deletion_names_its_images_or_all(training: Any, project: Any) -> None:
    assert refused(training.delete_images, project.id) == (400, "BadRequestRequiredParamIsNull")
    assert refused(training.delete_images, project.id, [NOBODY], all_images=True) == (
        400,
        "BadRequestRequiredParamIsNull",
    )
