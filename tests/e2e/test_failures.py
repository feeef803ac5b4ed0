"""What goes wrong ends as a FAILED task, with a reason that a user can act on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, IllegalTransition, TaskFailed, TaskStopped
from tests.deployed import DeployedStack
from tests.e2e.scenes import QUICK, annotation, dataset_info, raw_data, upload_scenes

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture(scope="module")
def client(stack: DeployedStack) -> Iterator[AnkerAutoTrainSDK]:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as made:
        yield made


@pytest.fixture(scope="module")
def built(client: AnkerAutoTrainSDK, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a small built dataset."""
    name = f"failures-{uuid.uuid4().hex[:8]}"
    labelled = upload_scenes(client, tmp_path_factory.mktemp("scenes"), name, 10, seed=3)
    dataset_id = client.create_dataset(dataset_info(name, "v1")).dataset_id
    client.link_dataset([entry.annotation_id for entry in labelled], dataset_id)
    client.wait_for_task(client.build_dataset(dataset_id).task_id)
    return str(dataset_id)


def test_a_bad_hyperparameter_is_named_with_its_value(client: AnkerAutoTrainSDK, built: str) -> None:
    task = client.train(built, parameters={**QUICK, "learning_rate": -1})
    with pytest.raises(TaskFailed, match=r"learning_rate.*-1"):
        client.wait_for_task(task.task_id)


def test_a_failed_training_leaves_a_failed_model(stack: DeployedStack, client: AnkerAutoTrainSDK, built: str) -> None:
    task = client.train(built, parameters={**QUICK, "no_such_parameter": 1})
    with pytest.raises(TaskFailed, match="no_such_parameter"):
        client.wait_for_task(task.task_id)
    status, model = stack.api("GET", f"/models/{task.parameters['model_id']}")
    assert (status, model["status"]) == (200, "FAILED")


def test_an_empty_dataset_cannot_be_built(stack: DeployedStack, client: AnkerAutoTrainSDK) -> None:
    created = client.create_dataset(dataset_info(f"empty-{uuid.uuid4().hex[:8]}", "v1"))
    task = client.build_dataset(created.dataset_id)
    with pytest.raises(TaskFailed, match="EmptyDataset"):
        client.wait_for_task(task.task_id)
    assert stack.api("GET", f"/datasets/{created.dataset_id}")[1]["status"] == "FAILED"
    with pytest.raises(IllegalTransition):
        client.train(created.dataset_id)


def test_a_corrupt_image_is_named(client: AnkerAutoTrainSDK, tmp_path: Path) -> None:
    """A picture whose header and end are sound and whose middle is not: only decoding finds it."""
    # Given
    name = f"corrupt-{uuid.uuid4().hex[:8]}"
    labelled = upload_scenes(client, tmp_path / "good", name, 8, seed=4)
    good = (tmp_path / "good" / "000.jpg").read_bytes()
    frame = good.index(b"\xff\xda") + 14
    path = tmp_path / "corrupt.jpg"
    # A second start of frame inside the scan data: no decoder accepts it.
    path.write_bytes(good[:frame] + b"\xff\xc0\x00\x03\x00" * 40 + b"\xff\xd9")
    upload = client.upload_file(str(path), name)
    client.upload_raw_data(raw_data(upload, "train"))
    ids = [entry.annotation_id for entry in labelled]
    ids.append(client.upload_annotated_data(annotation(upload.uid, [(1, 1, 20, 20)], ["7"])).annotation_data_id)
    dataset_id = client.create_dataset(dataset_info(name, "v1")).dataset_id
    client.link_dataset(ids, dataset_id)
    client.wait_for_task(client.build_dataset(dataset_id).task_id)

    # When
    task = client.train(dataset_id, parameters=QUICK)

    # Then
    with pytest.raises(TaskFailed, match=upload.uid):
        client.wait_for_task(task.task_id)


def test_a_training_can_be_stopped(stack: DeployedStack, client: AnkerAutoTrainSDK, built: str) -> None:
    task = client.train(built, parameters={**QUICK, "epochs": 500})
    status, _ = stack.api("POST", f"/tasks/{task.task_id}/stop")
    assert status == 202
    with pytest.raises(TaskStopped):
        client.wait_for_task(task.task_id)
    assert stack.api("GET", f"/tasks/{task.task_id}")[1]["status"] == "STOPPED"
