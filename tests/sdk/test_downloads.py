"""Files on their way to this machine: whole or not at all, and never outside the folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ankerautotrainsdk import ChecksumMismatch, ConnectionFailed, InvalidInput, NotFound, TaskFailed, TransferError
from ankerautotrainsdk.filenames import last_component, safe_file_name
from tests.sdk.fake_service import BUCKET, FakeService, Scripted

CONTENT = b"picture " * 1000
UID = hashlib.sha256(CONTENT).hexdigest()[:32]
NAME = "2024-10-24/cables_pack.jpg"


@pytest.fixture
def stored(service: FakeService) -> FakeService:
    service.objects[NAME] = CONTENT
    return service


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "call",
    [
        lambda c, to: c.download_file_by_uid(UID, to),
        lambda c, to: c.download_image(UID, to),
        lambda c, to: c.download_image(uid=UID, directory=to),
        lambda c, to: c.download_file_by_storage("2vcrqyykgmaql", BUCKET, NAME, to),
        lambda c, to: c.download_image("2vcrqyykgmaql", BUCKET, NAME, to),
        lambda c, to: c.download_image(storage_id="2vcrqyykgmaql", bucket=BUCKET, object_name=NAME, directory=to),
    ],
)
def test_every_spelling(stored: FakeService, client, tmp_path: Path, call) -> None:
    target = tmp_path / "not" / "there yet"
    result = call(client, str(target))
    assert Path(result).read_bytes() == CONTENT
    assert result.path == str(target / "cables_pack.jpg")
    assert (result.sha256[:32], result.size_bytes) == (UID, len(CONTENT))
    assert names_in(target) == ["cables_pack.jpg"]
    assert "authorization" not in stored.seen[-1].headers


def test_without_directory(stored: FakeService, client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client.download_image(UID)
    client.download_image("2vcrqyykgmaql", BUCKET, NAME)
    assert names_in(tmp_path) == ["cables_pack.jpg"]


@pytest.mark.parametrize("arguments", [(), ("a", "b", "c", "d", "e")])
def test_download_image_with_a_wrong_number_of_arguments(client, arguments) -> None:
    with pytest.raises(TypeError):
        client.download_image(*arguments)


def test_the_same_content_is_not_fetched_twice(stored: FakeService, client, tmp_path: Path) -> None:
    first = client.download_image(UID, tmp_path)
    stored.seen.clear()
    assert client.download_image(UID, tmp_path) == first
    assert len(stored.seen) == 1


def test_other_content_of_that_name_is_kept(stored: FakeService, client, tmp_path: Path) -> None:
    mine = tmp_path / "cables_pack.jpg"
    mine.write_bytes(b"mine")
    first = client.download_image(UID, tmp_path)
    again = client.download_image(UID, tmp_path)
    assert mine.read_bytes() == b"mine"
    assert first.path == again.path == str(tmp_path / f"cables_pack.{UID[:8]}.jpg")
    by_storage = client.download_image("s", BUCKET, NAME, tmp_path)
    assert by_storage.path == first.path
    assert len(names_in(tmp_path)) == 2


def test_overwrite_replaces(stored: FakeService, client, tmp_path: Path) -> None:
    mine = tmp_path / "cables_pack.jpg"
    mine.write_bytes(b"mine")
    assert client.download_file_by_uid(UID, tmp_path, overwrite=True).path == str(mine)
    assert mine.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "bad",
    [Scripted(200, raw=CONTENT[:-1] + b"x"), Scripted(200, raw=CONTENT, cut=100), Scripted(200, raw=b"")],
)
def test_wrong_bytes_are_fetched_again_and_never_kept(
    stored: FakeService, client, tmp_path: Path, waits, bad: Scripted
) -> None:
    stored.script("GET", f"/object/{NAME}", bad)
    assert client.download_image(UID, tmp_path).path
    stored.script("GET", f"/object/{NAME}", *[bad] * 9)
    other = tmp_path / "other"
    with pytest.raises((ChecksumMismatch, ConnectionFailed)):
        client.download_image(UID, other)
    assert names_in(other) == []


def test_an_expired_link_is_renewed(stored: FakeService, client, tmp_path: Path) -> None:
    stored.script("GET", f"/object/{NAME}", Scripted(403))
    assert client.download_image(UID, tmp_path).size_bytes == len(CONTENT)
    assert len(stored.calls("GET", f"/api/v1/files/{UID}/link")) == 2


def test_the_storage_does_not_deliver(stored: FakeService, client, tmp_path: Path) -> None:
    stored.script("GET", f"/object/{NAME}", Scripted(404))
    with pytest.raises(TransferError, match="HTTP 404"):
        client.download_image(UID, tmp_path)
    assert names_in(tmp_path) == []


def test_an_unknown_uid(service: FakeService, client, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        client.download_image("0" * 32, tmp_path)
    assert names_in(tmp_path) == []


def test_a_directory_that_is_a_file(stored: FakeService, client, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput):
        client.download_image(UID, tmp_path / "file")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "..", "", "a\x00b", "x" * 400])
def test_a_hostile_name_stays_in_the_folder(service: FakeService, client, tmp_path: Path, name: str) -> None:
    service.objects["o"] = CONTENT
    service.answer("GET", f"/files/{UID}/link", {"url": f"{service.url}/object/o", "file_name": name})
    target = tmp_path / "in"
    path = Path(client.download_image(UID, target))
    assert path.parent == target
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["in"]


@given(st.text(max_size=300))
def test_safe_names_are_one_component(name: str) -> None:
    for windows in (False, True):
        safe = safe_file_name(name, windows=windows)
        assert safe not in ("", ".", "..")
        assert not set(safe) & set("/\\\x00\n")
        assert len(safe.encode()) < 255
        assert not windows or not set(safe) & set('<>:"|?*')
        assert safe_file_name(name, windows=windows) == safe


@pytest.mark.parametrize("name", ["cables_pack.jpg", "猫 + 狗.jpeg", "a+b c%20.png", ".profile", "a:b.jpg"])
def test_ordinary_names_are_kept(name: str) -> None:
    assert safe_file_name(name, windows=False) == name


def test_two_names_do_not_become_one() -> None:
    assert len({safe_file_name(name) for name in ("a/b", "a\\b", "a_b", "a\nb")}) == 4
    assert last_component("a/b\\c.jpg") == "c.jpg"


# ---- datasets --------------------------------------------------------------------------------------------------------

FILE = b'{"images": []}'


def task(status: str, **more) -> dict:
    return {"task_id": "t1", "kind": "download", "status": status, "phase": None, "progress": None, **more}


@pytest.fixture
def dataset_id(service: FakeService, client) -> str:
    created = client.create_dataset({"datasetName": "test dataset", "datasetVersion": "v2"})
    service.objects["export"] = FILE
    return created.dataset_id


def done(service: FakeService) -> dict:
    digest = hashlib.sha256(FILE).hexdigest()
    url = f"{service.url}/object/export"
    return task("SUCCEEDED", result={"url": url, "file_name": "x.json", "sha256": digest, "size_bytes": len(FILE)})


def test_download_of_a_built_version(service: FakeService, client, dataset_id: str, tmp_path: Path) -> None:
    service.tasks[f"download-{dataset_id}"] = [done(service)]
    result = client.download_dataset(dataset_name="test dataset", dataset_version="v2", directory=str(tmp_path))
    assert result.path == str(tmp_path / "test dataset_v2.json")
    assert Path(result).read_bytes() == FILE
    assert service.calls("GET", "/api/v1/tasks/t1") == []


def test_download_of_a_draft_waits(
    service: FakeService, client, dataset_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ankerautotrainsdk.operations.tasks.time.sleep", lambda seconds: None)
    service.tasks[f"download-{dataset_id}"] = [task("QUEUED")]
    service.tasks["t1"] = [task("RUNNING"), task("RUNNING"), done(service)]
    assert client.download_dataset("test dataset", "v2", tmp_path).size_bytes == len(FILE)
    assert len(service.calls("GET", "/api/v1/tasks/t1")) == 3


def test_download_of_a_draft_that_fails(service: FakeService, client, dataset_id: str, tmp_path: Path) -> None:
    service.tasks[f"download-{dataset_id}"] = [task("QUEUED")]
    service.tasks["t1"] = [task("FAILED", error={"code": "EmptyDataset", "message": "no annotation is linked"})]
    with pytest.raises(TaskFailed, match="no annotation is linked") as caught:
        client.download_dataset("test dataset", "v2", tmp_path)
    assert caught.value.code == "EmptyDataset"
    assert names_in(tmp_path) == []


def test_a_dataset_name_with_separators(service: FakeService, client, tmp_path: Path) -> None:
    created = client.create_dataset({"datasetName": "../a/b", "datasetVersion": "v/1"})
    service.objects["export"] = FILE
    service.tasks[f"download-{created.dataset_id}"] = [done(service)]
    path = Path(client.download_dataset("../a/b", "v/1", tmp_path))
    assert path.parent == tmp_path
    assert path.suffix == ".json"


def test_an_unknown_dataset(service: FakeService, client, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        client.download_dataset("nothing", "v1", tmp_path)
