"""client.infer and `dataloop infer`: how images travel, how they are split into requests, and what comes back."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, InvalidInput, LimitExceeded, LocalFileMissing
from ankerautotrainsdk.operations import inference
from tests.sdk.commands import runner
from tests.sdk.fake_service import KEY, FakeService, Scripted

UID = "0123456789abcdef" * 2
BOX = {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4}
FOUND = {"label": "cat", "score": 0.9, "box": BOX}
ERROR = {"error": {"code": "NotFound", "message": "raw data was not found", "details": {"entity": "raw data"}}}


def answer(*results: dict[str, Any]) -> Scripted:
    return Scripted(200, {"model_id": "m", "model_version": "3", "release": "r", "results": list(results)})


def sent(service: FakeService) -> list[dict[str, Any]]:
    return [seen.json for seen in service.seen if seen.path.endswith("/infer")]


def test_uids_files_and_bytes_are_sent_and_outcomes_keep_their_order(
    service: FakeService, client: AnkerAutoTrainSDK, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"file")
    service.script(
        "POST", "/api/v1/infer", answer({"predictions": [FOUND]}, ERROR, {"predictions": []}, {"predictions": []})
    )
    outcomes = client.infer([UID, path, b"bytes", str(path)], release="r", min_score=0.5, max_predictions=9)
    encoded = {name: base64.b64encode(name.encode()).decode() for name in ("file", "bytes")}
    assert sent(service) == [
        {
            "release": "r",
            "min_score": 0.5,
            "max_predictions": 9,
            "images": [{"uid": UID}, *({"content": encoded[name]} for name in ("file", "bytes", "file"))],
        }
    ]
    first = outcomes[0]
    assert not isinstance(first, Exception)
    assert (first.model_id, first.model_version, first.release) == ("m", "3", "r")
    assert first.predictions[0].box.left == 0.1
    assert [place for place, _ in outcomes.errors] == [1]


def test_images_are_split_into_requests(
    service: FakeService, client: AnkerAutoTrainSDK, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "MAX_ENCODED_BYTES", 400)
    empty: dict[str, Any] = {"predictions": []}
    service.script("POST", "/api/v1/infer", answer(empty, empty), answer(empty), *[answer(*[empty] * 2)] * 2)
    outcomes = client.infer([b"a" * 100, b"b" * 100, b"c" * 150, b"d" * 10_000, b"e", b"f"], model_id="m")
    assert [len(body["images"]) for body in sent(service)] == [2, 1, 2]
    assert len(outcomes) == 6
    ((place, error),) = outcomes.errors
    assert place == 3 and isinstance(error, LimitExceeded) and "upload it" in error.message


def test_at_most_sixteen_images_go_at_once(service: FakeService, client: AnkerAutoTrainSDK) -> None:
    empty: dict[str, Any] = {"predictions": []}
    service.script("POST", "/api/v1/infer", answer(*[empty] * 16), answer(*[empty] * 4))
    assert len(client.infer([UID] * 20, model_id="m")) == 20
    assert [len(body["images"]) for body in sent(service)] == [16, 4]


def test_nothing_is_asked_about_nothing(service: FakeService, client: AnkerAutoTrainSDK) -> None:
    assert len(client.infer([], model_id="m")) == 0
    assert sent(service) == []


def test_one_image_instead_of_a_list_and_a_missing_file_are_refused_before_anything_is_sent(
    service: FakeService, client: AnkerAutoTrainSDK, tmp_path: Path
) -> None:
    for image in (UID, b"bytes", tmp_path):
        with pytest.raises(InvalidInput):
            client.infer(image, model_id="m")  # type: ignore[arg-type]
    with pytest.raises(LocalFileMissing):
        client.infer([tmp_path / "nothing.jpg"], model_id="m")
    assert service.seen == []


@pytest.fixture
def dataloop(service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    return runner(capsys)


def test_the_command_prints_a_table_or_json(service: FakeService, dataloop: Any, tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"file")
    service.script("POST", "/api/v1/infer", *[answer({"predictions": [FOUND]}, ERROR)] * 2)
    code, out, err = dataloop("infer", str(path), UID, "--release", "r")
    assert code == 1
    assert "cat.jpg" in out and "0.9" in out and "1 predictions in 1 images" in out
    assert f"{UID}: NotFound" in err
    code, out, err = dataloop("infer", str(path), UID, "--release", "r", "--json")
    items = json.loads(out)["items"]
    assert (code, items[0]["predictions"], items[1]["error"]["code"]) == (1, [FOUND], "NotFound")


def test_the_command_needs_one_model(dataloop: Any) -> None:
    assert dataloop("infer", UID)[0] == 2
    assert dataloop("infer", UID, "--release", "r", "--model", "m")[0] == 2
