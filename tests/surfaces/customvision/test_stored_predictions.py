"""Stored predictions with Microsoft's training client: queries page by page, deletion, and crashes between the writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    PredictionQueryTag,
    PredictionQueryToken,
)

from api_customvision import faults
from dataloop.domain.errors import Unavailable
from dataloop.domain.predictions import Said, StoredPrediction
from dataloop.domain.projects import Iteration
from dataloop.services.project_predicting import Answer
from dataloop.services.querying_predictions import MAX_LOOKED_AT, MAX_PAGE
from dataloop.services.storing_predictions import NotStored
from edge.faults import find
from tests.core import Core
from tests.faults.injection import FAULTS, Death, Injector
from tests.pictures import picture
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.gateway import Gateway

CAT, DOG, OWL = (f"01a20474-c3f3-785a-914e-aa900000000{number}" for number in range(3))
NAMES = {CAT: "cat", DOG: "dog", OWL: "owl"}
OTHER = "01a20474-c3f3-785a-914e-aa900e000000"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def prepared(
    core: Core,
    project: Any,
    shares: dict[str, float],
    *,
    iteration: str = OTHER,
    application: str = "",
    content: bytes | None = None,
    doubt: float = 0.5,
) -> tuple[StoredPrediction, bytes]:
    """A prediction that is not stored yet, and its image. A minute passes."""
    owner = core.services.projects.get("default", project.id)
    answer = Answer(tuple(Said(id, NAMES[id], "regular", share) for id, share in shares.items()), doubt)
    asked = Iteration("default", iteration, project.id, "Iteration 1", 1, "COMPLETED", "t", "now", "now")
    image = picture("PNG", seed=len(core.items())) if content is None else content
    made = core.services.stored_predictions.prepare(owner, asked, image, answer, application, {"domain_id": "d"})
    core.clock.move(minutes=1)
    return made, image


def keep(core: Core, project: Any, shares: dict[str, float], **wish: Any) -> str:
    """Store a prediction as a route does; returns its id."""
    prediction, image = prepared(core, project, shares, **wish)
    core.again().stored_predictions.store(prediction, image)
    return prediction.id


def ids(found: Any) -> list[str]:
    return [each.id for each in found.results]


def every(training: Any, project: Any, token: PredictionQueryToken) -> list[list[str]]:
    """The pages of a query, as a client walks through them: each answer's token is the next request."""
    pages = []
    while True:
        found = training.query_predictions(project.id, token)
        pages.append(ids(found))
        token = found.token
        if not token.continuation:
            return pages


def refusal(ask: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(CustomVisionErrorException) as caught:
        ask()
    return caught.value.response.status_code, str(caught.value.error.code)


INVALID = (400, "BadRequestPredictionInvalidQueryParameters")


# -- queries -----------------------------------------------------------------------------------------------------
@covers("query_predictions")
def test_predictions_come_newest_first_over_days_and_pages(core: Core, training: Any, project: Any) -> None:
    kept = []
    for _ in range(3):
        kept += [keep(core, project, {CAT: 0.9}) for _ in range(3)]
        core.clock.move(days=1, minutes=-3)
    newest = kept[::-1]
    assert every(training, project, PredictionQueryToken()) == [newest]
    assert every(training, project, PredictionQueryToken(max_count=4)) == [newest[:4], newest[4:8], newest[8:]]
    assert every(training, project, PredictionQueryToken(max_count=4, order_by="Oldest")) == [
        kept[:4],
        kept[4:8],
        kept[8:],
    ]


def test_a_stored_prediction_says_what_was_answered_and_links_to_the_image(
    core: Core, training: Any, project: Any
) -> None:
    id = keep(core, project, {CAT: 0.75, DOG: 0.25}, application="belt")
    found = training.query_predictions(project.id, PredictionQueryToken(application="belt"))
    (kept,) = found.results
    assert (kept.id, kept.project, kept.iteration, kept.domain) == (id, project.id, OTHER, "d")
    assert kept.created == NOON
    assert [(each.tag_id, each.tag_name, each.probability) for each in kept.predictions] == [
        (CAT, "cat", 0.75),
        (DOG, "dog", 0.25),
    ]
    assert f"/default/predictions/{project.id}/{id}?" in kept.original_image_uri
    assert kept.original_image_uri == kept.resized_image_uri == kept.thumbnail_uri
    assert (found.token.order_by, found.token.max_count, found.token.application) == ("Newest", 50, "belt")


def test_filters_combine(core: Core, training: Any, project: Any) -> None:
    sure = keep(core, project, {CAT: 0.9, DOG: 0.1})
    torn = keep(core, project, {CAT: 0.5, DOG: 0.5}, application="belt")
    keep(core, project, {DOG: 0.9}, iteration=CAT)

    def found(**wish: Any) -> list[str]:
        return ids(training.query_predictions(project.id, PredictionQueryToken(**wish)))

    def tag(id: str, low: float | None = None, high: float | None = None) -> PredictionQueryTag:
        # The client's model calls these read-only, and would leave them out.
        made = PredictionQueryTag()
        made.id, made.min_threshold, made.max_threshold = id, low, high
        return made

    assert found(tags=[tag(CAT)]) == [torn, sure]
    assert found(tags=[tag(CAT, 0.5, 0.5)]) == [torn]
    assert found(tags=[tag(CAT, 0.6)]) == [sure]
    assert found(tags=[tag(CAT, 0.0, 1.0), tag(DOG, 0.4, 1.0)]) == [torn]
    assert found(tags=[tag(OWL)]) == []
    assert found(application="belt") == [torn]
    assert found(iteration_id=OTHER) == [torn, sure]
    assert found(iteration_id=CAT, tags=[tag(CAT)]) == []
    first, second = NOON + timedelta(minutes=1), NOON + timedelta(minutes=1, milliseconds=1)
    assert found(start_time=first, end_time=first) == [torn]
    assert found(start_time=second, application="belt") == []
    assert found(end_time=NOON) == [sure]
    assert found(end_time=NOON - timedelta(days=3)) == []


def test_the_most_uncertain_come_first_when_suggested_is_asked(core: Core, training: Any, project: Any) -> None:
    doubts = [0.2, 0.9, 0.5, 0.9]
    kept = [keep(core, project, {CAT: 0.9}, doubt=doubt) for doubt in doubts]
    pages = every(training, project, PredictionQueryToken(order_by="Suggested", max_count=3))
    assert pages == [[kept[1], kept[3], kept[2]], [kept[0]]]


def test_a_session_shows_what_there_was_when_it_began(core: Core, training: Any, project: Any) -> None:
    kept = [keep(core, project, {CAT: 0.9}) for _ in range(3)]
    for order, wanted in (("Newest", kept[::-1]), ("Oldest", kept)):
        begun = training.query_predictions(project.id, PredictionQueryToken(order_by=order, max_count=2))
        core.clock.move(milliseconds=1)
        late = keep(core, project, {CAT: 0.9})
        rest = training.query_predictions(project.id, begun.token)
        assert ids(begun) + ids(rest) == wanted
        again = PredictionQueryToken(order_by=order, max_count=9, session=begun.token.session)
        assert ids(training.query_predictions(project.id, again)) == wanted
        training.delete_prediction(project.id, [late])


def test_a_page_that_looked_at_enough_leads_on_without_results(
    core: Core, training: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_LOOKED_AT >= MAX_PAGE
    monkeypatch.setattr("dataloop.services.querying_predictions.MAX_LOOKED_AT", 2)
    oldest = keep(core, project, {CAT: 0.9})
    for _ in range(4):
        keep(core, project, {DOG: 0.9})
    tag = PredictionQueryTag()
    tag.id = CAT
    assert every(training, project, PredictionQueryToken(tags=[tag])) == [[], [], [oldest]]


def test_a_page_ends_before_its_answer_is_too_large(
    core: Core, training: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataloop.services.querying_predictions.MAX_SAID", 4)
    kept = [keep(core, project, {CAT: 0.5, DOG: 0.5}) for _ in range(3)]
    for order, wanted in (("Newest", kept[::-1]), ("Suggested", kept)):
        pages = every(training, project, PredictionQueryToken(order_by=order))
        assert pages == [wanted[:2], wanted[2:]]


def test_a_token_fits_only_the_query_it_was_given(core: Core, training: Any, project: Any, gateway: Gateway) -> None:
    for _ in range(3):
        keep(core, project, {CAT: 0.9})
    token = training.query_predictions(project.id, PredictionQueryToken(max_count=1)).token
    neighbour = training.create_project("neighbour")

    def ask(**wish: Any) -> PredictionQueryToken:
        given = {"session": token.session, "continuation": token.continuation} | wish
        return PredictionQueryToken(**given)

    assert len(ids(training.query_predictions(project.id, ask()))) == 2
    swapped = token.continuation[:-3] + ("AAA" if token.continuation[-3:] != "AAA" else "BBB")
    for wrong in (
        ask(continuation=swapped),
        ask(continuation=token.session),
        ask(continuation="\N{SNOWMAN}"),
        ask(session=token.continuation),
        ask(session=None),
        ask(session="x" * 10_000),
        ask(application="belt"),
        ask(order_by="Oldest"),
        ask(iteration_id=OTHER),
    ):
        assert refusal(lambda wrong=wrong: training.query_predictions(project.id, wrong)) == INVALID  # type: ignore[misc]
    assert refusal(lambda: training.query_predictions(neighbour.id, ask())) == INVALID


def test_bad_queries_are_named(gateway: Gateway, training: Any, training_key: str, project: Any) -> None:
    def ask(body: dict[str, Any]) -> tuple[int, str]:
        return refusal(lambda: training.query_predictions(project.id, body))

    tags = [{"id": CAT}, {"id": DOG}, {"id": OWL}]
    assert ask({"tags": tags}) == (400, "BadRequestPredictionTagsExceededCount")
    assert ask({"maxCount": MAX_PAGE + 1}) == (400, "BadRequestPredictionResultsExceededCount")
    assert ask({"orderBy": "Best"}) == INVALID
    assert ask({"startTime": "2026-11-22T12:00:00Z", "endTime": "2026-11-21T12:00:00Z"}) == INVALID
    assert ask({"tags": [{"id": CAT, "minThreshold": 0.9, "maxThreshold": 0.1}]}) == INVALID
    assert ask({"tags": [{"id": CAT, "minThreshold": 2}]}) == INVALID
    assert ask({"application": "x" * 257}) == (400, "BadRequestPredictionInvalidApplicationName")
    assert ask({"tags": [{"id": "cat"}]}) == (400, "BadRequestInvalidIds")
    target = f"/customvision/v3.4-preview/training/projects/{project.id}/predictions/query"
    headers = {"Training-Key": training_key, "Content-Type": "application/json"}
    for body in (b'{"startTime": "0000-11-22"}', b'{"maxCount": "many"}', b'{"tags": 3}', b"[1]", b"{"):
        assert gateway.call("POST", target, headers, body)[0] == 400
    assert training.query_predictions(project.id, {"maxCount": 0, "startTime": "9999-01-01T00:00:00Z"}).results == []
    assert training.query_predictions(project.id, {"startTime": "1500-01-01T00:00:00Z"}).results == []
    assert refusal(lambda: training.query_predictions(OTHER, {})) == (404, "NotFoundProject")


# -- deletion ----------------------------------------------------------------------------------------------------
@covers("delete_prediction")
def test_a_deletion_takes_bytes_and_records_and_may_be_repeated(core: Core, training: Any, project: Any) -> None:
    image = picture("PNG")
    first, second = (keep(core, project, {CAT: 0.9}, content=image) for _ in range(2))
    for _ in range(2):
        assert training.delete_prediction(project.id, [first, OTHER]) is None
        assert ids(training.query_predictions(project.id, {})) == [second]
    left = [key for key in core.objects() if "/predictions/" in key]
    assert left == [f"default/predictions/{project.id}/{second}"]
    owner = core.services.projects.get("default", project.id)
    assert core.services.stored_predictions.content(owner, second) == image


def test_nobody_deletes_the_predictions_of_another_project(core: Core, training: Any, project: Any) -> None:
    kept = keep(core, project, {CAT: 0.9})
    neighbour = training.create_project("neighbour")
    training.delete_prediction(neighbour.id, [kept])
    assert ids(training.query_predictions(project.id, {})) == [kept]
    assert f"default/predictions/{project.id}/{kept}" in core.objects()


def test_bad_lists_of_ids_are_refused(
    core: Core, gateway: Gateway, training: Any, training_key: str, project: Any
) -> None:
    kept = keep(core, project, {CAT: 0.9})
    many = ",".join([kept, *(f"{number:032x}" for number in range(64))])
    for query, code in (
        ("", "BadRequestPredictionIdsMissing"),
        ("?ids=", "BadRequestPredictionIdsMissing"),
        ("?ids=cat", "BadRequestInvalidIds"),
        (f"?ids={many}", "BadRequestPredictionIdsExceededCount"),
    ):
        target = f"/customvision/v3.4-preview/training/projects/{project.id}/predictions{query}"
        status, _, body = gateway.call("DELETE", target, {"Training-Key": training_key})
        assert (status, code.encode() in body) == (400, True), body
    assert ids(training.query_predictions(project.id, {})) == [kept]


# -- crashes -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", FAULTS)
def test_a_crash_while_an_image_is_kept_leaves_nothing_that_erasure_does_not_find(
    core: Core, training: Any, project: Any, fault: str
) -> None:
    image = picture("PNG", (300, 200))
    prediction, _ = prepared(core, project, {CAT: 0.9}, content=image)
    with Injector(core) as counted:
        core.again().stored_predictions.store(prediction, image)
    uids = {item["pk"].rpartition("#")[2] for item in core.items() if "|PREDOF#" in item["pk"]}
    assert len(uids) == 1
    for at in range(len(counted.calls)):
        before = len(ids(training.query_predictions(project.id, {})))
        prediction, _ = prepared(core, project, {CAT: 0.9}, content=image)
        with Injector(core, at, fault), pytest.raises((NotStored, Death)):
            core.again().stored_predictions.store(prediction, image)
        after = training.query_predictions(project.id, {}).results
        # A record is there as a whole, with its image, or not at all.
        assert len(after) - before in (0, 1)
        for kept in after:
            owner = core.services.projects.get("default", project.id)
            assert core.services.stored_predictions.content(owner, kept.id) == image
    core.services.stored_predictions.forget_content("default", uids.pop())
    assert ids(training.query_predictions(project.id, {})) == []
    assert [key for key in core.objects() if "/predictions/" in key] == []
    assert [item for item in core.items() if "|PREDOF#" in item["pk"]] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_crashed_deletion_is_finished_by_a_repeat(core: Core, training: Any, project: Any, fault: str) -> None:
    owner = core.services.projects.get("default", project.id)

    def delete(kept: Sequence[str]) -> None:
        core.services.stored_predictions.delete(owner, kept)

    kept = [keep(core, project, {CAT: 0.9}) for _ in range(2)]
    with Injector(core) as counted:
        delete(kept)
    for at in range(len(counted.calls)):
        kept = [keep(core, project, {CAT: 0.9}) for _ in range(2)]
        with Injector(core, at, fault), pytest.raises((Unavailable, Death)):
            delete(kept)
        delete(kept)
        assert ids(training.query_predictions(project.id, {})) == []
        assert [key for key in core.objects() if "/predictions/" in key] == []
        assert [item for item in core.items() if "|PREDOF#" in item["pk"]] == []


def test_what_could_not_be_kept_is_no_answer(core: Core, project: Any) -> None:
    """The id of an answer leads to the image: without the one there is not the other."""
    prediction, image = prepared(core, project, {CAT: 0.9})
    with Injector(core, 1, "throttle"), pytest.raises(NotStored, match="could not be kept") as caught:
        core.again().stored_predictions.store(prediction, image)
    status, code = find(faults.TABLE, caught.value)
    assert (status, faults.render(code, "", caught.value.details())["code"]) == (503, "ErrorPredictionStorage")


def test_a_project_forgets_all_it_has_stored_step_by_step(core: Core, training: Any, project: Any) -> None:
    neighbour = training.create_project("neighbour")
    other = keep(core, neighbour, {CAT: 0.9})
    for _ in range(5):
        keep(core, project, {CAT: 0.9})
        core.clock.move(hours=12)
    steps = 0
    while not core.services.stored_predictions.forget_project("default", project.id, most=2):
        steps += 1
    assert steps == 2
    assert [key for key in core.objects() if f"/{project.id}/" in key] == []
    assert [item for item in core.items() if "PRED" in item["pk"] and project.id in json_of(item)] == []
    assert ids(training.query_predictions(neighbour.id, {})) == [other]


def json_of(item: dict[str, Any]) -> str:
    return f"{item['pk']} {item['sk']}"
