"""Versions on the deployed stack: tag, compare, verify, restore, trace and delete, by the client and by bare requests."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, IllegalTransition, NotFound
from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.pictures import picture
from tests.surfaces.sdk.requests import NOWHERE, annotation, refused, upload

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def client(stack: DeployedStack) -> Iterator[AnkerAutoTrainSDK]:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as made:
        yield made


@pytest.fixture(scope="module")
def images(stack: DeployedStack) -> list[str]:
    """The uids of four registered images."""
    uids = [upload(stack, f"v{n}.jpg", picture() + uuid.uuid4().bytes, "versions") for n in range(4)]
    for uid in uids:
        until(lambda uid=uid: stack.api("GET", f"/raw-data/{uid}")[0] == 200, what=f"the record of {uid}")
    return uids


def build(client: AnkerAutoTrainSDK, name: str, version: str, ids: list[str]) -> str:
    info = {"datasetName": name, "datasetVersion": version, "annotationType": "detection"}
    dataset_id = client.create_dataset(info).dataset_id
    client.link_dataset(ids, dataset_id)
    client.build_dataset(dataset_id, wait=True, timeout_s=120)
    return str(dataset_id)


def test_the_life_of_versions(
    client: AnkerAutoTrainSDK, stack: DeployedStack, images: list[str], tmp_path: Path
) -> None:
    # given two built versions of one dataset
    name = f"versions-{uuid.uuid4()}"
    ids = [client.upload_annotated_data(annotation(uid)).annotation_data_id for uid in images]
    first, second = build(client, name, "1", ids[:3]), build(client, name, "2", ids)
    # when the first one is tagged, then the tag finds it, and the dataset lists it
    client.tag_dataset(first, "gold")
    assert client.find_dataset(name, "gold").dataset_id == first
    (series,) = client.list_series(name)
    assert (series.tags.gold, [each.dataset_id for each in series.versions]) == (first, [second, first])
    # and a diff says what came, with files to download
    task = client.diff_datasets(first, second, wait=True, timeout_s=120)
    assert (task.result.images.added, task.result.images.unchanged) == (1, 3)
    page = client.download_task_file(task.task_id, "diff.html", tmp_path)
    assert "images added" in Path(page.path).read_text("utf-8")
    # and the version proves to be sound, down to its objects
    proof = client.verify_dataset(first, wait=True, timeout_s=120).result
    assert (proof.sound, proof.images.proved, proof.annotations.proved) == (True, 3, 3)
    # and the first one can be had again, byte for byte
    draft = client.restore_dataset(first, "3")
    client.build_dataset(draft.dataset_id, wait=True, timeout_s=120)
    digests = {client.get_dataset(id).digest for id in (first, draft.dataset_id)}
    assert len(digests) == 1
    # and an image knows where it is
    traced = client.trace(images[0])
    assert {place.dataset_id for place in traced.used.places} >= {first, second, draft.dataset_id}
    assert [each.uid for each in client.iter_images(first)] == sorted(images[:3])
    assert client.get_annotation_usage(ids[3]).places[0].dataset_id == second
    # when a version is deleted, its name is free and its record stays
    assert client.delete_dataset(second).status == "DELETED"
    with pytest.raises(NotFound):
        client.find_dataset(name, "2")
    assert client.get_dataset(second).deletion is not None
    with pytest.raises(IllegalTransition):
        client.diff_datasets(first, second)
    client.untag_dataset(first, "gold")
    assert client.delete_series(series.series_id).status == "DELETING"
    assert [version.status for version in client.iter_versions(series.series_id)] == ["DELETED"] * 3


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (404, "GET", f"/series/{NOWHERE}", None),
        (404, "DELETE", f"/series/{NOWHERE}", None),
        (404, "DELETE", f"/datasets/{NOWHERE}", None),
        (422, "DELETE", f"/datasets/{NOWHERE}?force=perhaps", None),
        (404, "GET", f"/datasets/{NOWHERE}/images", None),
        (404, "POST", f"/datasets/{NOWHERE}/diff", {"other": NOWHERE}),
        (422, "POST", f"/datasets/{NOWHERE}/diff", {"other": 5}),
        (404, "POST", f"/datasets/{NOWHERE}/verify", {}),
        (404, "POST", f"/datasets/{NOWHERE}/restore", {"datasetVersion": "1"}),
        (404, "PUT", f"/datasets/{NOWHERE}/tags/gold", {}),
        (422, "PUT", f"/datasets/{NOWHERE}/tags/{'x' * 65}", {}),
        (404, "DELETE", f"/datasets/{NOWHERE}/tags/gold", None),
        (404, "GET", f"/annotations/{'0' * 24}/usage", None),
        (422, "GET", "/annotations/no-id/usage", None),
        (404, "GET", f"/lineage/{NOWHERE}", None),
        (404, "GET", f"/lineage/{'fe' * 16}", None),
        (422, "GET", "/lineage/no-id", None),
        (422, "GET", "/series?limit=none", None),
    ],
)
def test_bad_input_is_refused(stack: DeployedStack, status: int, method: str, path: str, body: object) -> None:
    answer = refused(stack, status, method, path, body)
    assert json.dumps(answer["details"])
