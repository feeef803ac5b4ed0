"""Search, saved queries and restricted keys on the deployed stack, with the client and the command."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, Conflict, InvalidInput, NotFound, ResidencyViolation
from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.pictures import picture
from tests.sdk.commands import runner
from tests.surfaces.sdk.requests import NOWHERE, refused

pytestmark = pytest.mark.stack


@pytest.fixture
def client(stack: DeployedStack) -> Iterator[AnkerAutoTrainSDK]:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as found:
        yield found


@pytest.fixture(scope="module")
def places(stack: DeployedStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """{region: uid} of two labelled files; the label is this run's own."""
    folder = tmp_path_factory.mktemp("search")
    found = {"label": f"thing-{uuid.uuid4().hex[:8]}"}
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        for number, region in enumerate(("EU", "CN")):
            file = folder / f"{region}.jpg"
            file.write_bytes(picture(seed=number) + uuid.uuid4().bytes)
            uid = client.upload_file(file, "search").uid
            client.upload_raw_data({"uid": uid, "region": region, "securityLevel": "low", "extra": {"lux": number}})
            client.upload_annotated_data(
                {"dataId": [uid], "annotationType": "detection", "labelMethod": "manual", "labelInfo": [said(found)]}
            )
            until(lambda uid=uid: client.get_raw_data(uid).status == "REGISTERED")
            found[region] = uid
    return found


def said(places: dict[str, str]) -> dict[str, Any]:
    return {"label": places["label"], "bbox_xyxy": [1, 1, 9, 9]}


def test_files_are_found_by_label_and_metadata(client: AnkerAutoTrainSDK, places: dict[str, str]) -> None:
    wanted = {"any_label": [places["label"]]}
    assert {file.uid for file in client.find_raw_data(wanted)} == {places["EU"], places["CN"]}
    page = client.search_raw_data(wanted | {"regions": ["CN"]}, limit=10)
    assert [file.uid for file in page] == [places["CN"]]
    assert len(page[0].annotation_ids) == 1
    dark = wanted | {"meta": [{"path": "extra.lux", "op": "le", "value": 0}]}
    assert [file.uid for file in client.find_raw_data(dark)] == [places["EU"]]
    near = client.search_raw_data(wanted | {"near": places["EU"]})
    assert places["EU"] in {file.uid for file in near}


def test_a_saved_query_becomes_a_dataset(client: AnkerAutoTrainSDK, places: dict[str, str]) -> None:
    name = f"q-{uuid.uuid4().hex[:8]}"
    query = client.save_query(name, {"any_label": [places["label"]]}, "for the test")
    with pytest.raises(Conflict):
        client.save_query(name, {})
    assert query.query_id in {one.query_id for one in client.list_queries()}
    task = client.dataset_from_query(
        query.query_id,
        {"datasetName": name, "datasetVersion": "v1", "annotationType": "detection"},
        wait=True,
        timeout_s=120,
    )
    assert (task.result.images, task.result.annotations) == (2, 2)
    assert client.change_query(query.query_id, {"regions": ["CN"]}).revision == 2
    assert client.get_query(query.query_id).where.to_dict() == {"regions": ["CN"]}
    client.delete_query(query.query_id)
    with pytest.raises(NotFound):
        client.get_query(query.query_id)


def test_the_commands_say_the_same(
    stack: DeployedStack, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> Any:
        code, out, err = runner(capsys)("--url", stack.url, "--key", stack.key, *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    name = f"c-{uuid.uuid4().hex[:8]}"
    assert [one["uid"] for one in run("search", "--label", places["label"], "--region", "EU")] == [places["EU"]]
    saved = run("queries", "save", name, "--label", places["label"])
    assert run("queries", "show", saved["query_id"])["where"] == {"any_label": [places["label"]]}
    assert name in {one["name"] for one in run("queries", "list")["items"]}
    made = run("queries", "dataset", saved["query_id"], name, "v1", "--type", "detection", "--keep-first")
    assert made["status"] == "SUCCEEDED"
    assert run("queries", "delete", saved["query_id"])["deleted"] is True


def test_a_restricted_key_finds_and_reads_only_its_region(stack: DeployedStack, places: dict[str, str]) -> None:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as admin:
        key = admin.create_key("eu", ["read", "write"], residency={"regions": ["EU"]})
        with pytest.raises(InvalidInput):
            admin.create_key("bad", residency={"regions": []})
    assert key.residency.to_dict() == {"regions": ["EU"]}
    with AnkerAutoTrainSDK(url=stack.url, api_key=key.key, progress=False) as limited:
        assert [file.uid for file in limited.find_raw_data({"any_label": [places["label"]]})] == [places["EU"]]
        assert limited.get_raw_data(places["EU"]).uid == places["EU"]
        for forbidden in (
            lambda: limited.get_raw_data(places["CN"]),
            lambda: limited.upload_raw_data({"uid": places["CN"], "region": "EU"}),
            lambda: limited.upload_raw_data({"uid": places["EU"], "region": "CN"}),
        ):
            with pytest.raises(ResidencyViolation) as caught:
                forbidden()
            assert caught.value.status == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"where": {"colour": "red"}}, "where"),
        ({"where": {"meta": [{"path": "a", "op": "like", "value": 1}]}}, "where.meta[0].op"),
        ({"limit": 0}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": True}, "limit"),
        ({"cursor": 7}, "cursor"),
        ({"cursor": "!!"}, "cursor"),
    ],
)
def test_a_search_that_makes_no_sense(stack: DeployedStack, body: dict[str, Any], field: str) -> None:
    answer = refused(stack, 422, "POST", "/raw-data/search", body)
    assert answer["details"]["field"] == field


def test_queries_that_are_not_there(stack: DeployedStack) -> None:
    refused(stack, 404, "GET", f"/queries/{NOWHERE}")
    refused(stack, 404, "PUT", f"/queries/{NOWHERE}", {"where": {}})
    refused(stack, 404, "DELETE", f"/queries/{NOWHERE}")
    refused(stack, 404, "POST", f"/queries/{NOWHERE}/datasets", {"datasetName": "a", "datasetVersion": "1"})
    refused(stack, 422, "POST", "/queries", {"where": {}})
    refused(stack, 404, "POST", "/raw-data/search", {"where": {"near": "f" * 32}})
