"""Deletions and retention policies on the deployed stack, with the client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, Conflict, NotFound
from dataloop.domain.erasure import is_sealed
from tests.deployed import DeployedStack
from tests.local.waiting import until
from tests.pictures import picture
from tests.surfaces.sdk.requests import NOWHERE, refused

pytestmark = pytest.mark.stack

UNKNOWN = uuid.uuid4().hex  # of this run: other tests of the stack have contents of their own


@pytest.fixture
def client(stack: DeployedStack) -> Iterator[AnkerAutoTrainSDK]:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as found:
        yield found


def test_an_image_is_deleted_from_a_built_version_with_a_receipt(client: AnkerAutoTrainSDK, tmp_path: Path) -> None:
    # given two labelled images in a built version
    uids, annotations = [], []
    for number in range(2):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(picture(seed=number) + uuid.uuid4().bytes)
        uids.append(client.upload_file(file, "deletions").uid)
        client.upload_raw_data({"uid": uids[-1], "region": "EU"})
        said = {"label": "cat", "bbox_xyxy": [1, 1, 9, 9]}
        body = {"dataId": [uids[-1]], "annotationType": "detection", "labelMethod": "manual", "labelInfo": [said]}
        annotations.append(client.upload_annotated_data(body).annotation_data_id)
    until(lambda: all(client.get_raw_data(uid).status == "REGISTERED" for uid in uids))
    name = f"deletions-{uuid.uuid4().hex[:8]}"
    version = client.create_dataset(
        {"datasetName": name, "datasetVersion": "1", "annotationType": "detection", "modelType": "teacher"}
    )
    client.link_dataset(annotations, version.dataset_id)
    client.build_dataset(version.dataset_id, wait=True)
    digest = client.get_dataset(version.dataset_id).digest
    # when one of them is deleted, and an unknown one with it
    task = client.delete_images([uids[0], UNKNOWN], "asked for by its owner", wait=True, timeout_s=180)
    # then the receipt says so, the version keeps its digest, and the image is gone
    found = next(each for each in client.list_deletions() if each.task_id == task.task_id)
    deletion = client.get_deletion(found.deletion_id)
    assert (deletion.status, list(deletion.unknown)) == ("DONE", [UNKNOWN])
    assert is_sealed(json.loads(json.dumps(deletion.receipt)))
    assert [entry["digest_after"] for entry in deletion.receipt["removed"]["versions"]] == [digest]
    assert client.get_raw_data(uids[0]).status == "ERASED"
    with pytest.raises(NotFound):
        client.download_file_by_uid(uids[0], str(tmp_path / "gone.jpg"))
    assert (
        client.get_dataset(version.dataset_id).counts["train"]
        + client.get_dataset(version.dataset_id).counts["val"]
        + (client.get_dataset(version.dataset_id).counts["test"])
        == 1
    )


def test_a_retention_policy_is_made_tried_changed_and_forgotten(client: AnkerAutoTrainSDK) -> None:
    name = f"policy-{uuid.uuid4().hex[:8]}"
    made = client.save_retention_policy(name, 365, where={"regions": ["nowhere"]})
    assert (made.enabled, made.spare) == (False, "released")
    with pytest.raises(Conflict):
        client.save_retention_policy(name, 30)
    assert client.try_retention_policy(made.policy_id).to_delete == 0
    assert client.change_retention_policy(made.policy_id, enabled=True).enabled
    assert not client.get_retention_policy(made.policy_id).runs
    assert made.policy_id in {each.policy_id for each in client.list_retention_policies()}
    client.delete_retention_policy(made.policy_id)
    with pytest.raises(NotFound):
        client.get_retention_policy(made.policy_id)


def test_bad_deletions_are_refused_in_the_one_shape(stack: DeployedStack) -> None:
    def deletion(status: int, body: object) -> dict[str, object]:
        return refused(stack, status, "POST", "/deletions", body)

    assert deletion(422, {"reason": "x"})["details"]["field"] == "uids"  # type: ignore[index]
    assert deletion(422, {"uids": ["x"], "reason": "x"})["details"]["field"] == "uids"  # type: ignore[index]
    assert deletion(422, {"uids": [UNKNOWN]})["details"]["field"] == "reason"  # type: ignore[index]
    assert deletion(413, {"uids": [UNKNOWN] * 1001, "reason": "x"})["details"]["limit"] == 1000  # type: ignore[index]
    deletion(404, {"uids": [UNKNOWN], "reason": "x"})
    deletion(404, {"query_id": NOWHERE, "reason": "x"})
    refused(stack, 404, "GET", f"/deletions/{NOWHERE}")
    refused(stack, 404, "POST", f"/retention/{NOWHERE}/dry-run")
    refused(stack, 404, "GET", f"/retention/{NOWHERE}")
    refused(stack, 404, "PUT", f"/retention/{NOWHERE}", {"limit": 5})
    refused(stack, 404, "DELETE", f"/retention/{NOWHERE}")
    refused(stack, 422, "POST", "/retention", {"name": "x", "older_than_days": -1})
