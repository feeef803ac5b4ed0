"""Bad input gets a 4xx in the one error shape, says what is wrong, and leaves nothing half-written."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.deployed import DeployedStack
from tests.surfaces.sdk.requests import NOWHERE, annotation, refused, send

pytestmark = pytest.mark.stack
FLAT = {"label": "a", "bbox_xyxy": [1, 1, 1, 1]}
ODD = {"label": "a", "segmentation": [[1, 1, 5, 1, 5, 5, 1]]}
SHORT = {"label": "a", "segmentation": {"size": [4, 4], "counts": [5, 2]}}


@pytest.fixture(scope="module")
def dataset(stack: DeployedStack) -> str:
    """A draft of a name of its own."""
    status, answer = stack.api("POST", "/datasets", {"datasetName": f"bad-{uuid.uuid4()}", "datasetVersion": "1"})
    assert status == 201
    return str(answer["dataset_id"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/datasets/{NOWHERE}", None),
        ("GET", "/datasets/lookup?dataset_name=nothing&dataset_version=1", None),
        ("POST", f"/datasets/{NOWHERE}/links", {"annotation_id_list": ["0" * 24]}),
        ("POST", f"/datasets/{NOWHERE}/build", {}),
        ("POST", f"/datasets/{NOWHERE}/download", {}),
        ("POST", "/train", {"dataset_id": NOWHERE}),
        ("POST", "/evaluations", {"model_id": NOWHERE, "dataset_id": NOWHERE}),
        ("POST", "/exports", {"model_id": NOWHERE, "format": "onnx"}),
        ("POST", "/predictions", {"model_id": NOWHERE, "uids": ["0" * 32]}),
        ("POST", "/predictions", {"release": "nothing", "query": {}}),
        ("POST", "/auto-annotations", {"release": "nothing", "uids": ["0" * 32]}),
        ("POST", "/selections", {"model_id": NOWHERE, "query": {}, "count": 1, "strategy": "uncertainty"}),
        ("POST", "/sensitivities", {"model_id": NOWHERE}),
        ("POST", "/training/recommendation", {"dataset_id": NOWHERE}),
        ("POST", "/releases", {"model_id": NOWHERE}),
        ("POST", f"/releases/{NOWHERE}/approve", {}),
        ("POST", f"/releases/{NOWHERE}/reject", {"comment": "no"}),
        ("GET", "/releases/nothing/current", None),
        ("POST", "/releases/nothing/rollback", {}),
        ("GET", f"/models/{NOWHERE}", None),
        ("GET", f"/models/{NOWHERE}/files", None),
        ("GET", f"/models/{NOWHERE}/lineage", None),
        ("GET", f"/tasks/{NOWHERE}", None),
        ("POST", f"/tasks/{NOWHERE}/stop", {}),
        ("GET", f"/loops/{NOWHERE}", None),
        ("POST", f"/loops/{NOWHERE}/start", {}),
        ("DELETE", f"/keys/{NOWHERE}", None),
        ("GET", f"/annotations/{'0' * 24}", None),
        ("GET", f"/raw-data/{'0' * 32}", None),
        ("GET", f"/raw-data/{'0' * 32}/usage", None),
        ("GET", f"/files/{'0' * 32}/link", None),
        ("GET", f"/files/{'0' * 32}/content", None),
        ("POST", "/files/by-storage", {"bucket": "nobody", "object_name": "a.jpg"}),
        ("GET", f"/datasets/{'x' * 3000}", None),
        ("GET", f"/tasks/{'x' * 3000}", None),
        ("GET", f"/annotations/{'x' * 3000}", None),
        ("GET", "/no-such-route", None),
        ("PUT", "/datasets", {}),
    ],
)
def test_what_does_not_exist_is_not_found(stack: DeployedStack, method: str, path: str, body: Any) -> None:
    answer = refused(stack, 404, method, path, body)
    assert answer["details"].get("entity")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/datasets", {"datasetName": 5, "datasetVersion": "1"}, "datasetName"),
        ("POST", "/datasets", {"datasetName": "a"}, "datasetVersion"),
        ("POST", "/datasets", {"datasetName": "a", "datasetVersion": "1", "split": {"train": "x"}}, "split.train"),
        ("POST", "/raw-data", {"uid": "no uid"}, "uid"),
        ("POST", "/raw-data", {"uid": "0" * 32, "type": "movie"}, "type"),
        ("POST", "/raw-data", {"uid": "0" * 32, "extra": [1]}, "extra"),
        ("POST", "/raw-data", {"uid": "0" * 32, "extra": {"n": 10**60}}, "raw_data.extra.n"),
        ("POST", "/raw-data", {"uid": "0" * 32, "fileMeta": {"": 1}}, "raw_data.fileMeta"),
        ("POST", "/annotations", annotation("no uid"), "dataId"),
        ("POST", "/annotations", annotation(), "dataId"),
        ("POST", "/annotations", annotation("0" * 32, labelInfo="cat"), "labelInfo"),
        ("POST", "/annotations", annotation("0" * 32, labelInfo=[{"label": ""}]), "labelInfo[0].label"),
        ("POST", "/annotations", annotation("0" * 32, labelInfo=[FLAT]), "labelInfo[0].bbox_xyxy"),
        ("POST", "/annotations", annotation("0" * 32, labelInfo=[{"label": "a", "score": 2}]), "labelInfo[0].score"),
        ("POST", "/annotations", annotation("0" * 32, labelInfo=[ODD]), "labelInfo[0].segmentation[0]"),
        ("POST", "/annotations", annotation("0" * 32, labelInfo=[SHORT]), "labelInfo[0].segmentation.counts"),
        ("POST", "/annotations", annotation("0" * 32, supersedes="x"), "supersedes"),
        ("POST", "/annotations/batch", {"items": {}}, "items"),
        ("POST", "/raw-data/batch", {}, "items"),
        ("POST", "/uploads", {"files": "all"}, "files"),
        ("POST", "/uploads", {"files": [5]}, "files[0]"),
        ("POST", "/keys", {"name": "k", "scopes": ["root"]}, "scopes"),
        ("POST", "/keys", {"name": "k", "scopes": ["read"], "expires_in_days": -1}, "expires_in_days"),
        ("POST", "/train", {}, "dataset_id"),
        ("POST", "/exports", {"model_id": NOWHERE, "format": "tflite"}, "format"),
        ("POST", "/predictions", {"model_id": NOWHERE}, "uids"),
        ("POST", "/predictions", {"uids": ["0" * 32]}, "model_id"),
        ("POST", "/predictions", {"model_id": NOWHERE, "query": {"from": "yesterday"}}, "query.from"),
        ("POST", "/auto-annotations", {"release": "x", "uids": ["no uid"]}, "uids[0]"),
        ("POST", "/auto-annotations", {"release": "x", "query": {}, "include_labelled": "yes"}, "include_labelled"),
        ("POST", "/selections", {"query": {}, "count": 0}, "count"),
        ("POST", "/selections", {"query": {}, "count": 1, "strategy": "best"}, "strategy"),
        ("POST", "/sensitivities", {}, "model_id"),
        ("POST", "/training/recommendation", {}, "dataset_id"),
        ("POST", "/loops", {"name": "x"}, "dataset_name"),
        ("POST", "/loops", {"name": "x", "dataset_name": "y", "thresholds": {"min_new": -1}}, "thresholds.min_new"),
        ("POST", f"/loops/{NOWHERE}/start", {"force": "yes"}, "force"),
        ("GET", "/raw-data?day=yesterday", None, "day"),
        ("GET", "/tasks?kind=everything", None, "kind"),
        ("GET", "/datasets?limit=0", None, "limit"),
        ("GET", "/datasets?limit=1e3", None, "limit"),
        ("GET", f"/datasets?limit=000000001{'9' * 60}", None, "limit"),
        ("GET", "/datasets?cursor=made-up", None, "cursor"),
        ("GET", "/raw-data?cursor=zzz", None, "cursor"),
        ("GET", "/raw-data/no-uid", None, "uid"),
        ("GET", "/files/no-uid/link", None, "uid"),
        ("GET", "/datasets/lookup", None, "dataset_name"),
        ("POST", "/files/by-storage", {"object_name": 5}, "object_name"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_by_its_field(
    stack: DeployedStack, method: str, path: str, body: Any, field: str
) -> None:
    answer = refused(stack, 422, method, path, body)
    assert answer["details"]["field"] == field


@pytest.mark.parametrize(
    "entry",
    [
        {"size_bytes": 0},
        {"size_bytes": -1},
        {"size_bytes": "10"},
        {"size_bytes": 1.5},
        {"size_bytes": 6 * 1024**3},
        {"sha256": "short"},
        {"sha256": None},
        {"file_name": ""},
        {"file_name": "../../etc/passwd"},
        {"file_name": "a\u0000b.jpg"},
        {"file_name": "${filename}"},
        {"file_name": "x" * 300},
        {"directory": "tenants/other"},
        {"directory": "a/../../b"},
        {"directory": 5},
        {"content_type": "image/jpeg\r\nx: y"},
    ],
)
def test_a_wrong_upload_is_refused_alone(stack: DeployedStack, entry: dict[str, Any]) -> None:
    good = {"file_name": "a.jpg", "directory": "d", "size_bytes": 10, "sha256": "0" * 64}
    status, answer = stack.api("POST", "/uploads", {"files": [good, good | entry]})
    assert status == 200
    fine, wrong = answer["results"]
    assert fine["upload"]["fields"]
    assert set(wrong) == {"error"}
    assert wrong["error"]["code"] in ("InvalidInput", "LimitExceeded")


def test_a_name_and_version_exist_once(stack: DeployedStack) -> None:
    body = {"datasetName": f"twice-{uuid.uuid4()}", "datasetVersion": "1"}
    assert stack.api("POST", "/datasets", body)[0] == 201
    answer = refused(stack, 409, "POST", "/datasets", body)
    assert answer["code"] == "Conflict"
    assert body["datasetName"] in answer["details"]["name"]


def test_unknown_annotations_are_named_and_nothing_is_linked(stack: DeployedStack, dataset: str) -> None:
    answer = refused(stack, 404, "POST", f"/datasets/{dataset}/links", {"annotation_id_list": ["f" * 24]})
    assert answer["details"] == {"entity": "annotation", "id": "f" * 24}
    refused(stack, 422, "POST", f"/datasets/{dataset}/links", {"annotation_id_list": ["not an id"]})
    refused(stack, 422, "POST", f"/datasets/{dataset}/links", {})
    refused(stack, 413, "POST", f"/datasets/{dataset}/links", {"annotation_id_list": ["f" * 24] * 200_001})


def test_training_on_a_draft_is_refused(stack: DeployedStack, dataset: str) -> None:
    answer = refused(stack, 409, "POST", "/train", {"dataset_id": dataset, "task_type": "detection"})
    assert answer["code"] == "IllegalTransition"
    assert answer["details"]["current"] == "DRAFT"


@pytest.mark.parametrize("key", [None, "wrong", "dl_" + "x" * 43, "Bearer", "ü".encode().decode("latin-1")])
def test_without_a_good_key_there_is_nothing(stack: DeployedStack, key: str | None) -> None:
    refused(stack, 401, "GET", "/datasets", key=key)


def test_an_expired_or_revoked_key_and_a_missing_scope(stack: DeployedStack) -> None:
    _, made = stack.api("POST", "/keys", {"name": "short", "scopes": ["read"], "expires_in_days": 1e-9})
    assert "expired" in refused(stack, 401, "GET", "/datasets", key=made["key"])["message"]
    _, reader = stack.api("POST", "/keys", {"name": "reader", "scopes": ["read"]})
    assert stack.api("GET", "/datasets", key=reader["key"])[0] == 200
    denied = refused(stack, 403, "POST", "/datasets", {"datasetName": "a", "datasetVersion": "1"}, key=reader["key"])
    assert denied["details"]["needed"] == "write"
    assert stack.api("DELETE", f"/keys/{reader['key_id']}")[0] == 200
    refused(stack, 401, "GET", "/datasets", key=reader["key"])


def test_another_tenants_ids_are_not_found(stack: DeployedStack, dataset: str) -> None:
    other = stack.key_of("other-tenant")
    _, made = stack.api("POST", "/annotations", annotation("0" * 32))
    for method, path in (
        ("GET", f"/datasets/{dataset}"),
        ("GET", f"/annotations/{made['annotation_data_id']}"),
        ("POST", f"/datasets/{dataset}/build"),
    ):
        theirs = refused(stack, 404, method, path, {} if method == "POST" else None, key=other)
        nobodys = refused(
            stack, 404, method, path.replace(path.split("/")[2], NOWHERE), {} if method == "POST" else None, key=other
        )
        assert theirs["details"]["entity"] == nobodys["details"]["entity"]
    own = stack.api("POST", "/datasets", {"datasetName": f"own-{uuid.uuid4()}", "datasetVersion": "1"}, key=other)[1]
    ids = {"annotation_id_list": [made["annotation_data_id"]]}
    refused(stack, 404, "POST", f"/datasets/{own['dataset_id']}/links", ids, key=other)


BODIES = {
    "no JSON": b"{",
    "a text": b'"text"',
    "a list": b"[]",
    "NaN": b'{"datasetName": NaN}',
    "infinity": b'{"datasetName": "a", "datasetVersion": "1", "remark": "x", "n": 1e999}',
    "a lone surrogate": b'{"datasetName": "\\ud800", "datasetVersion": "1"}',
    "half a character": b'{"datasetName": "\xff"}',
    "a huge number": b'{"datasetName": ' + b"9" * 5000 + b"}",
    "endless nesting": b'{"a":' * 50_000,
    "deep nesting": b'{"datasetName": "a", "datasetVersion": "1", "annotationBy": ' + b"[" * 400 + b"]" * 400 + b"}",
    "UTF-16": '{"datasetName": "a"}'.encode("utf-16"),
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x01\x02",
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/octet-stream", "multipart/form-data"]
)
def test_a_body_that_is_no_json_object_is_refused(stack: DeployedStack, what: str, content_type: str) -> None:
    headers = {"content-type": content_type, "x-api-key": stack.key}
    status, answer = send(stack, "POST", "/api/v1/datasets", BODIES[what], headers)
    assert status == 422, answer
    assert answer["code"] == "InvalidInput"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"]
)
def test_the_content_type_does_not_matter(stack: DeployedStack, content_type: str) -> None:
    body = json.dumps({"uid": "1" * 32, "extra": {"name": "ü"}}).encode()
    status, answer = send(
        stack, "POST", "/api/v1/raw-data", body, {"content-type": content_type, "x-api-key": stack.key}
    )
    assert (status, answer) == (200, {"raw_data_id": "1" * 32})


def test_an_oversized_body_is_a_413_that_names_the_limit(stack: DeployedStack) -> None:
    body = json.dumps({"uid": "0" * 32, "extra": {"x": "y" * (6 * 1024 * 1024)}}).encode()
    answer = refused(stack, 413, "POST", "/raw-data", body)
    assert answer["details"]["limit"] == 6 * 1024 * 1024


def test_oversized_parts_are_named(stack: DeployedStack) -> None:
    refused(stack, 413, "POST", "/raw-data", {"uid": "0" * 32, "extra": {"x": "y" * 70_000}})
    refused(stack, 413, "POST", "/annotations", annotation("0" * 32, labelInfo=[{"label": "a"}] * 10_001))
    refused(stack, 413, "POST", "/annotations", annotation("0" * 32, labelScope=["a"] * 1_001))
    refused(stack, 413, "POST", "/annotations/batch", {"items": [{}] * 101})
    refused(stack, 413, "POST", "/uploads", {"files": [{}] * 1001})
    refused(stack, 413, "POST", "/datasets", {"datasetName": "a", "datasetVersion": "1", "remark": "x" * 20_000})


def test_in_a_batch_the_good_ones_are_registered_and_the_bad_ones_named(stack: DeployedStack) -> None:
    good = annotation("0" * 32, modelName=str(uuid.uuid4()))
    status, answer = stack.api("POST", "/annotations/batch", {"items": [good, {}, 5, None, annotation("no uid")]})
    assert status == 200
    first, *others = answer["results"]
    assert stack.api("GET", f"/annotations/{first['annotation_data_id']}")[0] == 200
    assert [entry["error"]["code"] for entry in others] == ["InvalidInput"] * 4


def test_a_repeated_request_is_told_from_another_with_the_same_key(stack: DeployedStack) -> None:
    headers = {"x-api-key": stack.key, "idempotency-key": str(uuid.uuid4())}
    body = {"datasetName": f"idempotent-{uuid.uuid4()}", "datasetVersion": "1"}
    first = send(stack, "POST", "/api/v1/datasets", json.dumps(body).encode(), headers)
    assert send(stack, "POST", "/api/v1/datasets", json.dumps(body).encode(), headers) == first
    other = json.dumps(body | {"datasetVersion": "2"}).encode()
    status, answer = send(stack, "POST", "/api/v1/datasets", other, headers)
    assert (status, answer["details"]["field"]) == (422, "Idempotency-Key")
