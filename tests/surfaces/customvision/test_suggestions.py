"""Suggested tags, their queries, and region proposals with Microsoft's client."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    ImageTagCreateEntry,
)
from PIL import Image, ImageDraw

from dataloop.domain.errors import Unavailable
from dataloop.domain.predictions import Said, Suggestion
from dataloop.domain.projects import Iteration
from dataloop.repositories.suggestions import TagSuggested
from tests.core import Core
from tests.faults.injection import FAULTS, Death, Injector
from tests.pictures import picture
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.iterations import completed
from tests.trained import TrainedModel

NOWHERE = "01a20474-c3f3-785a-914e-aa900e000000"


def add(training: Any, project: Any, contents: list[bytes], tag_ids: list[str] | None = None) -> list[str]:
    """The ids of images, in the order of their contents."""
    entries = [ImageFileCreateEntry(name=f"{number}.png", contents=each) for number, each in enumerate(contents)]
    made = training.create_images_from_files(project.id, ImageFileCreateBatch(images=entries, tag_ids=tag_ids))
    assert made.is_batch_successful, [each.status for each in made.images]
    return [each.image.id for each in made.images]


def tag(training: Any, project: Any, image_id: str, tag_id: str) -> None:
    training.create_image_tags(project.id, [ImageTagCreateEntry(image_id=image_id, tag_id=tag_id)])


def refusal(ask: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(CustomVisionErrorException) as caught:
        ask()
    return caught.value.response.status_code, str(caught.value.error.code)


@pytest.fixture
def iteration(core: Core, project: Any, classifier: TrainedModel) -> Iteration:
    return completed(core, project, classifier)


# -- suggestions -------------------------------------------------------------------------------------------------
@covers("suggest_tags_and_regions", "query_suggested_images", "query_suggested_image_count")
def test_untagged_images_are_suggested_until_somebody_tags_them(
    training: Any, project: Any, iteration: Iteration, classifier: TrainedModel
) -> None:
    contents = list(classifier.images.values())
    said = [classifier.said[uid] for uid in classifier.images]
    image_ids = add(training, project, contents)
    tags = {each.name: each.id for each in training.get_tags(project.id)}
    found = training.suggest_tags_and_regions(project.id, iteration.id, image_ids)
    assert [each.id for each in found] == image_ids
    for one, rows in zip(found, said, strict=True):
        assert (one.project, one.iteration) == (project.id, iteration.id)
        assert 0 <= one.prediction_uncertainty <= 1
        assert [(each.tag_name, pytest.approx(each.probability, abs=2e-6)) for each in one.predictions] == [
            (row["label"], row["score"]) for row in rows
        ]

    by_doubt = [each.id for each in sorted(found, key=lambda each: each.prediction_uncertainty)]
    asked = training.query_suggested_images(project.id, iteration.id, {"maxCount": 100})
    assert [each.id for each in asked.results] == by_doubt
    assert asked.token.continuation is None
    one = asked.results[0]
    size = Image.open(io.BytesIO(contents[image_ids.index(one.id)])).size
    assert (one.width, one.height, one.domain) == (*size, project.settings.domain_id)
    assert one.original_image_uri
    assert len(one.predictions) == len(tags)
    turned = training.query_suggested_images(project.id, iteration.id, {"sortBy": "UncertaintyDescending"})
    assert [each.id for each in turned.results] == by_doubt[::-1]

    # Tags with a threshold: those images that the training job's own numbers say.
    name, id = next(iter(tags.items()))
    of_tag = {
        each: next(row["score"] for row in rows if row["label"] == name)
        for each, rows in zip(image_ids, said, strict=True)
    }
    # The middle of the widest gap: the job's numbers are rounded.
    _, threshold = max((high - low, (low + high) / 2) for low, high in pairwise(sorted(of_tag.values())))
    wanted = {each for each, score in of_tag.items() if score >= threshold}
    query = {"tagIds": [id], "threshold": threshold}
    assert {each.id for each in training.query_suggested_images(project.id, iteration.id, query).results} == wanted
    assert training.query_suggested_image_count(project.id, iteration.id, [id], threshold) == {id: len(wanted)}

    # An image that gets a tag, or goes, is suggested no more; without its tag it is again.
    first, second = by_doubt[:2]
    tag(training, project, first, id)
    training.delete_images(project.id, image_ids=[second])
    left = training.query_suggested_images(project.id, iteration.id, {"maxCount": 100})
    assert [each.id for each in left.results] == by_doubt[2:]
    assert training.suggest_tags_and_regions(project.id, iteration.id, [first]) == []
    counts = training.query_suggested_image_count(project.id, iteration.id, [id], 0.0)
    assert counts[id] == len([each for each in by_doubt[2:] if of_tag[each] >= 0.01])
    training.delete_image_tags(project.id, [first], [id])
    assert first in {each.id for each in training.query_suggested_images(project.id, iteration.id, {}).results}


def test_pages_of_suggestions_lead_through_all_of_them(
    training: Any, project: Any, iteration: Iteration, classifier: TrainedModel
) -> None:
    image_ids = add(training, project, list(classifier.images.values()))
    training.suggest_tags_and_regions(project.id, iteration.id, image_ids)
    found: list[str] = []
    token: Any = {"maxCount": 4, "sortBy": "UncertaintyDescending"}
    while True:
        page = training.query_suggested_images(project.id, iteration.id, token)
        assert len(page.results) <= 4
        found += [each.id for each in page.results]
        token = page.token
        if not token.continuation:
            break
        # What is tagged on the way moves no page.
        tag(training, project, page.results[0].id, page.results[0].predictions[0].tag_id)
    whole = training.query_suggested_images(project.id, iteration.id, {"maxCount": 100})
    assert sorted(found) == sorted(image_ids)
    assert len(whole.results) < len(image_ids)

    first = training.query_suggested_images(project.id, iteration.id, {"maxCount": 1}).token
    for wrong in (
        {"session": first.session, "continuation": first.continuation, "threshold": 0.5},
        {"session": first.continuation},
        {"continuation": "x"},
    ):
        asked = refusal(lambda wrong=wrong: training.query_suggested_images(project.id, iteration.id, wrong))  # type: ignore[misc]
        assert asked == (400, "BadRequest")


def test_asking_twice_changes_nothing(
    core: Core, training: Any, project: Any, iteration: Iteration, classifier: TrainedModel
) -> None:
    image_ids = add(training, project, list(classifier.images.values())[:3])
    first = training.suggest_tags_and_regions(project.id, iteration.id, image_ids)
    before = core.items()
    assert training.suggest_tags_and_regions(project.id, iteration.id, image_ids) == first
    assert core.items() == before


def test_bad_requests_of_suggestions(
    core: Core, training: Any, project: Any, iteration: Iteration, classifier: TrainedModel
) -> None:
    (image_id,) = add(training, project, [next(iter(classifier.images.values()))])
    before = core.items()

    def suggest(iteration_id: str, image_ids: list[str]) -> tuple[int, str]:
        return refusal(lambda: training.suggest_tags_and_regions(project.id, iteration_id, image_ids))

    assert suggest(NOWHERE, [image_id]) == (404, "NotFoundIteration")
    assert suggest(iteration.id, [image_id, NOWHERE]) == (404, "NotFoundImage")
    assert suggest(iteration.id, ["none"]) == (400, "BadRequestInvalidIds")
    assert suggest(iteration.id, []) == (400, "BadRequestRequiredParamIsNull")
    assert core.items() == before
    for body, code in (
        ({"threshold": 2}, "BadRequest"),
        ({"sortBy": "Best"}, "BadRequest"),
        ({"tagIds": ["none"]}, "BadRequestInvalidIds"),
        ({"maxCount": 257}, "BadRequestExceededBatchSize"),
    ):
        asked = refusal(lambda body=body: training.query_suggested_images(project.id, iteration.id, body))  # type: ignore[misc]
        assert asked == (400, code)
    assert refusal(lambda: training.query_suggested_images(project.id, NOWHERE, {})) == (404, "NotFoundIteration")
    assert training.query_suggested_images(project.id, iteration.id, {}).results == []
    assert training.query_suggested_image_count(project.id, iteration.id, [NOWHERE], 0.5) == {NOWHERE: 0}


def test_more_pixels_than_a_request_has_time_for_are_refused_before_any_is_read(
    core: Core, training: Any, project: Any, iteration: Iteration, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_ids = add(training, project, [picture("PNG", seed=1), picture("PNG", seed=2)])
    monkeypatch.setattr("dataloop.services.suggesting_tags.MAX_PIXELS", 24 * 16 * 2 - 1)
    asked = refusal(lambda: training.suggest_tags_and_regions(project.id, iteration.id, image_ids))
    assert asked == (400, "BadRequestExceededBatchSize")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_crash_while_suggestions_are_kept_or_removed_is_finished_by_a_repeat(core: Core, fault: str) -> None:
    shares = {f"t{number}": 0.9 - number / 10 for number in range(4)}
    said = tuple(Said(id, id, "regular", share) for id, share in shares.items())
    kept = [Suggestion("default", "p", "i", f"image {number}", "now", said, 0.5) for number in range(9)]
    tags = [TagSuggested(each.image_id, id, share, 0.5) for each in kept for id, share in shares.items()]
    suggestions = core.stores.suggestions

    def put() -> None:
        suggestions.put(kept, tags, "default", "i")

    def forget() -> None:
        assert core.services.suggesting_tags.forget_iteration("default", "i")

    def of(tag_id: str) -> list[str]:
        return [each.image_id for each in suggestions.of_tag("default", "i", tag_id, 0.1)]

    for work, wanted in ((put, [each.image_id for each in kept]), (forget, [])):
        put()
        with Injector(core) as counted:
            work()
        for at in range(len(counted.calls)):
            put()
            with Injector(core, at, fault), pytest.raises((Unavailable, Death)):
                work()
            work()
            assert [of(id) for id in shares] == [wanted] * 4
    assert core.items() == []


# -- region proposals --------------------------------------------------------------------------------------------
@covers("get_image_region_proposals")
def test_a_detector_proposes_its_boxes_once_a_place(
    core: Core, training: Any, detection_project: Any, detector: TrainedModel
) -> None:
    from dataloop.services.proposing import MAX_PROPOSALS, SAME_PLACE, overlap

    completed(core, detection_project, detector)
    uid, content = next(iter(detector.images.items()))
    (image_id,) = add(training, detection_project, [content])
    found = training.get_image_region_proposals(detection_project.id, image_id)
    assert (found.project_id, found.image_id) == (detection_project.id, image_id)
    boxes = [
        (each.bounding_box.left, each.bounding_box.top, each.bounding_box.width, each.bounding_box.height)
        for each in found.proposals
    ]
    said = [pytest.approx(row["box"], abs=2e-6) for row in detector.said[uid]]
    assert 0 < len(boxes) <= MAX_PROPOSALS
    assert all(list(box) in said for box in boxes)
    assert [each.confidence for each in found.proposals] == sorted(
        (each.confidence for each in found.proposals), reverse=True
    )
    assert found.proposals[0].confidence == pytest.approx(max(row["score"] for row in detector.said[uid]), abs=2e-6)
    assert not any(overlap(one, other) > SAME_PLACE for one in boxes for other in boxes if one is not other)


def scene(*boxes: tuple[int, int, int, int]) -> bytes:
    """Dark rectangles on a light ground of 200 × 100 pixels, as PNG."""
    image = Image.new("RGB", (200, 100), (230, 228, 220))
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill=(40, 60, 30))
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def test_without_a_detector_things_in_front_of_an_even_ground_are_proposed(
    training: Any, detection_project: Any
) -> None:
    (image_id,) = add(training, detection_project, [scene((20, 20, 59, 69), (120, 30, 179, 49))])
    found = training.get_image_region_proposals(detection_project.id, image_id).proposals
    boxes = sorted(
        (each.bounding_box.left, each.bounding_box.top, each.bounding_box.width, each.bounding_box.height)
        for each in found
    )
    assert boxes == [pytest.approx((0.1, 0.2, 0.2, 0.5), abs=0.025), pytest.approx((0.6, 0.3, 0.3, 0.2), abs=0.025)]
    assert all(0.5 < each.confidence <= 1 for each in found)


def test_where_nothing_stands_out_the_list_is_empty(training: Any, project: Any) -> None:
    noise = Image.effect_noise((120, 90), 80).convert("RGB")
    target = io.BytesIO()
    noise.save(target, "PNG")
    for content in (scene(), target.getvalue(), picture("PNG", (1, 1))):
        (image_id,) = add(training, project, [content])
        assert training.get_image_region_proposals(project.id, image_id).proposals == []


def test_proposals_for_an_image_that_is_not_there(training: Any, project: Any) -> None:
    assert refusal(lambda: training.get_image_region_proposals(project.id, NOWHERE)) == (404, "NotFoundImage")
    assert refusal(lambda: training.get_image_region_proposals(project.id, "none")) == (400, "BadRequestInvalidIds")
