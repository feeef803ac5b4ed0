"""Labels in, datasets out: a folder in one call, archives that are the same every time, and the commands."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, InvalidInput, LocalFileMissing, TransferError
from ankerautotrainsdk.label_folder import look_into, pack_labels
from tests.sdk.commands import runner
from tests.sdk.fake_service import FakeService
from tests.sdk.pictures import image

TASK = {"task_id": "t1", "kind": "import", "status": "SUCCEEDED", "result": {"registered": 2, "format": "voc"}}


@pytest.fixture
def dataloop(service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", "dl_test")
    return runner(capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pascal VOC: two pictures, their label files, a mask, and what nobody wants."""
    root = tmp_path / "kitchen"
    for name, body in {
        "JPEGImages/a.jpg": image(b"1"),
        "JPEGImages/b.jpg": image(b"2"),
        "Annotations/a.xml": b"<annotation/>",
        "Annotations/b.xml": b"<annotation/>",
        "SegmentationClass/a.png": image(b"3"),
        ".DS_Store": b"x",
        ".cache/c.jpg": image(b"4"),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def test_pictures_and_labels_are_told_apart_and_packed_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    found = look_into(folder)
    assert [path.name for path in found.pictures] == ["a.jpg", "b.jpg"]
    packed = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        packed.append(pack_labels(found, tmp_path / place))
    assert packed[0].name == packed[1].name and packed[0].read_bytes() == packed[1].read_bytes()
    names = zipfile.ZipFile(packed[0]).namelist()
    assert names == ["Annotations/a.xml", "Annotations/b.xml", "SegmentationClass/a.png"]


def test_a_folder_is_uploaded_and_imported_in_one_call(service: FakeService, dataloop, folder: Path) -> None:
    service.answer("POST", "/imports", TASK)
    service.answer("GET", "/tasks/t1", TASK)
    code, out, _ = dataloop("import", str(folder), "--on-error", "skip", "--dataset", "d1")
    assert (code, out) == (0, "2 annotations from voc\n")
    (call,) = service.calls("POST", "/api/v1/imports")
    name = call.json["object_name"]
    assert call.json == {
        "object_name": name,
        "format": "auto",
        "on_error": "skip",
        "images": "kitchen",
        "dataset_id": "d1",
    }
    assert name.startswith("imports/kitchen/labels-") and name.endswith(".zip")
    assert {"kitchen/JPEGImages/a.jpg", "kitchen/JPEGImages/b.jpg"} <= set(service.objects)
    assert "kitchen/SegmentationClass/a.png" not in service.objects
    assert zipfile.ZipFile(io.BytesIO(service.objects[name])).testzip() is None


def test_a_folder_whose_labels_are_its_folders_names_needs_no_label_file(
    service: FakeService, client: AnkerAutoTrainSDK, tmp_path: Path
) -> None:
    (tmp_path / "cats/train/cat").mkdir(parents=True)
    (tmp_path / "cats/train/cat/a.jpg").write_bytes(image(b"1"))
    service.answer("POST", "/imports", TASK)
    client.import_folder(tmp_path / "cats", format="imagenet", wait=False)
    (call,) = service.calls("POST", "/api/v1/imports")
    assert call.json == {"prefix": "cats", "format": "imagenet", "on_error": "stop"}


def test_one_label_file_names_pictures_that_are_there(
    service: FakeService, client: AnkerAutoTrainSDK, tmp_path: Path
) -> None:
    (tmp_path / "labels.json").write_text("{}")
    service.answer("POST", "/imports", TASK)
    client.import_folder(tmp_path / "labels.json", "site", wait=False)
    (call,) = service.calls("POST", "/api/v1/imports")
    assert call.json == {
        "object_name": "imports/site/labels.json",
        "format": "auto",
        "on_error": "stop",
        "images": "site",
    }


def test_what_is_not_there_is_said_before_anything_is_sent(
    service: FakeService, client: AnkerAutoTrainSDK, tmp_path: Path
) -> None:
    with pytest.raises(LocalFileMissing):
        client.import_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput):
        client.import_folder(tmp_path / "empty")
    assert not service.calls("POST", "/api/v1/imports")


def test_an_export_is_waited_for_verified_and_told_with_its_losses(
    service: FakeService, dataloop, tmp_path: Path
) -> None:
    body = b"an archive"
    service.objects["packed"] = body
    archive = {"file_name": "k-1-voc.zip", "sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}
    file = {"name": "k-1-voc.zip", "url": f"{service.url}/object/packed", "size_bytes": len(body)}
    done = {**TASK, "kind": "export_dataset", "result": {"archive": archive, "files": [file], "losses": {"mask": 3}}}
    service.answer("POST", "/datasets/d1/exports", {**done, "status": "QUEUED", "result": {}})
    service.answer("GET", "/tasks/t1", done)
    code, out, err = dataloop("datasets", "export", "d1", "--format", "voc", "--images", "-d", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path / 'k-1-voc.zip'}\n")
    assert "mask (3 times)" in err
    assert (tmp_path / "k-1-voc.zip").read_bytes() == body
    (call,) = service.calls("POST", "/api/v1/datasets/d1/exports")
    assert call.json == {"format": "voc", "images": True}


def test_an_export_without_an_archive_is_an_error(service: FakeService, client: AnkerAutoTrainSDK) -> None:
    service.answer("POST", "/datasets/d1/exports", TASK)
    service.answer("GET", "/tasks/t1", TASK)
    with pytest.raises(TransferError):
        client.download_exported_dataset("d1", "coco")


def test_the_formats_are_listed(service: FakeService, dataloop) -> None:
    found = [{"name": "voc", "title": "Pascal VOC (XML)", "reads": True, "writes": False, "kinds": ["detection"]}]
    service.answer("GET", "/formats", {"items": found})
    code, out, _ = dataloop("formats", "--json")
    assert (code, json.loads(out)) == (0, found)
    code, out, _ = dataloop("formats")
    assert code == 0 and "Pascal VOC" in out
