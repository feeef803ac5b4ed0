"""The client against the deployed stack: what only the real service can prove."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ankerautotrainsdk import (
    AnkerAutoTrainSDK,
    ApiError,
    Conflict,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    NotFound,
    TaskFailed,
    Unauthenticated,
)
from tests.sdk.test_seed import picture

pytestmark = pytest.mark.stack
MISSING_UUID = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def real(stack: Any) -> Iterator[AnkerAutoTrainSDK]:
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        yield client


def eventually(look: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline_s, "it did not come true"


def annotation(uid: str, label: str = "poop") -> dict[str, Any]:
    return {
        "annotationType": "object",
        "bg": "ap",
        "owner": "name",
        "dataId": [uid],
        "labelInfo": [{"bbox_xyxy": [10, 20, 300, 400], "label": label, "score": 1, "labelType": 0}],
        "labelMethod": "manual",
        "labelScope": [label],
        "modelName": "none",
        "modelVersion": "0",
    }


def dataset_info(name: str) -> dict[str, Any]:
    return {"annotationType": "detection", "datasetName": name, "datasetVersion": "v1", "owner": "name", "bg": "ap"}


def test_health_needs_no_key(stack: Any) -> None:
    with AnkerAutoTrainSDK(url=stack.url) as anonymous:
        assert anonymous.health().status == "ok"


@pytest.mark.parametrize("name", ["猫 + 狗 (1).jpeg", "a+b%20c.jpeg", "spaces  in name.jpeg"])
def test_a_name_with_everything_in_it(real: AnkerAutoTrainSDK, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(picture(sum(name.encode())))
    uploaded = real.upload_file(file, "odd names/子")
    assert uploaded.object_name == f"odd names/子/{name}"
    eventually(lambda: _is_known(real, uploaded.uid))
    by_uid = real.download_file_by_uid(uploaded.uid, tmp_path / "uid")
    by_place = real.download_file_by_storage(
        uploaded.storage_id, uploaded.bucket, uploaded.object_name, tmp_path / "place"
    )
    assert Path(by_uid).read_bytes() == Path(by_place).read_bytes() == file.read_bytes()
    assert by_place.file_name == name


def test_a_folder_arrives_and_resumes(real: AnkerAutoTrainSDK, tmp_path: Path) -> None:
    root = tmp_path / f"shots-{uuid.uuid4().hex[:8]}"
    root.mkdir()
    for number in range(12):
        (root / f"{number}.jpg").write_bytes(picture(number) + uuid.uuid4().bytes)
    first = real.upload_folder(root, raw_data={"region": "CN", "owner": "name", "bg": "ap", "securityLevel": "low"})
    first.raise_for_errors()
    assert first.counts()["uploaded"] == 12
    for receipt in first:
        eventually(lambda uid=receipt.uid: real.get_raw_data(uid).status == "REGISTERED")
    again = real.upload_folder(root)
    assert again.counts()["uploaded"] == 0


def test_the_way_of_a_dataset(real: AnkerAutoTrainSDK, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(picture(7) + uuid.uuid4().bytes)
    uploaded = real.upload_file(file, "way")
    storage = {"storageId": uploaded.storage_id, "bucket": uploaded.bucket, "objectName": uploaded.object_name}
    real.upload_raw_data({"uid": uploaded.uid, "type": "image", "storage": storage, "owner": "name", "bg": "ap"})
    ids = [done.annotation_data_id for done in real.upload_annotated_data_batch([annotation(uploaded.uid)]).done]
    name = f"way {uuid.uuid4().hex[:8]}"
    created = real.create_dataset(dataset_info(name))
    with pytest.raises(Conflict):
        real.create_dataset(dataset_info(name))
    real.link_dataset(ids, created.dataset_id)
    eventually(lambda: real.get_raw_data(uploaded.uid).status == "REGISTERED")
    real.build_dataset(created.dataset_id, wait=True, timeout_s=120)
    assert real.get_dataset(created.dataset_id).status == "READY"
    assert real.find_dataset(name, "v1").dataset_id == created.dataset_id
    with pytest.raises(IllegalTransition):
        real.link_dataset(ids, created.dataset_id)
    assert [row.to_dict() for row in real.get_annotations(uploaded.uid)]


def test_an_empty_dataset_fails_with_a_reason(real: AnkerAutoTrainSDK) -> None:
    created = real.create_dataset(dataset_info(f"empty {uuid.uuid4().hex[:8]}"))
    with pytest.raises((TaskFailed, ApiError)) as caught:
        real.build_dataset(created.dataset_id, wait=True, timeout_s=120)
    assert caught.value.message


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda c: c.get_dataset(MISSING_UUID), NotFound),
        (lambda c: c.build_dataset(MISSING_UUID), NotFound),
        (lambda c: c.link_dataset(["66f519f20c11b8a33cd2aa7b"], MISSING_UUID), NotFound),
        (lambda c: c.get_task(MISSING_UUID), NotFound),
        (lambda c: c.get_model(MISSING_UUID), NotFound),
        (lambda c: c.train(MISSING_UUID), NotFound),
        (lambda c: c.release(MISSING_UUID), NotFound),
        (lambda c: c.get_raw_data("0" * 32), NotFound),
        (lambda c: c.download_image("0" * 32, "save"), NotFound),
        (lambda c: c.get_current_release("nobody-released-this"), NotFound),
        (lambda c: c.upload_raw_data({}), InvalidInput),
        (lambda c: c.upload_annotated_data({"dataId": "text"}), InvalidInput),
        (lambda c: c.upload_annotated_data({**annotation("0" * 32), "labelInfo": "text"}), InvalidInput),
        (lambda c: c.create_dataset({}), InvalidInput),
    ],
)
def test_bad_input_is_a_typed_error(
    real: AnkerAutoTrainSDK, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call, kind
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        call(real)
    assert caught.value.message
    assert 400 <= caught.value.status < 500


def test_keys(stack: Any, real: AnkerAutoTrainSDK) -> None:
    made = real.create_key("reader", ["read"])
    with AnkerAutoTrainSDK(url=stack.url, api_key=made.key, progress=False) as reader:
        reader.list_datasets()
        with pytest.raises(Forbidden):
            reader.create_dataset(dataset_info("not allowed"))
        real.revoke_key(made.key_id)
        with pytest.raises(Unauthenticated):
            reader.list_datasets()
    with AnkerAutoTrainSDK(url=stack.url, api_key="dl_wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.list_datasets()


def _is_known(client: AnkerAutoTrainSDK, uid: str) -> bool:
    try:
        client.get_raw_data(uid)
    except NotFound:
        return False
    return True
