"""Predictions with Microsoft's prediction client and quick tests with its training client, on models that really learnt."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.prediction.models import CustomVisionErrorException
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException as TrainingErrorException,
)

from dataloop.domain.projects import Iteration
from dataloop.services.project_predicting import LEAST_PROBABILITY, MAX_IMAGE_BYTES
from tests.core import Core
from tests.pictures import picture
from tests.services.test_fetching import Site
from tests.surfaces.customvision.clients import prediction_client, training_client
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.gateway import Gateway
from tests.surfaces.customvision.iterations import completed, published
from tests.trained import TrainedModel

NOWHERE = "01a20474-c3f3-785a-914e-aa900e000000"


@pytest.fixture
def classifying(core: Core, project: Any, classifier: TrainedModel) -> Iteration:
    """The project's iteration, published as `live`."""
    return published(core, project, classifier)


@pytest.fixture
def detecting(core: Core, detection_project: Any, detector: TrainedModel) -> Iteration:
    return published(core, detection_project, detector)


@pytest.fixture
def site(core: Core) -> Iterator[Site]:
    """A web server that this deployment is allowed to fetch from."""
    site = Site()
    core.settings = replace(core.settings, local_url_hosts=site.place)
    yield site
    site.close()


def show(site: Site, path: str, content: bytes) -> str:
    """The URL of a file with this content."""

    def answer(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    site.pages[path] = answer
    return site.url(path)


def first(trained: TrainedModel) -> tuple[list[dict[str, Any]], bytes]:
    """What the training job said about one image, and the image."""
    uid, image = next(iter(trained.images.items()))
    return trained.said[uid], image


def stored(training: Any, project: Any) -> list[str]:
    return [each.id for each in training.query_predictions(project.id, {}).results]


def refusal(ask: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises((CustomVisionErrorException, TrainingErrorException)) as caught:
        ask()
    return caught.value.response.status_code, str(caught.value.error.code)


# -- classification ----------------------------------------------------------------------------------------------
@covers("classify_image")
def test_every_tag_is_answered_as_the_training_job_did(
    prediction: Any, training: Any, project: Any, classifying: Iteration, classifier: TrainedModel
) -> None:
    tags = {tag.name: tag.id for tag in training.get_tags(project.id)}
    for uid, image in classifier.images.items():
        answer = prediction.classify_image(project.id, "live", image, application="belt 3")
        assert (answer.project, answer.iteration) == (project.id, classifying.id)
        assert {each.tag_name: each.tag_id for each in answer.predictions} == tags
        assert sum(each.probability for each in answer.predictions) == pytest.approx(1)
        assert [(each.tag_name, pytest.approx(each.probability, abs=2e-6)) for each in answer.predictions] == [
            (row["label"], row["score"]) for row in classifier.said[uid]
        ]
        assert {each.tag_type for each in answer.predictions} == {"Regular"}
        assert all(each.bounding_box is None for each in answer.predictions)
        kept = training.query_predictions(project.id, {"application": "belt 3"}).results[0]
        assert (kept.id, kept.created) == (answer.id, answer.created)
        assert [each.as_dict() for each in kept.predictions] == [each.as_dict() for each in answer.predictions]
    assert len(stored(training, project)) == len(classifier.images)


@covers("classify_image_with_no_store", "classify_image_url", "classify_image_url_with_no_store")
def test_the_four_ways_to_classify_answer_the_same_and_two_keep_the_image(
    core: Core,
    prediction: Any,
    training: Any,
    project: Any,
    classifying: Iteration,
    classifier: TrainedModel,
    site: Site,
) -> None:
    _, image = first(classifier)
    url = show(site, "/digit.png", image)
    before = core.objects().keys()
    answers = [
        prediction.classify_image_with_no_store(project.id, "live", image),
        prediction.classify_image_url_with_no_store(project.id, "live", url),
    ]
    assert stored(training, project) == []
    assert core.objects().keys() == before
    answers += [
        prediction.classify_image_url(project.id, "live", url),
        prediction.classify_image(project.id, "live", image),
    ]
    assert stored(training, project) == [answers[3].id, answers[2].id]
    assert len({each.id for each in answers}) == 4
    assert all(each.predictions == answers[0].predictions for each in answers)
    key = f"default/predictions/{project.id}/{answers[2].id}"
    assert core.objects()[key] == image


def test_a_project_of_several_labels_answers_each_tag_for_itself(
    core: Core, prediction: Any, multilabel_project: Any, classifier: TrainedModel
) -> None:
    published(core, multilabel_project, classifier)
    answer = prediction.classify_image_with_no_store(multilabel_project.id, "live", first(classifier)[1])
    assert len(answer.predictions) == len(classifier.description["labels"])


def test_a_negative_tag_says_so(core: Core, prediction: Any, project: Any, classifier: TrainedModel) -> None:
    owner = core.services.projects.get("default", project.id)
    name = classifier.description["labels"][0]
    core.services.projects.create_tag(owner, name, kind="negative")
    published(core, project, classifier)
    answer = prediction.classify_image_with_no_store(project.id, "live", first(classifier)[1])
    assert {each.tag_name: each.tag_type for each in answer.predictions}[name] == "Negative"


def test_the_name_stands_for_what_is_published_now(
    core: Core, prediction: Any, training: Any, project: Any, classifying: Iteration, classifier: TrainedModel
) -> None:
    newer = completed(core, project, classifier, number=2)
    image = first(classifier)[1]
    assert prediction.classify_image_with_no_store(project.id, "live", image).iteration == classifying.id
    training.publish_iteration(project.id, newer.id, "live", "/subscriptions/s/prediction", overwrite=True)
    assert prediction.classify_image_with_no_store(project.id, "live", image).iteration == newer.id
    training.unpublish_iteration(project.id, newer.id)
    assert refusal(lambda: prediction.classify_image(project.id, "live", image)) == (404, "NotFoundIteration")


def test_an_image_may_be_the_body_itself(
    gateway: Gateway, prediction_key: str, project: Any, classifying: Iteration, classifier: TrainedModel
) -> None:
    for version, side in (("v3.0", "Prediction"), ("v3.1", "prediction")):
        status, _, body = gateway.call(
            "POST",
            f"/customvision/{version}/{side}/{project.id}/classify/iterations/live/image/nostore",
            {"Prediction-Key": prediction_key, "Content-Type": "application/octet-stream"},
            first(classifier)[1],
        )
        assert status == 200
        assert json.loads(body)["iteration"] == classifying.id


# -- detection ---------------------------------------------------------------------------------------------------
@covers("detect_image", "detect_image_with_no_store", "detect_image_url", "detect_image_url_with_no_store")
def test_boxes_are_those_of_the_training_job(
    prediction: Any,
    training: Any,
    detection_project: Any,
    detecting: Iteration,
    detector: TrainedModel,
    site: Site,
) -> None:
    said, image = first(detector)
    url = show(site, "/scene.png", image)
    id = detection_project.id
    answers = [
        prediction.detect_image_with_no_store(id, "live", image),
        prediction.detect_image_url_with_no_store(id, "live", url),
        prediction.detect_image(id, "live", image),
        prediction.detect_image_url(id, "live", url),
    ]
    assert stored(training, detection_project) == [answers[3].id, answers[2].id]
    assert {each.iteration for each in answers} == {detecting.id}
    tags = {tag.id: tag.name for tag in training.get_tags(id)}
    for answer in answers:
        found = [
            (
                each.tag_name,
                each.probability,
                [getattr(each.bounding_box, side) for side in ("left", "top", "width", "height")],
            )
            for each in answer.predictions
        ]
        assert found == [
            (row["label"], pytest.approx(row["score"], abs=2e-6), pytest.approx(row["box"], abs=2e-6))
            for row in said
            if row["score"] >= LEAST_PROBABILITY
        ]
        assert found
        assert all(tags[each.tag_id] == each.tag_name for each in answer.predictions)


def test_the_other_kind_of_operation_is_refused(
    prediction: Any, project: Any, detection_project: Any, classifying: Iteration, detecting: Iteration
) -> None:
    with pytest.raises(CustomVisionErrorException, match="Invalid project type for operation") as caught:
        prediction.classify_image(detection_project.id, "live", picture())
    assert (caught.value.response.status_code, caught.value.error.code) == (400, "BadRequest")
    assert refusal(lambda: prediction.detect_image(project.id, "live", picture())) == (400, "BadRequest")


# -- bad input ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no image at all", "BadRequestImageFormat"),
        (picture("JPEG", (300, 300))[:900], "BadRequestImageFormat"),
        (picture("WEBP"), "BadRequestImageFormat"),
        (b"", "BadRequestImageFormat"),
        (picture("BMP", (600, 600)) + bytes(MAX_IMAGE_BYTES), "BadRequestImageSizeBytes"),
    ],
    ids=["text", "cut short", "webp", "empty", "too large"],
)
def test_what_is_no_image_is_refused_and_not_kept(
    core: Core, prediction: Any, training: Any, project: Any, classifying: Iteration, content: bytes, code: str
) -> None:
    before = core.items()
    assert refusal(lambda: prediction.classify_image(project.id, "live", content)) == (400, code)
    assert core.items() == before


def test_urls_that_lead_nowhere_or_inside_are_refused(
    prediction: Any, project: Any, classifying: Iteration, site: Site
) -> None:
    large = show(site, "/large", bytes(MAX_IMAGE_BYTES + 1))
    text = show(site, "/text", b"no image")
    for url, code in (
        ("http://169.254.169.254/latest/meta-data/", "BadRequestImageUrl"),
        ("http://localhost:1/private.png", "BadRequestImageUrl"),
        ("file:///etc/passwd", "BadRequestImageUrl"),
        ("", "BadRequestImageUrl"),
        (large, "BadRequestImageSizeBytes"),
        (text, "BadRequestImageFormat"),
    ):
        asked = (400, code)
        assert refusal(lambda url=url: prediction.classify_image_url(project.id, "live", url)) == asked  # type: ignore[misc]


def test_unknown_names_ids_and_keys_are_refused_before_a_url_is_fetched(
    core: Core,
    gateway: Gateway,
    prediction: Any,
    project: Any,
    classifying: Iteration,
    site: Site,
) -> None:
    url = show(site, "/digit.png", picture())
    assert refusal(lambda: prediction.classify_image_url(project.id, "other", url)) == (404, "NotFoundIteration")
    assert refusal(lambda: prediction.classify_image_url(NOWHERE, "live", url)) == (404, "NotFoundProject")
    assert refusal(lambda: prediction.classify_image_url("none", "live", url)) == (400, "BadRequestInvalidIds")
    stranger = core.services.keyring.create("other", "stranger", ["predict"])[1]
    for key, asked in (("wrong", (401, "401")), (stranger, (404, "NotFoundProject"))):
        with prediction_client(gateway.url, key) as client:
            assert refusal(lambda: client.classify_image_url(project.id, "live", url)) == asked
    writer = core.services.keyring.create("default", "writer", ["write"])[1]
    with prediction_client(gateway.url, writer) as client:
        asked = refusal(lambda: client.classify_image_url(project.id, "live", url))
    assert asked == (403, "ForbiddenUserInsufficientCapability")
    assert site.requests == []


def test_an_application_name_of_any_length_is_refused(
    prediction: Any, training: Any, project: Any, classifying: Iteration, classifier: TrainedModel
) -> None:
    image = first(classifier)[1]
    for name in ("x" * 257, "two\nlines"):
        asked = refusal(lambda name=name: prediction.classify_image(project.id, "live", image, application=name))  # type: ignore[misc]
        assert asked == (400, "BadRequestPredictionInvalidApplicationName")
    assert stored(training, project) == []


# -- quick tests -------------------------------------------------------------------------------------------------
@covers("quick_test_image", "quick_test_image_url")
def test_a_quick_test_asks_the_newest_iteration_or_any_other_and_keeps_the_image(
    core: Core, training: Any, project: Any, classifier: TrainedModel, site: Site
) -> None:
    image = first(classifier)[1]
    url = show(site, "/digit.png", image)
    asked = [
        lambda: training.quick_test_image(project.id, image),
        lambda: training.quick_test_image_url(project.id, url),
    ]
    assert {refusal(ask) for ask in asked} == {(404, "NotFoundProjectDefaultIteration")}
    assert site.requests == []
    older, newer = completed(core, project, classifier), completed(core, project, classifier, number=2)
    assert [ask().iteration for ask in asked] == [newer.id, newer.id]
    one = training.quick_test_image(project.id, image, iteration_id=older.id)
    two = training.quick_test_image_url(project.id, url, iteration_id=older.id, store=False)
    assert (one.iteration, two.iteration) == (older.id, older.id)
    assert one.predictions == two.predictions
    kept = training.query_predictions(project.id, {}).results
    assert [each.iteration for each in kept] == [older.id, newer.id, newer.id]
    unknown = refusal(lambda: training.quick_test_image(project.id, image, iteration_id=NOWHERE))
    assert unknown == (404, "NotFoundIteration")


def test_an_iteration_that_trains_cannot_be_asked(core: Core, training: Any, project: Any) -> None:
    at = core.clock.text()
    begun = core.stores.iterations.begin(
        Iteration("default", NOWHERE, project.id, "Iteration 1", 1, "TRAINING", NOWHERE, at, at)
    )
    asked = refusal(lambda: training.quick_test_image(project.id, picture(), iteration_id=begun.id))
    assert asked == (400, "BadRequestIterationIsNotTrained")
    assert refusal(lambda: training.quick_test_image(project.id, picture())) == (404, "NotFoundProjectDefaultIteration")


def test_a_key_that_only_reads_may_test_but_keep_nothing(
    core: Core, gateway: Gateway, training: Any, project: Any, classifier: TrainedModel
) -> None:
    iteration = completed(core, project, classifier)
    reader = core.services.keyring.create("default", "reader", ["read"])[1]
    image = first(classifier)[1]
    with training_client(gateway.url, reader) as client:
        assert refusal(lambda: client.quick_test_image(project.id, image))[0] == 403
        assert client.quick_test_image(project.id, image, store=False).iteration == iteration.id
    assert stored(training, project) == []


def test_a_model_whose_files_are_damaged_is_named(
    core: Core, prediction: Any, project: Any, classifying: Iteration, classifier: TrainedModel
) -> None:
    core.stores.artifacts.delete([f"default/models/{classifying.id}/model/model.json"])
    asked = refusal(lambda: prediction.classify_image(project.id, "live", first(classifier)[1]))
    assert asked == (400, "ErrorPredictionModelNotFound")


def test_a_large_image_gets_smaller_copies_for_people(
    core: Core, prediction: Any, training: Any, project: Any, classifying: Iteration
) -> None:
    from PIL import Image

    answer = prediction.classify_image(project.id, "live", picture("JPEG", (1300, 700)))
    (kept,) = training.query_predictions(project.id, {}).results
    assert (kept.id, kept.domain) == (answer.id, project.settings.domain_id)
    sizes = [
        Image.open(io.BytesIO(opened(core, uri))).size
        for uri in (kept.original_image_uri, kept.resized_image_uri, kept.thumbnail_uri)
    ]
    assert sizes == [(1300, 700), (1024, 551), (256, 138)]
    training.delete_prediction(project.id, [answer.id])
    assert [key for key in core.objects() if answer.id in key] == []


def opened(core: Core, uri: str) -> bytes:
    """What a signed link opens, found in the bucket: nobody listens where it points to."""
    from urllib.parse import unquote, urlsplit

    return core.objects()[unquote(urlsplit(uri).path).lstrip("/")]
