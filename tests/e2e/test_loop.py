"""The main job, on the deployed stack: from upload to release, and round again without a call."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, IllegalTransition
from tests.deployed import DeployedStack
from tests.e2e.scenes import QUICK, dataset_info, upload_scenes
from tests.local.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture(scope="module")
def client(stack: DeployedStack) -> Iterator[AnkerAutoTrainSDK]:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as made:
        yield made


def test_from_upload_to_release_and_round_again(
    stack: DeployedStack, client: AnkerAutoTrainSDK, tmp_path: Path
) -> None:
    name = f"digits-{uuid.uuid4().hex[:8]}"

    # Given a built dataset of real pictures
    first = upload_scenes(client, tmp_path / "first", f"{name}/first", 24, seed=1)
    created = client.create_dataset(dataset_info(name, "v1"))
    client.link_dataset([entry.annotation_id for entry in first], created.dataset_id)
    built = client.wait_for_task(client.build_dataset(created.dataset_id).task_id)
    assert built.result["counts"] == {"train": 14, "val": 6, "test": 4}

    # When a model is trained, exported and released
    trained = client.wait_for_task(client.train(created.dataset_id, parameters=QUICK, model_name=name).task_id)
    model_id = trained.result["model_id"]
    exported = client.wait_for_task(client.export(model_id).task_id)
    released = client.wait_for_task(client.release(model_id, name=name).task_id)

    # Then every artefact is there, verified, and the release stands for the model
    assert exported.result["verification"]["passed"] is True
    assert released.result["published"] is True
    status, current = stack.api("GET", f"/releases/{name}/current")
    assert (status, current["model_id"]) == (200, model_id)

    # And lineage leads from the model to each image and back
    status, lineage = stack.api("GET", f"/models/{model_id}/lineage?limit=1000")
    assert status == 200
    assert {row["uid"]: row["annotation_ids"] for row in lineage["items"]} == {
        entry.uid: [entry.annotation_id] for entry in first
    }
    status, usage = stack.api("GET", f"/raw-data/{first[0].uid}/usage")
    assert [version["dataset_id"] for version in usage["versions"]] == [created.dataset_id]
    assert [model["model_id"] for model in usage["models"]] == [model_id]
    assert [release["release_id"] for release in usage["releases"]] == [current["release_id"]]

    # And a built version accepts no link
    with pytest.raises(IllegalTransition):
        client.link_dataset([first[0].annotation_id], created.dataset_id)

    # When a loop stands and new labels arrive, and nothing else is called
    status, loop = stack.api(
        "POST",
        "/loops",
        {
            "name": name,
            "dataset_name": name,
            "release_name": name,
            "annotation_type": "detection",
            "query": {"annotation_type": "detection"},
            "thresholds": {"min_new": 8, "fraction": 0.0, "cooldown_s": 0},
            "training": {"parameters": QUICK},
            "gate": {"margin": 0.0, "max_class_drop": 1.0},
        },
    )
    assert status == 201, loop
    second = upload_scenes(client, tmp_path / "second", f"{name}/second", 12, seed=2)

    # Then a run starts by itself, and ends with a decision and its reasons
    def run() -> dict[str, object] | None:
        tasks = stack.api("GET", "/tasks?kind=loop")[1]["items"]
        mine = [task for task in tasks if task["parameters"]["loop_id"] == loop["loop_id"]]
        ended = [task for task in mine if task["status"] in ("SUCCEEDED", "FAILED", "STOPPED")]
        decided = [task for task in ended if task["result"].get("started")]
        assert all(task["status"] == "SUCCEEDED" for task in ended), ended
        return decided[0] if decided else None

    task = until(run, what="the end of the run", within_s=300)
    result = task["result"]
    assert isinstance(result, dict)
    assert isinstance(result["promoted"], bool)
    assert result["reasons"]

    # And the challenger learnt from old and new labels, and met the champion on the champion's own test set
    status, challenger = stack.api("GET", f"/models/{result['model_id']}")
    assert challenger["test"]["version_id"] == created.dataset_id
    status, version = stack.api("GET", f"/datasets/{result['version_id']}")
    assert version["counts"]["train"] > 14
    status, lineage = stack.api("GET", f"/models/{result['model_id']}/lineage?limit=1000")
    uids = {row["uid"] for row in lineage["items"]}
    assert {entry.uid for entry in first} <= uids
    assert uids & {entry.uid for entry in second}

    # And the decision can be read with the loop
    status, read = stack.api("GET", f"/loops/{loop['loop_id']}")
    kinds = {decision["kind"] for decision in read["decisions"]}
    assert {"start", "promotion"} <= kinds
    assert json.dumps(read)
