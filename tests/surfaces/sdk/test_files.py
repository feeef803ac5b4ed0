"""Files on the deployed stack: through forms, straight into the bucket, broken, moved away, and labelled by drop."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from typing import Any

import pytest

from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.pictures import camera_jpeg, picture, png_header
from tests.surfaces.sdk.requests import annotation, plan, post_form, refused, upload

pytestmark = pytest.mark.stack
BROKEN = {
    "zero-byte.jpg": (b"", "empty"),
    "text.jpg": (b"this is no image", "bytes are none"),
    "cut.jpg": (picture("JPEG", (64, 64))[:-300], "cut short"),
    "cut.png": (picture("PNG", (64, 64))[:-30], "cut short"),
    "thumbnail.jpg": (camera_jpeg()[:-200], "cut short"),
    "bomb.png": (png_header(10_000, 10_000), "pixels"),
}


def uid_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def record(stack: DeployedStack, uid: str) -> dict[str, Any] | None:
    status, answer = stack.api("GET", f"/raw-data/{uid}")
    return answer if status == 200 else None


def arrived(stack: DeployedStack, uid: str) -> dict[str, Any]:
    """The record, once its object was registered."""

    def seen() -> dict[str, Any] | None:
        found = record(stack, uid)
        return found if found and found["status"] != "AWAITING_OBJECT" else None

    return until(seen, what=f"the registration of {uid}")


def put(stack: DeployedStack, key: str, body: bytes) -> None:
    stack.client("s3").put_object(Bucket=stack.output("RawBucketName"), Key=key, Body=body)


def ended(stack: DeployedStack, name: str) -> dict[str, Any]:
    """The import task of a dropped annotation file, once it has ended."""

    def seen() -> dict[str, Any] | None:
        _, answer = stack.api("GET", "/tasks?kind=import&limit=1000")
        tasks = [task for task in answer["items"] if task["parameters"]["object_name"] == name]
        return tasks[0] if tasks and tasks[0]["status"] in ("SUCCEEDED", "FAILED") else None

    return until(seen, what=f"the import of {name}")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_rejected_with_a_reason(stack: DeployedStack, name: str) -> None:
    # given a broken file, put straight into the bucket where no client can check it
    body, reason = BROKEN[name]
    put(stack, f"broken/{name}", body)
    # then it is registered as rejected, and says why
    found = arrived(stack, uid_of(body))
    assert found["status"] == "REJECTED"
    assert reason in found["rejected"]


@pytest.mark.parametrize(
    "name", ["plain.jpg", "with space.jpg", "plus+sign.jpg", "ünïcödé 图.jpg", "a%20b&c=d#e?.jpg", "'q'(1)!~*.jpg"]
)
def test_any_name_survives_the_whole_way(stack: DeployedStack, name: str) -> None:
    # given an upload through the form, in a folder of the same name
    body = picture() + name.encode()
    uid = upload(stack, name, body, directory=f"names/{name}")
    # then the record has exactly this name, and the bytes come back by both links
    found = arrived(stack, uid)
    (place,) = found["locations"]
    assert place["object_name"] == f"names/{name}/{name}"
    _, link = stack.api("GET", f"/files/{uid}/link")
    assert urllib.request.urlopen(link["url"], timeout=30).read() == body
    assert link["file_name"] == name
    wish = {key: place[key] for key in ("bucket", "object_name", "storage_id")}
    status, by_place = stack.api("POST", "/files/by-storage", wish)
    assert status == 200
    assert urllib.request.urlopen(by_place["url"], timeout=30).read() == body


def test_a_file_put_straight_into_the_bucket_is_registered(stack: DeployedStack) -> None:
    body = picture("PNG", (40, 30)) + b"direct"
    put(stack, "direct/a +ü.png", body)
    found = arrived(stack, uid_of(body))
    assert (found["status"], found["type"], found["width"], found["height"]) == ("REGISTERED", "image", 40, 30)
    assert found["size_bytes"] == len(body)


def test_the_form_takes_exactly_what_was_announced(stack: DeployedStack) -> None:
    # given a form for one key, size and content
    body = picture() + b"the announced content"
    form = plan(stack, "exact.jpg", body)["upload"]
    other_key = {"url": form["url"], "fields": form["fields"] | {"key": "bad-input/other.jpg"}}
    other_uid = {"url": form["url"], "fields": form["fields"] | {"x-amz-meta-uid": "0" * 32}}
    # then the store refuses anything else
    assert post_form(form, body + b"x") in (400, 403)
    assert post_form(form, body[:-1]) in (400, 403)
    assert post_form(form, body[:-1] + b"X") in (400, 403)
    assert post_form(other_key, body) in (400, 403)
    assert post_form(other_uid, body) in (400, 403)
    assert record(stack, uid_of(body)) is None
    # and takes it
    assert post_form(form, body) in (200, 201, 204)
    arrived(stack, uid_of(body))


def test_bytes_that_are_there_need_no_second_upload(stack: DeployedStack) -> None:
    body = picture() + b"known content"
    arrived(stack, upload(stack, "known.jpg", body))
    assert plan(stack, "known.jpg", body)["exists"] is True
    assert plan(stack, "elsewhere.jpg", body)["exists"] is False


def test_a_deleted_object_is_deleted_and_comes_back(stack: DeployedStack) -> None:
    body = picture() + b"deleted content"
    put(stack, "direct/deleted.jpg", body)
    arrived(stack, uid_of(body))
    stack.client("s3").delete_object(Bucket=stack.output("RawBucketName"), Key="direct/deleted.jpg")
    until(lambda: (record(stack, uid_of(body)) or {}).get("status") == "DELETED", what="the removal")
    refused(stack, 404, "GET", f"/files/{uid_of(body)}/link")
    put(stack, "direct/deleted.jpg", body)
    until(lambda: (record(stack, uid_of(body)) or {}).get("status") == "REGISTERED", what="the return")


def test_a_coco_file_dropped_under_annotations_labels_its_images(stack: DeployedStack) -> None:
    body = picture() + b"coco image"
    put(stack, "dropped/one.jpg", body)
    arrived(stack, uid_of(body))
    coco = {
        "images": [{"id": 1, "file_name": "one.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 1, "category_id": 9},
        ],
    }
    put(stack, "annotations/dropped/labels.json", json.dumps(coco).encode())
    task = ended(stack, "annotations/dropped/labels.json")
    assert (task["status"], task["result"]["registered"], task["result"]["failed"]) == ("SUCCEEDED", 1, 1)
    _, found = stack.api("GET", f"/raw-data/{uid_of(body)}/annotations")
    assert found["items"][0]["labelInfo"] == [{"label": "cat", "bbox_xyxy": [1, 2, 4, 6]}]


@pytest.mark.parametrize(("name", "body"), [("bad.json", b"{"), ("bad.jsonl", b"not json\n"), ("bad.xml", b"<x/>")])
def test_a_bad_annotation_file_ends_as_a_failed_task_with_a_reason(
    stack: DeployedStack, name: str, body: bytes
) -> None:
    put(stack, f"annotations/{name}", body)
    task = ended(stack, f"annotations/{name}")
    assert task["status"] == "FAILED"
    assert task["error"]["message"]


def test_a_jsonl_file_registers_what_is_good(stack: DeployedStack) -> None:
    lines = [json.dumps(annotation("2" * 32)), "broken"]
    put(stack, "annotations/lines.jsonl", "\n".join(lines).encode())
    task = ended(stack, "annotations/lines.jsonl")
    assert (task["status"], task["result"]["registered"], task["result"]["failed"]) == ("SUCCEEDED", 1, 1)


def test_a_link_to_a_built_version_is_refused(stack: DeployedStack) -> None:
    # given a version that was built
    body = picture() + b"built image"
    uid = upload(stack, "built.jpg", body)
    arrived(stack, uid)
    _, made = stack.api("POST", "/annotations", annotation(uid))
    ids = {"annotation_id_list": [made["annotation_data_id"]]}
    _, dataset = stack.api("POST", "/datasets", {"datasetName": "built", "datasetVersion": "1"})
    path = f"/datasets/{dataset['dataset_id']}"
    assert stack.api("POST", f"{path}/links", ids)[0] == 200
    assert stack.api("POST", f"{path}/build", {})[0] == 202
    until(lambda: stack.api("GET", path)[1]["status"] == "READY", what="the build")
    # when somebody links to it or builds it again
    assert refused(stack, 409, "POST", f"{path}/links", ids)["details"]["current"] == "READY"
    refused(stack, 409, "POST", f"{path}/build", {})
    # then a download still answers at once
    status, download = stack.api("POST", f"{path}/download", {})
    assert (status, download["status"]) == (202, "SUCCEEDED")
    assert len(json.loads(urllib.request.urlopen(download["result"]["url"], timeout=30).read())["items"]) == 1


def test_a_build_of_missing_images_fails_with_a_reason(stack: DeployedStack) -> None:
    _, made = stack.api("POST", "/annotations", annotation("3" * 32))
    _, dataset = stack.api("POST", "/datasets", {"datasetName": "missing", "datasetVersion": "1"})
    path = f"/datasets/{dataset['dataset_id']}"
    stack.api("POST", f"{path}/links", {"annotation_id_list": [made["annotation_data_id"]]})
    _, task = stack.api("POST", f"{path}/build", {})
    found = until(
        lambda: next(
            iter([t for t in [stack.api("GET", f"/tasks/{task['task_id']}")[1]] if t["status"] == "FAILED"]), None
        ),
        what="the failure",
    )
    assert "missing object" in found["error"]["message"]
    assert stack.api("GET", path)[1]["status"] == "FAILED"
