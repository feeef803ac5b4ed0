"""The routes of versions and lineage, from request to answer: every answer is what docs/openapi.json promises."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from dataloop.domain.principals import AccessKey, key_digest
from tests.actions import info, labelled, ready_version, release, trained_model
from tests.core import Core
from tests.deployed import check_answer
from tests.events.payloads import inbound
from tests.handlers import handle
from tests.services.test_versions import run_files

NOWHERE = "01a20474-c3f3-785a-914e-aa900e000000"


class Http:
    """Requests to /api/v1 with keys of given scopes."""

    def __init__(self, core: Core) -> None:
        self.core = core
        for scope in ("admin", "read", "write", "train"):
            key = AccessKey("default", scope, key_digest(f"dl_{scope}"), scope, (scope,), core.clock.text())
            core.stores.keys.create(key)

    def __call__(self, method: str, path: str, body: object = None, scope: str = "admin") -> tuple[int, dict[str, Any]]:
        event = inbound("http_get")
        where, _, query = path.partition("?")
        event["rawPath"] = event["requestContext"]["http"]["path"] = f"/api/v1{where}"
        event["requestContext"]["http"]["method"] = method
        event["routeKey"] = "ANY /api/v1/{proxy+}"
        event["rawQueryString"], event["queryStringParameters"] = query, dict(parse_qsl(query))
        event["headers"] |= {"x-api-key": f"dl_{scope}"}
        event["body"] = None if body is None else json.dumps(body)
        answer = handle(self.core, "api_sdk", event)
        found: dict[str, Any] = json.loads(answer["body"])
        check_answer(method, f"/api/v1{where}", answer["statusCode"], found)
        return answer["statusCode"], found


@pytest.fixture
def http(core: Core) -> Http:
    return Http(core)


def test_datasets_are_listed_by_name_with_their_history(core: Core, http: Http) -> None:
    version = ready_version(core, labelled(core, 3))
    core.services.curating.create("default", info("plants"))
    status, page = http("GET", "/series?limit=10", scope="read")
    assert (status, {each["name"] for each in page["items"]}) == (200, {"animals", "plants"})
    (one,) = http("GET", "/series?name=animals")[1]["items"]
    assert [each["dataset_id"] for each in one["versions"]] == [version.id]
    assert http("GET", "/series?name=nothing")[1]["items"] == []
    status, history = http("GET", f"/series/{one['series_id']}?limit=1")
    assert (status, history["versions"][0]["digest"]) == (200, version.digest)


def test_a_tag_is_set_found_moved_and_removed(core: Core, http: Http) -> None:
    ids = labelled(core, 3)
    first, second = ready_version(core, ids, version="1"), ready_version(core, ids, version="2")
    for version in (first, second):
        status, series = http("PUT", f"/datasets/{version.id}/tags/gold", scope="write")
        assert (status, series["tags"]) == (200, {"gold": version.id})
        found = http("GET", "/datasets/lookup?dataset_name=animals&dataset_version=gold", scope="read")[1]
        assert (found["dataset_id"], found["tags"]) == (version.id, ["gold"])
    assert http("PUT", f"/datasets/{first.id}/tags/a%20b")[0] == 422
    assert http("PUT", f"/datasets/{first.id}/tags/2")[0] == 409
    assert http("DELETE", f"/datasets/{first.id}/tags/gold")[0] == 404
    assert http("DELETE", f"/datasets/{second.id}/tags/gold")[1]["tags"] == {}


def test_a_diff_and_a_verification_are_tasks_with_files(core: Core, http: Http) -> None:
    ids = labelled(core, 4)
    first, second = ready_version(core, ids[:3], version="1"), ready_version(core, ids, version="2")
    status, task = http("POST", f"/datasets/{first.id}/diff", {"other": second.id}, "read")
    assert (status, task["kind"]) == (202, "diff")
    run_files(core, core.services.tasks.read("default", task["task_id"]))
    _, done = http("GET", f"/tasks/{task['task_id']}", scope="read")
    assert done["result"]["images"]["added"] == 1
    assert {entry["name"] for entry in done["result"]["files"]} == {"diff.jsonl", "diff.html", "summary.json"}
    assert all(entry["url"].startswith("http") for entry in done["result"]["files"])
    status, task = http("POST", f"/datasets/{first.id}/verify", {}, "read")
    assert (status, task["kind"]) == (202, "verify")
    assert run_files(core, core.services.tasks.read("default", task["task_id"]))["sound"]


def test_a_version_is_restored_and_deleted(core: Core, http: Http) -> None:
    old = ready_version(core, labelled(core, 3))
    status, draft = http("POST", f"/datasets/{old.id}/restore", {"datasetVersion": "2"}, "write")
    assert (status, draft["status"], draft["anchor_dataset_id"]) == (201, "DRAFT", old.id)
    assert http("DELETE", f"/datasets/{draft['dataset_id']}", scope="write")[0] == 403
    status, gone = http("DELETE", f"/datasets/{draft['dataset_id']}", scope="train")
    assert (status, gone["status"], gone["deletion"]["by"]) == (200, "DELETED", "train")


def test_force_needs_an_administrator(core: Core, http: Http) -> None:
    version = ready_version(core, labelled(core, 4))
    trained_model(core, version.id)
    status, refused = http("DELETE", f"/datasets/{version.id}", scope="train")
    assert (status, refused["code"]) == (409, "IllegalTransition")
    assert http("DELETE", f"/datasets/{version.id}?force=true", scope="train")[0] == 403
    assert http("DELETE", f"/datasets/{version.id}?force=yes")[0] == 422
    assert http("DELETE", f"/datasets/{version.id}?force=true")[1]["status"] == "DELETED"
    status, gone = http("DELETE", f"/series/{version.dataset_id}", scope="train")
    assert (status, gone["status"]) == (200, "DELETING")


def test_lineage_of_every_kind_of_id(core: Core, http: Http) -> None:
    # given a released model
    ids = labelled(core, 4)
    version = ready_version(core, ids)
    model = trained_model(core, version.id)
    released = release(core, model)
    uid = core.services.annotating.get("default", ids[0]).data_ids[0]
    # then each id is traced
    kinds = {released: "release", model: "model", version.id: "dataset", ids[0]: "annotation", uid: "image"}
    for id, kind in kinds.items():
        status, found = http("GET", f"/lineage/{id}", scope="read")
        assert (status, found["kind"]) == (200, kind)
        assert found["used"]["current"] == ["scenes"]
    # and pages of images carry the digests of each step
    for path in (f"/models/{model}/lineage?limit=2", f"/datasets/{version.id}/images?limit=2"):
        status, page = http("GET", path, scope="read")
        assert (status, len(page["items"]), page["dataset"]["digest"]) == (200, 2, version.digest)
        assert all(said["digest"].startswith(said["id"]) for each in page["items"] for said in each["annotations"])
    assert http("GET", f"/annotations/{ids[0]}/usage")[1]["places"][0]["split"] == "train"
    assert http("GET", f"/raw-data/{uid}/usage")[1]["image"]["status"] == "REGISTERED"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"/series/{NOWHERE}", None, 404),
        ("DELETE", f"/series/{NOWHERE}", None, 404),
        ("DELETE", f"/datasets/{NOWHERE}", None, 404),
        ("GET", f"/datasets/{NOWHERE}/images", None, 404),
        ("POST", f"/datasets/{NOWHERE}/diff", {"other": NOWHERE}, 404),
        ("POST", f"/datasets/{NOWHERE}/diff", {}, 422),
        ("POST", f"/datasets/{NOWHERE}/verify", {}, 404),
        ("POST", f"/datasets/{NOWHERE}/restore", {"datasetVersion": "2"}, 404),
        ("PUT", f"/datasets/{NOWHERE}/tags/gold", None, 404),
        ("DELETE", f"/datasets/{NOWHERE}/tags/gold", None, 404),
        ("GET", f"/annotations/{'0' * 24}/usage", None, 404),
        ("GET", "/annotations/x/usage", None, 422),
        ("GET", f"/lineage/{NOWHERE}", None, 404),
        ("GET", "/lineage/nothing", None, 422),
        ("GET", f"/lineage/{'x' * 3000}", None, 422),
        ("GET", "/series?limit=0", None, 422),
        ("GET", "/series?cursor=made-up", None, 422),
    ],
)
def test_bad_input_is_refused_in_the_one_shape(http: Http, method: str, path: str, body: object, status: int) -> None:
    assert http(method, path, body)[0] == status


def test_a_name_that_is_missing_or_wrong_is_named(core: Core, http: Http) -> None:
    version = ready_version(core, labelled(core, 2))
    for body in ({}, {"datasetVersion": 5}, {"datasetVersion": ""}):
        status, refused = http("POST", f"/datasets/{version.id}/restore", body)
        assert (status, refused["details"]["field"]) == (422, "datasetVersion")
    assert http("POST", f"/datasets/{version.id}/restore", {"datasetVersion": "1"})[0] == 409
