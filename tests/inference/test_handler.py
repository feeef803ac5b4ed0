"""The function `infer` as Lambda calls it: the answer's shape, keys and scopes, and what hostile requests get."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api_sdk import answers
from edge.request import MAX_BODY_BYTES
from infer import wire
from tests.actions import labelled, put, ready_version, release, trained_model
from tests.core import ARTIFACTS, Core, account
from tests.handlers import handle
from tests.pictures import picture, png_header
from tests.trained import TrainedModel


@dataclass
class Service:
    """One account with a model that really answers, released as `digits`."""

    core: Core
    model_id: str
    key: str

    def ask(self, body: Any, key: str | None = "") -> tuple[int, dict[str, Any]]:
        """One request; the answer is held against the schema that docs/openapi.json is made of."""
        text = body if isinstance(body, str) else json.dumps(body)
        event = {
            "version": "2.0",
            "routeKey": "POST /api/v1/infer",
            "rawPath": "/api/v1/infer",
            "rawQueryString": "",
            "headers": {"x-api-key": self.key if key == "" else key} if key is not None else {},
            "requestContext": {
                "http": {"method": "POST", "path": "/api/v1/infer"},
                "stage": "$default",
                "requestId": "r1",
            },
            "body": text,
            "isBase64Encoded": False,
        }
        answer = handle(self.core, "infer", event)
        found: dict[str, Any] = json.loads(answer["body"])
        (answers.Error if answer["statusCode"] >= 400 else answers.Inferred).model_validate(found)
        return answer["statusCode"], found

    def about(self, *images: dict[str, Any], **wish: Any) -> list[dict[str, Any]]:
        status, answer = self.ask({"release": "digits", "images": images} | wish)
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["results"]
        return found


@pytest.fixture(scope="module")
def service(detector: TrainedModel) -> Iterator[Service]:
    with account() as core:
        version = ready_version(core, labelled(core, 4))
        model_id = trained_model(core, version.id)
        release(core, model_id, "digits")
        for name in ("model.json", "model.onnx"):
            body = (detector.folder / name).read_bytes()
            core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"default/models/{model_id}/model/{name}", Body=body)
        _, key = core.services.keyring.create("default", "reader", ["read"])
        made = Service(core, model_id, key)
        made.ask({})  # imports the handler, and with it the context
        yield made


@pytest.fixture(autouse=True)
def no_models_yet(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an execution environment of its own."""
    from infer import context
    from model_runner import runner

    monkeypatch.setattr(context, "_runner", runner.ModelRunner(tmp_path))


def content(image: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(image).decode()}


def test_the_answer_is_the_training_jobs_own(service: Service, detector: TrainedModel) -> None:
    uids = list(detector.images)
    status, answer = service.ask(
        {
            "model_id": service.model_id,
            "images": [content(image) for image in detector.images.values()],
            "min_score": 0,
        }
    )
    assert (status, answer["model_id"], answer["release"]) == (200, service.model_id, None)
    assert answer["model_version"]
    for uid, result in zip(uids, answer["results"], strict=True):
        wanted = [
            {
                "label": row["label"],
                "score": pytest.approx(row["score"], abs=2e-6),
                "box": dict(
                    zip(
                        ("left", "top", "width", "height"),
                        (pytest.approx(v, abs=2e-6) for v in row["box"]),
                        strict=True,
                    )
                ),
            }
            for row in detector.said[uid]
        ]
        assert result == {"predictions": wanted}
    assert any(result["predictions"] for result in answer["results"])


def test_an_image_by_uid_says_the_same_as_by_its_bytes(service: Service, detector: TrainedModel) -> None:
    image = next(iter(detector.images.values()))
    uid, notice = put(service.core, "scene.jpg", image)
    service.core.services.registering.register_object(notice)
    by_uid, by_bytes = service.about({"uid": uid}, content(image), min_score=0)
    assert by_uid == by_bytes
    assert by_uid["predictions"]


def bomb() -> bytes:
    target = io.BytesIO()
    Image.new("1", (9500, 9500)).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (content(b""), "InvalidInput"),
        (content(b"%PDF-1.7 no image"), "InvalidInput"),
        (content(picture()[:200]), "InvalidInput"),
        (content(png_header(60_000, 60_000)), "InvalidInput"),
        (content(bomb()), "InvalidInput"),
        ({"content": "not base64!"}, "InvalidInput"),
        ({"content": "abc"}, "InvalidInput"),
        ({"uid": "0" * 32}, "NotFound"),
        ({"uid": "../../etc/passwd"}, "InvalidInput"),
    ],
    ids=[
        "0 bytes",
        "no image",
        "cut short",
        "bomb header",
        "bomb",
        "no base64",
        "bad padding",
        "unknown uid",
        "no uid",
    ],
)
def test_a_bad_image_is_refused_alone(service: Service, image: dict[str, Any], code: str) -> None:
    good = content(picture())
    first, wrong, last = service.about(good, image, good)
    assert first == last
    assert "predictions" in first
    assert wrong["error"]["code"] == code
    assert "Traceback" not in wrong["error"]["message"] and "object at 0x" not in wrong["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"release": "digits", "images": []}, 422, "images"),
        ({"release": "digits"}, 422, "images"),
        ({"release": "digits", "images": "all"}, 422, "images"),
        ({"release": "digits", "images": [5]}, 422, "images[0]"),
        ({"release": "digits", "images": [{}]}, 422, "images[0]"),
        ({"release": "digits", "images": [{"uid": "0" * 32, "content": ""}]}, 422, "images[0]"),
        ({"release": "digits", "images": [{"uid": 5}]}, 422, "images[0].uid"),
        ({"images": [{"uid": "0" * 32}]}, 422, "model_id"),
        ({"release": "digits", "model_id": "x", "images": [{"uid": "0" * 32}]}, 422, "model_id"),
        ({"release": "digits", "images": [{"uid": "0" * 32}], "min_score": "high"}, 422, "min_score"),
        ({"release": "digits", "images": [{"uid": "0" * 32}], "max_predictions": -1}, 422, "max_predictions"),
    ],
)
def test_a_wrong_request_is_named_by_its_field(service: Service, body: Any, status: int, field: str) -> None:
    found, answer = service.ask(body)
    assert (found, answer["details"]["field"]) == (status, field)


def test_seventeen_images_and_seven_megabytes_are_too_much(service: Service) -> None:
    status, answer = service.ask({"release": "digits", "images": [content(picture())] * 17})
    assert (status, answer["code"], answer["details"]["limit"]) == (413, "LimitExceeded", 16)
    status, answer = service.ask({"release": "digits", "images": [{"content": "A" * 7 * 1024 * 1024}]})
    assert (status, answer["details"]["limit"]) == (413, MAX_BODY_BYTES)


def test_an_answer_larger_than_lambda_gives_is_a_413(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 50)
    status, answer = service.ask({"release": "digits", "images": [content(picture())]})
    assert status == 413
    assert "max_predictions" in answer["message"]


@pytest.mark.parametrize("body", ["{", "[]", '"text"', '{"images": [NaN]}'])
def test_a_body_that_is_no_json_object_is_refused(service: Service, body: str) -> None:
    status, answer = service.ask(body)
    assert (status, answer["details"]["field"]) == (422, "body")


def test_a_key_with_the_scope_read_is_needed(service: Service) -> None:
    body = {"release": "digits", "images": [content(picture())]}
    assert service.ask(body, key=None)[0] == 401
    assert service.ask(body, key="dl_wrong")[0] == 401
    _, writer = service.core.services.keyring.create("default", "writer", ["write"])
    status, answer = service.ask(body, key=writer)
    assert (status, answer["details"]["needed"]) == (403, "read")
    assert service.ask(body)[0] == 200


def test_another_tenants_model_is_not_found(service: Service) -> None:
    _, other = service.core.services.keyring.create("other", "reader", ["read"])
    images = [content(picture())]
    theirs = service.ask({"model_id": service.model_id, "images": images}, key=other)
    nobodys = service.ask({"model_id": "0" * 36, "images": images}, key=other)
    assert theirs[0] == nobodys[0] == 404
    assert theirs[1]["details"]["entity"] == nobodys[1]["details"]["entity"] == "model"
    assert service.ask({"release": "digits", "images": images}, key=other)[0] == 404


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
@pytest.mark.parametrize("how", ["gone", "cut short"])
def test_a_model_without_its_files_is_a_409(service: Service, name: str, how: str) -> None:
    s3, key = service.core.clients.s3, f"default/models/{service.model_id}/model/{name}"
    whole = service.core.objects()[key]
    if how == "gone":
        s3.delete_object(Bucket=ARTIFACTS, Key=key)
    else:
        s3.put_object(Bucket=ARTIFACTS, Key=key, Body=whole[:300])
    try:
        status, answer = service.ask({"release": "digits", "images": [content(picture())]})
    finally:
        s3.put_object(Bucket=ARTIFACTS, Key=key, Body=whole)
    assert (status, answer["code"]) == (409, "IllegalTransition")
    assert name in answer["message"]
