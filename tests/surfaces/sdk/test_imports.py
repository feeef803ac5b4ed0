"""Imports and exports on the deployed stack: a folder in, a version built, an archive out, and the same archive in again."""

from __future__ import annotations

import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, TaskFailed
from tests.deployed import DeployedStack
from tests.pictures import picture
from tests.services.label_files import FILES, NAMES
from tests.surfaces.sdk.requests import NOWHERE, refused

pytestmark = pytest.mark.stack
# A step of a machine takes seconds here, a processing job some more.
WAIT_S = 240


def write_folder(root: Path, seed: int, files: dict[str, Any]) -> Path:
    for number, name in enumerate(NAMES):
        path = root / "JPEGImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed=seed + number) + root.name.encode())
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return root


def test_a_folder_comes_in_is_built_and_goes_out_again(stack: DeployedStack, tmp_path: Path) -> None:
    name = f"voc-{uuid.uuid4().hex[:8]}"
    folder = write_folder(tmp_path / name, 11, FILES["voc"])
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        draft = client.create_dataset(
            {"datasetName": name, "datasetVersion": "v1", "annotationType": "detection", "split": {"train": 1}}
        ).dataset_id
        # when the folder is imported, twice
        done = [client.import_folder(folder, dataset_id=draft, timeout_s=WAIT_S) for _ in range(2)]
        assert [(task.result.registered, task.result.linked) for task in done] == [(2, 2), (2, 2)]
        client.build_dataset(draft, wait=True, timeout_s=WAIT_S)
        assert client.get_dataset(draft).counts["train"] == 2
        # then an export is the same every time, by the step and (Parquet) by a job
        archives = [
            client.download_exported_dataset(draft, "coco", tmp_path / place, images=True, timeout_s=WAIT_S)
            for place in ("one", "two")
        ]
        assert archives[0].sha256 == archives[1].sha256
        packed = zipfile.ZipFile(archives[0].path)
        assert {"README.md", "report.json"} <= set(packed.namelist())
        tables = client.download_exported_dataset(draft, "parquet", tmp_path / "tables", timeout_s=WAIT_S)
        assert any(entry.endswith(".parquet") for entry in zipfile.ZipFile(tables.path).namelist())
        # and what went out comes in again, without its pictures: it names them by what they are
        packed.extractall(tmp_path / "back")
        labels = [path for path in (tmp_path / "back").rglob("*.json") if path.name != "report.json"]
        again = client.import_folder(labels[0], format="coco", timeout_s=WAIT_S)
        assert again.result.registered == 2


def test_a_bad_item_stops_the_import_and_is_named(stack: DeployedStack, tmp_path: Path) -> None:
    name = f"bad-{uuid.uuid4().hex[:8]}"
    bad = {"Annotations/one.xml": FILES["voc"]["Annotations/one.xml"], "Annotations/three.xml": "<annotation>"}
    folder = write_folder(tmp_path / name, 31, bad)
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        with pytest.raises(TaskFailed, match=r"three\.xml"):
            client.import_folder(folder, timeout_s=WAIT_S)
        task = client.import_folder(folder, on_error="skip", timeout_s=WAIT_S)
        assert (task.result.registered, task.result.failed) == (1, 1)
        report = client.download_task_file(task.task_id, "report.jsonl", tmp_path)
        assert "three.xml" in Path(report.path).read_text("utf-8")


def test_the_formats_are_there(stack: DeployedStack) -> None:
    status, body = stack.api("GET", "/formats")
    assert status == 200
    assert {"coco", "voc", "yolo", "parquet"} <= {entry["name"] for entry in body["items"]}


@pytest.mark.parametrize(
    ("status", "path", "body"),
    [
        (422, "/imports", {}),
        (422, "/imports", {"object_name": "a.json", "format": "dxf"}),
        (422, "/imports", {"prefix": "tenants/other/"}),
        (404, "/imports", {"object_name": "imports/nothing.json"}),
        (422, f"/datasets/{NOWHERE}/exports", {"format": "labelme"}),
        (404, f"/datasets/{NOWHERE}/exports", {"format": "coco"}),
    ],
)
def test_bad_requests_are_refused_in_one_shape(stack: DeployedStack, status: int, path: str, body: Any) -> None:
    refused(stack, status, "POST", path, body)
