"""Huawei's SDK core, with real signing, and otcextensions against the deployed local stack."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from ankerautotrainsdk import AnkerAutoTrainSDK
from api_modelarts.objects import FIELDS
from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.pictures import picture
from tests.surfaces.modelarts.documented import check
from tests.surfaces.modelarts.huawei_client import DatasetsClient, client
from tests.surfaces.modelarts.test_objects import LABELS, TABLE, TEAM

pytestmark = pytest.mark.stack

PROJECT = uuid.uuid4().hex


@pytest.fixture(scope="module")
def pair(stack: DeployedStack) -> dict[str, Any]:
    body = {"name": "huawei", "scopes": ["read", "write"], "signing": True, "projects": [PROJECT]}
    status, key = stack.api("POST", "/keys", body)
    assert status == 201
    assert key["access_key_id"].startswith("DLAK")
    return key


@pytest.fixture(scope="module")
def huawei(stack: DeployedStack, pair: dict[str, Any]) -> DatasetsClient:
    return client(stack.url, pair, PROJECT)


@pytest.fixture(scope="module")
def token(stack: DeployedStack) -> str:
    body = {"name": "token", "scopes": ["read", "write"], "projects": [PROJECT]}
    return str(stack.api("POST", "/keys", body)[1]["key"])


def put_photos(stack: DeployedStack, folder: str, count: int) -> None:
    """Pictures straight into the bucket, as somebody's own tool puts them; their events register them."""
    s3, bucket = stack.client("s3"), stack.output("RawBucketName")
    uids = []
    for number in range(count):
        body = picture() + f"{folder}/{number}".encode()
        s3.put_object(Bucket=bucket, Key=f"{folder}/{number}.jpg", Body=body, ChecksumAlgorithm="SHA256")
        uids.append(hashlib.sha256(body).hexdigest()[:32])
    for uid in uids:
        until(lambda uid=uid: stack.api("GET", f"/raw-data/{uid}")[0] == 200, what=f"the record of {uid}")


@pytest.fixture(scope="module")
def animals(stack: DeployedStack, huawei: DatasetsClient) -> Iterator[dict[str, str]]:
    """A dataset that Huawei's client made from a folder of the bucket, and its published version."""
    name, bucket = f"animals-{uuid.uuid4().hex[:8]}", stack.output("RawBucketName")
    put_photos(stack, f"{name}/cat", 4)
    put_photos(stack, f"{name}/dog", 3)
    body = {
        "dataset_name": name,
        "dataset_type": 0,
        "data_sources": [{"data_type": 0, "data_path": f"/{bucket}/{name}/"}],
        "labels": [{**LABELS[0], "type": 0}],
    }
    made = huawei.call("POST", body=body)
    assert made.import_task_id
    until(lambda: _state(huawei, made.dataset_id)[0] == 1, what="the end of the import")
    wish = {"version_name": "V001", "description": "first", "train_evaluate_sample_ratio": "0.8"}
    version = huawei.call("POST", f"/{made.dataset_id}/versions", wish).version_id
    path = f"/{made.dataset_id}/versions/{version}"
    until(lambda: huawei.call("GET", path).status == 1, what="the end of the build")
    yield {"name": name, "dataset_id": made.dataset_id, "version_id": version}


def _state(huawei: DatasetsClient, dataset_id: str) -> tuple[int, int]:
    found = json.loads(huawei.call("GET", f"/{dataset_id}").raw_content)
    return found["status"], found["annotated_sample_count"]


def test_huaweis_client_sees_what_it_made(huawei: DatasetsClient, animals: dict[str, str]) -> None:
    answer = huawei.call("GET", search_content=animals["name"], file_preview=True, with_labels=True, limit=10, offset=0)

    assert answer.total_number == 1
    (found,) = answer.datasets
    assert (found["dataset_id"], found["status"]) == (animals["dataset_id"], 1)
    assert (found["total_sample_count"], found["annotated_sample_count"]) == (7, 7)
    assert (found["current_version_id"], found["current_version_name"]) == (animals["version_id"], "V001")
    (version,) = found["versions"]
    assert [(each["name"], each["count"], each["sample_count"]) for each in version["label_stats"]] == [
        ("cat", 4, 4),
        ("dog", 3, 3),
    ]
    assert version["train_evaluate_sample_ratio"] == "0.80"
    assert [label["name"] for label in found["labels"]] == ["cat", "dog"]


def test_a_previews_links_can_be_followed(huawei: DatasetsClient, animals: dict[str, str]) -> None:
    (found,) = huawei.call("GET", search_content=animals["name"], file_preview=True).datasets

    assert len(found["samples"]) == 4
    for sample in found["samples"]:
        with urllib.request.urlopen(sample["url"]) as answer:
            body = answer.read()
        assert hashlib.sha256(body).hexdigest()[:32] == sample["file_id"]
        assert len(body) == sample["size"]


def test_every_documented_field_appears_with_its_type(huawei: DatasetsClient, animals: dict[str, str]) -> None:
    # Given a table dataset and one with a team beside the published one
    prefix = f"objects-{uuid.uuid4().hex[:8]}"
    huawei.call("POST", body={"dataset_name": f"{prefix}-tables", "dataset_type": 400, **TABLE})
    huawei.call("POST", body={"dataset_name": f"{prefix}-team", "dataset_type": 1, "labels": LABELS, **TEAM})

    # When they are listed with everything
    options = {"with_labels": True, "file_preview": True, "check_running_task": True, "dataset_version": "all"}
    seen: set[str] = set()
    for search in (prefix, animals["name"]):
        check("Body", json.loads(huawei.call("GET", search_content=search, **options).raw_content), seen)

    # Then all fifteen objects were met, each with all its fields
    assert seen == set(FIELDS)


def test_pages(huawei: DatasetsClient) -> None:
    prefix = f"pages-{uuid.uuid4().hex[:8]}"
    for number in range(5):
        huawei.call("POST", body={"dataset_name": f"{prefix}-{number}", "dataset_type": 100})

    pages = [
        huawei.call("GET", search_content=prefix, limit=2, offset=page, sort_by="dataset_name", order="asc")
        for page in range(4)
    ]

    assert [[found["dataset_name"][-1] for found in page.datasets] for page in pages] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
        [],
    ]
    assert {page.total_number for page in pages} == {5}


def test_huaweis_client_reads_the_errors(stack: DeployedStack, huawei: DatasetsClient, pair: dict[str, Any]) -> None:
    def refused(by: DatasetsClient, *request: Any, **query: object) -> tuple[int, str]:
        with pytest.raises(ClientRequestException) as caught:
            by.call(*request, **query)
        return caught.value.status_code, caught.value.error_code

    forger = client(stack.url, {**pair, "key": pair["key"][::-1]}, PROJECT)
    elsewhere = client(stack.url, pair, "f" * 32)
    assert refused(huawei, "GET", limit=0) == (400, "ModelArts.0104")
    assert refused(huawei, "GET", f"/{uuid.uuid4()}") == (404, "ModelArts.4352")
    assert refused(forger, "GET") == (401, "APIGW.0301")
    assert refused(elsewhere, "GET") == (404, "ModelArts.0102")


def test_another_version_and_away_with_both(huawei: DatasetsClient, animals: dict[str, str]) -> None:
    path = f"/{animals['dataset_id']}"
    second = huawei.call("POST", f"{path}/versions", {}).version_id
    until(lambda: huawei.call("GET", f"{path}/versions/{second}").status == 1, what="the end of the build")
    assert [each["version_name"] for each in huawei.call("GET", f"{path}/versions").versions] == ["V002", "V001"]

    huawei.call("PUT", path, {"current_version_id": animals["version_id"], "description": "chosen"})
    (found,) = huawei.call("GET", search_content=animals["name"]).datasets
    assert (found["current_version_name"], found["description"]) == ("V001", "chosen")

    huawei.call("DELETE", f"{path}/versions/{second}")
    assert [each["version_name"] for each in huawei.call("GET", f"{path}/versions").versions] == ["V001"]


def test_a_dataset_of_the_sdk_is_listed_here(
    stack: DeployedStack, huawei: DatasetsClient, animals: dict[str, str]
) -> None:
    sdk = AnkerAutoTrainSDK(url=stack.url, api_key=stack.key)
    name = f"sdk-{uuid.uuid4().hex[:8]}"
    sdk.create_dataset({"datasetName": name, "datasetVersion": "1", "annotationType": "object"})

    until(lambda: huawei.call("GET", search_content=name, dataset_type=1).total_number == 1, what="the new dataset")

    found = stack.api("GET", f"/datasets/lookup?dataset_name={animals['name']}&dataset_version=V001")[1]
    assert found["dataset_id"] == animals["version_id"]


def test_otcextensions(stack: DeployedStack, token: str, huawei: DatasetsClient, animals: dict[str, str]) -> None:
    # Given three datasets of one prefix, one of them with a version
    prefix = animals["name"]
    for number, type in enumerate((1, 100)):
        huawei.call("POST", body={"dataset_name": f"{prefix}-{number}", "dataset_type": type})

    # When a program on otcextensions lists, pages, filters, makes, changes and deletes
    script = Path(__file__).with_name("otc_client.py")
    command = [sys.executable, "-P", str(script), stack.url, token, PROJECT, prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    # Then it sees all pages, and its objects read the answers
    assert found["page"] == [f"{prefix}-1", f"{prefix}-otc"]
    assert found["names"] == [prefix, f"{prefix}-0", f"{prefix}-1", f"{prefix}-otc"]
    assert found["types"] == [0, 1, 100, 1]
    assert found["labels"] == ["cat", "dog"]
    assert found["filtered"] == [prefix]
    assert found["by_name"] == found["created"]
    assert found["description"] == "changed"
    assert found["versions"][-1] == ["V001", 1, 7]
    assert sorted(found["stats"]) == [["cat", 4], ["dog", 3]]
    assert found["label_list"] == ["cat"]
    assert found["missing"] == 404
    assert found["left"] == []
    # The proxy's own method cannot work with any service (docs/surfaces/modelarts.md).
    assert found["own_proxy"] == "KeyError"


@pytest.mark.slow
def test_a_pair_survives_the_runtime(tmp_path: Path) -> None:
    # Given a pair of a stack of its own
    own = DeployedStack(tmp_path, "--stop-grace", "1")
    own.start()
    try:
        _, made = own.api("POST", "/keys", {"name": "h", "scopes": ["read"], "signing": True, "projects": [PROJECT]})
        assert client(own.url, made, PROJECT).call("GET").total_number == 0

        # When the runtime is killed and started again, which deploys the template again
        own.kill()
        own.start()

        # Then the root is the same, and so is the secret access key
        assert client(own.url, made, PROJECT).call("GET").total_number == 0
    finally:
        own.stop()
