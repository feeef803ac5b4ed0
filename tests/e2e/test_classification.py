"""Classification goes the same way as detection: labels without boxes, another task type, other metrics.

Its model then shows what a person may say of a release: yes, no, and back to the one before.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from dataloop_demo.scenes import compose
from tests.deployed import DeployedStack
from tests.e2e.scenes import QUICK, dataset_info, raw_data
from tests.local.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_a_classifier_is_trained_judged_and_released(stack: DeployedStack, tmp_path: Path) -> None:
    # Given pictures of one digit each, labelled as a whole
    name = f"classes-{uuid.uuid4().hex[:8]}"
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        ids = []
        for index, scene in enumerate(compose("train", 20, seed=6, size=64, digits=(1, 8), max_digits=1)):
            path = tmp_path / f"{index}.jpg"
            path.write_bytes(scene.image_bytes)
            upload = client.upload_file(str(path), name)
            client.upload_raw_data(raw_data(upload, ("train", "train", "val", "test")[index % 4]))
            label = {
                "annotationType": "classification",
                "dataId": [upload.uid],
                "labelInfo": [{"label": scene.labels[0]}],
            }
            ids.append(client.upload_annotated_data(label).annotation_data_id)
        created = client.create_dataset(dataset_info(name, "v1") | {"annotationType": "classification"})
        client.link_dataset(ids, created.dataset_id)
        built = client.wait_for_task(client.build_dataset(created.dataset_id).task_id)
        assert built.result["counts"] == {"train": 10, "val": 5, "test": 5}

        # When
        trained = client.wait_for_task(client.train(created.dataset_id, parameters=QUICK, model_name=name).task_id)
        released = client.wait_for_task(client.release(trained.result["model_id"], name=name).task_id)

    # Then the numbers are those of classification, and they belong together
    status, model = stack.api("GET", f"/models/{trained.result['model_id']}")
    metrics = model["metrics"]
    assert (status, model["task_type"], model["labels"]) == (200, "classification", ["1", "8"])
    assert metrics["primary"]["name"] == "accuracy"
    assert 0 <= metrics["primary"]["value"] <= 1
    assert metrics["images"] == 5
    assert sum(entry["support"] for entry in metrics["per_class"].values()) == 5
    assert released.result["published"] is True

    # And a release can wait for a person, who approves or rejects, and can be taken back
    model_id = trained.result["model_id"]
    first = stack.api("GET", f"/releases/{name}/current")[1]["release_id"]
    second = offered(stack, model_id, name)
    assert stack.api("POST", f"/releases/{second}/approve", {"comment": "looks right"})[0] == 200
    until(lambda: stack.api("GET", f"/releases/{name}/current")[1]["release_id"] == second, what="the publication")
    third = offered(stack, model_id, name)
    assert stack.api("POST", f"/releases/{third}/reject", {"comment": "too early"})[0] == 200
    refused = until(lambda: ended(stack, third), what="the refusal")
    assert (refused["published"], refused["verdict"]["reasons"][-1]) == (False, "too early")
    assert stack.api("GET", f"/releases/{name}/current")[1]["release_id"] == second
    status, restored = stack.api("POST", f"/releases/{name}/rollback")
    assert (status, restored["release_id"]) == (200, first)
    assert stack.api("POST", f"/releases/{third}/approve")[0] == 409


def offered(stack: DeployedStack, model_id: str, name: str) -> str:
    """A release that waits for a person."""
    status, task = stack.api("POST", "/releases", {"model_id": model_id, "name": name, "require_approval": True})
    assert status == 202
    release_id = str(task["parameters"]["release_id"])

    def waits() -> bool:
        releases = stack.api("GET", f"/releases?name={name}")[1]["items"]
        return any(r["release_id"] == release_id and r["status"] == "AWAITING_APPROVAL" for r in releases)

    until(waits, within_s=60, what="the question for approval")
    return release_id


def ended(stack: DeployedStack, release_id: str) -> dict[str, Any] | None:
    """The result of a release's task, which has its id."""
    task = stack.api("GET", f"/tasks/{release_id}")[1]
    return task["result"] if task["status"] == "SUCCEEDED" else None
