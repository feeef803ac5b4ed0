"""`POST /infer` on the deployed stack: the function with its layer, the client and the command, real images, hostile ones."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, NotFound
from dataloop import bootstrap
from dataloop.bootstrap import Services
from dataloop.domain.models import Model, ReleasePointer
from dataloop.settings import Settings
from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.pictures import picture, png_header
from tests.sdk.commands import runner
from tests.surfaces.sdk.requests import NOWHERE, refused
from tests.trained import TrainedModel

pytestmark = pytest.mark.stack
AT = "2026-11-22T12:00:00.000Z"


class Shelf:
    """Puts trained models where a training of the stack would have put them, and releases them."""

    def __init__(self, stack: DeployedStack) -> None:
        self.s3 = stack.client("s3")
        settings = Settings(
            stage="test",
            table=stack.output("TableName"),
            once_table=stack.output("OnceTableName"),
            raw_bucket=stack.output("RawBucketName"),
            artifacts_bucket=stack.output("ArtifactsBucketName"),
            region=stack.info.region,
        )
        clients = SimpleNamespace(dynamodb=stack.client("dynamodb"), s3=self.s3)
        self.services: Services = bootstrap.build(clients, settings)
        self.bucket = settings.artifacts_bucket

    def model(self, trained: TrainedModel, tenant: str = "default", **instead: bytes | None) -> str:
        """A COMPLETED model; `model_onnx` and `model_json` may be other bytes, or None for no such file."""
        id = str(uuid.uuid4())
        prefix = f"{tenant}/models/{id}/model"
        for name in ("model.json", "model.onnx"):
            body = instead.get(name.replace(".", "_"), (trained.folder / name).read_bytes())
            if body is not None:
                self.s3.put_object(Bucket=self.bucket, Key=f"{prefix}/{name}", Body=body)
        self.services.stores.models.create(
            Model(
                tenant=tenant,
                id=id,
                name="digits",
                version="1",
                status="COMPLETED",
                task_type=trained.description["task_type"],
                architecture="efficientnet_lite0",
                dataset={"version_id": "v"},
                test={"version_id": "v"},
                task_id=id,
                created_at=AT,
                prefix=prefix,
                labels=tuple(trained.description["labels"]),
            )
        )
        return id

    def release(self, name: str, model_id: str, revision: int) -> None:
        """The pointer of a name, as publishing moves it."""
        self.services.stores.releases.move_pointer(
            ReleasePointer("default", name, f"{name}-{revision}", model_id, None, revision, AT)
        )


@pytest.fixture(scope="module")
def shelf(stack: DeployedStack) -> Shelf:
    return Shelf(stack)


@pytest.fixture(scope="module")
def digits(shelf: Shelf, detector: TrainedModel) -> str:
    """The id of a model that really answers."""
    return shelf.model(detector)


@pytest.fixture
def client(stack: DeployedStack) -> AnkerAutoTrainSDK:
    return AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False)


Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(stack: DeployedStack, digits: str) -> Ask:
    def ask(*images: dict[str, Any], key: str | None = "", **wish: Any) -> tuple[int, dict[str, Any]]:
        return stack.api("POST", "/infer", {"images": images, **(wish or {"model_id": digits})}, key=key)

    return ask


def content(image: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(image).decode()}


def as_written(predictions: Any) -> list[dict[str, Any]]:
    """An answer's predictions as predictions.jsonl has them."""
    names = ("left", "top", "width", "height")
    return [
        {
            "label": one["label"],
            "score": pytest.approx(one["score"], abs=2e-6),
            "box": pytest.approx([one["box"][name] for name in names], abs=2e-6),
        }
        for one in predictions
    ]


def test_the_deployed_function_says_what_the_training_job_said(
    client: AnkerAutoTrainSDK, digits: str, detector: TrainedModel
) -> None:
    outcomes = client.infer(list(detector.images.values()), model_id=digits, min_score=0)
    assert not outcomes.errors
    said = [
        [{name: row[name] for name in ("label", "score", "box")} for row in rows] for rows in detector.said.values()
    ]
    found = dict(zip(detector.images, outcomes.done, strict=True))
    assert [as_written(found[uid].predictions) for uid in detector.said] == said
    assert sum(map(len, said)) > 0


def test_an_uploaded_image_is_asked_about_by_its_uid(
    client: AnkerAutoTrainSDK, digits: str, detector: TrainedModel, tmp_path: Path
) -> None:
    path = tmp_path / f"{uuid.uuid4()}.jpg"
    path.write_bytes(next(iter(detector.images.values())))
    uid = client.upload_file(path, "infer").uid
    until(lambda: _is_there(client, uid), what="the registration")
    by_uid, by_path = client.infer([uid, path], model_id=digits, min_score=0)
    assert by_uid == by_path
    assert not isinstance(by_uid, Exception) and by_uid.predictions


def _is_there(client: AnkerAutoTrainSDK, uid: str) -> bool:
    try:
        return client.get_raw_data(uid).size_bytes is not None
    except NotFound:
        return False


def test_a_release_is_followed_at_once(shelf: Shelf, ask: Ask, digits: str, classifier: TrainedModel) -> None:
    name, other = f"front-{uuid.uuid4()}", shelf.model(classifier)
    shelf.release(name, digits, 1)
    for revision, expected in ((2, other), (3, digits)):
        shelf.release(name, expected, revision)
        status, answer = ask(content(picture()), release=name)
        assert (status, answer["model_id"], answer["release"]) == (200, expected, name)


def test_the_command_asks_and_prints(
    stack: DeployedStack,
    digits: str,
    detector: TrainedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATALOOP_URL", stack.url)
    monkeypatch.setenv("DATALOOP_API_KEY", stack.key)
    path = tmp_path / "scene.jpg"
    path.write_bytes(next(iter(detector.images.values())))
    code, out, _ = runner(capsys)("infer", str(path), "--model", digits, "--min-score", "0", "--json")
    (item,) = json.loads(out)["items"]
    assert (code, item["image"], item["model_id"]) == (0, str(path), digits)
    assert item["predictions"]


BAD = {
    "0 bytes": (content(b""), "InvalidInput"),
    "no image": (content(b"%PDF-1.7"), "InvalidInput"),
    "cut short": (content(picture()[:300]), "InvalidInput"),
    "bomb": (content(png_header(60_000, 60_000)), "InvalidInput"),
    "no base64": ({"content": "*" * 8}, "InvalidInput"),
    "unknown uid": ({"uid": "0" * 32}, "NotFound"),
    "no uid": ({"uid": "../x"}, "InvalidInput"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_image_is_refused_alone(ask: Ask, what: str) -> None:
    image, code = BAD[what]
    status, answer = ask(content(picture()), image)
    assert status == 200
    good, bad = answer["results"]
    assert "predictions" in good
    assert bad["error"]["code"] == code
    assert "Traceback" not in str(bad)


def test_too_many_images_and_too_many_bytes_are_a_413(stack: DeployedStack, ask: Ask, digits: str) -> None:
    status, answer = ask(*[content(picture())] * 17)
    assert (status, answer["code"]) == (413, "LimitExceeded")
    body = {"model_id": digits, "images": [{"content": "A" * 7 * 1024 * 1024}]}
    assert refused(stack, 413, "POST", "/infer", body)["details"]["limit"] == 6 * 1024 * 1024


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        ({"model_onnx": None}, "model.onnx is missing"),
        ({"model_onnx": b"cut"}, "sha256"),
        ({"model_json": None}, "model.json is missing"),
        ({"model_json": b"{}"}, "model description"),
    ],
)
def test_a_model_with_unusable_files_is_a_409(
    shelf: Shelf, ask: Ask, detector: TrainedModel, instead: dict[str, bytes | None], reason: str
) -> None:
    # A graph that no model of these tests has: the function keeps graphs by digest, whichever model they came with.
    unknown = {**detector.description, "onnx": {"sha256": "0" * 64}}
    given = {"model_json": json.dumps(unknown).encode()} | instead
    status, answer = ask(content(picture()), model_id=shelf.model(detector, **given))
    assert (status, answer["code"]) == (409, "IllegalTransition")
    assert reason in answer["message"]


def test_another_tenants_model_release_and_image_are_not_found(
    stack: DeployedStack, shelf: Shelf, ask: Ask, digits: str, detector: TrainedModel
) -> None:
    shelf.release("theirs", digits, 1)
    other = stack.key_of("other-tenant", "read")
    assert ask(content(picture()), model_id=digits, key=other)[0] == 404
    assert ask(content(picture()), release="theirs", key=other)[0] == 404
    assert ask(content(picture()), model_id=NOWHERE)[0] == 404
    own = shelf.model(detector, "other-tenant")
    assert ask(content(picture()), model_id=own, key=other)[0] == 200


def test_a_key_with_the_scope_read_is_needed(stack: DeployedStack, ask: Ask) -> None:
    assert ask(content(picture()), key=None)[0] == 401
    status, answer = ask(content(picture()), key=stack.key_of("default", "write"))
    assert (status, answer["details"]["needed"]) == (403, "read")


def test_another_method_is_no_route(stack: DeployedStack) -> None:
    assert refused(stack, 404, "GET", "/infer")["details"]["entity"] == "route"
