"""Asking a model: which one, about which images, and what is refused. The numbers themselves are tests/inference's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, LimitExceeded, NotFound, Unavailable
from dataloop.domain.models import Model
from dataloop.services import predicting
from dataloop.services.predicting import MAX_IMAGES, MAX_PREDICTIONS, PREDICTIONS, Answered, Question, Stated
from tests.actions import labelled, put, ready_version, release, trained_model
from tests.core import RAW, Core
from tests.pictures import picture, png_header


class Echo:
    """Says of every image how many bytes it has; remembers what it was asked."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.wishes: list[tuple[float | None, int]] = []

    def run(
        self, model: Model, files: Any, images: Sequence[bytes], min_score: float | None, limit: int
    ) -> list[tuple[Stated, ...] | DomainError]:
        self.models.append(model.id)
        self.wishes.append((min_score, limit))
        return [(Stated(str(len(image)), 1.0),) for image in images]


def ask(core: Core, *images: Any, runner: Echo | None = None, tenant: str = "default", **wish: Any) -> Answered:
    question = Question(wish.pop("model_id", None), wish.pop("release", None), images, **wish)
    return core.again().predicting.predict(tenant, question, runner or Echo())


def said(answered: Answered) -> list[Any]:
    """The one label of each image, or the class of its error."""
    return [
        type(result).__name__ if isinstance(result, DomainError) else result[0].label for result in answered.results
    ]


@pytest.fixture
def model_id(core: Core) -> str:
    return trained_model(core, ready_version(core, labelled(core, 4)).id)


def registered(core: Core, name: str, body: bytes) -> str:
    uid, notice = put(core, name, body)
    core.services.registering.register_object(notice)
    return uid


def test_images_by_uid_and_by_bytes_are_answered_in_their_order(core: Core, model_id: str) -> None:
    first, second = picture(seed=1), picture(seed=2) + b"longer"
    uids = [registered(core, "a.jpg", first), registered(core, "b.jpg", second)]
    answered = ask(core, uids[1], b"12345", uids[0], uids[1], model_id=model_id)
    assert said(answered) == [str(len(second)), "5", str(len(first)), str(len(second))]
    assert answered.model.id == model_id


def test_a_bad_image_has_its_error_and_spoils_no_other(core: Core, model_id: str) -> None:
    good = registered(core, "a.jpg", picture())
    no_image = registered(core, "notes.txt", b"notes")
    rejected = registered(core, "bomb.png", png_header(20_000, 20_000))
    refused = InvalidInput("images[4].content", "is not base64")
    answered = ask(core, good, "0" * 32, "not a uid", no_image, refused, rejected, good, model_id=model_id)
    size = str(len(picture()))
    wrong = "InvalidInput"
    assert said(answered) == [size, "NotFound", wrong, wrong, wrong, wrong, size]
    assert "text/plain" in str(answered.results[3])
    assert "pixels" in str(answered.results[5])


def test_the_version_on_record_is_read_though_a_newer_one_lies_there(core: Core, model_id: str) -> None:
    uid = registered(core, "a.jpg", picture(seed=1))
    core.clients.s3.put_object(Bucket=RAW, Key="a.jpg", Body=b"something else")
    assert said(ask(core, uid, model_id=model_id)) == [str(len(picture(seed=1)))]


def test_an_image_that_is_gone_is_not_found(core: Core, model_id: str) -> None:
    uid, notice = put(core, "a.jpg", picture())
    core.services.registering.register_object(notice)
    core.clients.s3.delete_object(Bucket=RAW, Key="a.jpg", VersionId=notice.version_id)
    assert said(ask(core, uid, b"1", model_id=model_id)) == ["NotFound", "1"]


def test_a_store_that_fails_is_that_images_own_trouble(
    core: Core, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = registered(core, "a.jpg", picture())
    services = core.again()

    def fail(key: str, version_id: str | None = None) -> bytes:
        raise Unavailable("S3: SlowDown")

    monkeypatch.setattr(services.stores.raw, "get", fail)
    answered = services.predicting.predict("default", Question(model_id, None, [uid, b"1"]), Echo())
    assert said(answered) == ["Unavailable", "1"]


def test_registered_images_are_read_up_to_a_total_size(
    core: Core, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = [registered(core, f"{number}.jpg", picture(seed=number)) for number in range(3)]
    monkeypatch.setattr(predicting, "MAX_READ_BYTES", len(picture(seed=0)) + len(picture(seed=1)))
    answered = ask(core, *uids, b"1", model_id=model_id)
    assert said(answered)[2:] == ["LimitExceeded", "1"]
    assert "LimitExceeded" not in said(answered)[:2]


def test_another_tenants_image_and_model_are_not_found(core: Core, model_id: str) -> None:
    uid = registered(core, "a.jpg", picture())
    with pytest.raises(NotFound):
        ask(core, uid, model_id=model_id, tenant="other")
    theirs = trained_model(
        core, ready_version(core, labelled(core, 4, tenant="other"), tenant="other").id, tenant="other"
    )
    assert said(ask(core, uid, model_id=theirs, tenant="other")) == ["NotFound"]


def test_a_release_is_whatever_it_stands_for_now(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    first, second = trained_model(core, version.id, 0.7), trained_model(core, version.id, 0.8)
    release(core, first)
    release(core, second)
    assert ask(core, b"1", release="scenes").model.id == second
    core.services.releasing.roll_back_name("default", "scenes")
    assert ask(core, b"1", release="scenes").model.id == first


def test_a_model_that_is_not_trained_is_refused(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    task = core.services.training.request("default", version.id)
    with pytest.raises(IllegalTransition, match="TRAINING"):
        ask(core, b"1", model_id=str(task.parameters["model_id"]))


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({}, InvalidInput),
        ({"model_id": "a", "release": "b"}, InvalidInput),
        ({"model_id": 5}, InvalidInput),
        ({"release": ""}, InvalidInput),
        ({"model_id": "a" * 3000}, NotFound),
        ({"release": "nothing"}, NotFound),
        ({"model_id": "x", "min_score": 1.5}, InvalidInput),
        ({"model_id": "x", "min_score": True}, InvalidInput),
        ({"model_id": "x", "max_predictions": 0}, InvalidInput),
        ({"model_id": "x", "max_predictions": MAX_PREDICTIONS + 1}, InvalidInput),
        ({"model_id": "x", "max_predictions": 2.0}, InvalidInput),
    ],
)
def test_a_wrong_wish_is_refused(core: Core, wish: dict[str, Any], error: type[DomainError]) -> None:
    with pytest.raises(error):
        ask(core, b"1", **wish)


def test_the_number_of_images_has_a_limit_and_none_is_wrong(core: Core, model_id: str) -> None:
    assert len(ask(core, *[b"1"] * MAX_IMAGES, model_id=model_id).results) == MAX_IMAGES
    with pytest.raises(LimitExceeded):
        ask(core, *[b"1"] * (MAX_IMAGES + 1), model_id=model_id)
    with pytest.raises(InvalidInput):
        ask(core, model_id=model_id)


def test_the_models_own_threshold_is_used_unless_one_is_given(core: Core, model_id: str) -> None:
    runner = Echo()
    ask(core, b"1", model_id=model_id, runner=runner)
    ask(core, b"1", model_id=model_id, runner=runner, min_score=0, max_predictions=7)
    assert runner.wishes == [(None, PREDICTIONS), (0.0, 7)]


def test_a_request_costs_two_reads_and_one_more_for_uids(core: Core, model_id: str) -> None:
    release(core, model_id)
    uids = [registered(core, f"{number}.jpg", picture(seed=number)) for number in range(5)]
    core.clients.calls.clear()
    ask(core, b"1", release="scenes")
    assert core.clients.calls == ["dynamodb.GetItem", "dynamodb.GetItem"]
    core.clients.calls.clear()
    ask(core, *uids, model_id=model_id)
    assert core.clients.of("dynamodb") == {"dynamodb.GetItem": 1, "dynamodb.BatchGetItem": 1}
    assert core.clients.of("s3") == {"s3.GetObject": 5}


def test_nothing_is_run_when_no_image_can_be_read(core: Core, model_id: str) -> None:
    runner = Echo()
    assert said(ask(core, "0" * 32, model_id=model_id, runner=runner)) == ["NotFound"]
    assert runner.models == []
