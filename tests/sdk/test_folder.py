"""Folder upload: receipts, resume, registration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ankerautotrainsdk import InvalidInput, LocalFileMissing, TransferError, uploads
from ankerautotrainsdk.journal import Journal
from tests.sdk.fake_service import BUCKET, FakeService, Scripted
from tests.sdk.pictures import image

STORE = f"/{BUCKET}"
ASK = "/api/v1/uploads"
INFO = {"region": "CN", "owner": "name"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images, a video in a sub-folder, and three files that are none of our business."""
    root = tmp_path / "shots"
    (root / "day 1").mkdir(parents=True)
    (root / ".thumbs").mkdir()
    for number in range(12):
        (root / f"{number:02}.jpg").write_bytes(image(b"image %d" % number))
    (root / "day 1" / "猫 +.mp4").write_bytes(b"video")
    (root / "notes.txt").write_text("x")
    (root / ".hidden.jpg").write_text("x")
    (root / ".thumbs" / "t.jpg").write_text("x")
    settle(root)
    return root


def settle(root: Path) -> None:
    """Set time stamps back: what was written a moment ago is read again by design."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened to be hashed."""
    names: list[str] = []
    real = uploads.prepare

    def noting(source: uploads.LocalFile) -> uploads.PreparedFile:
        names.append(source.relative)
        return real(source)

    monkeypatch.setattr(uploads, "prepare", noting)
    return names


def test_every_image_gets_a_receipt(service: FakeService, client, folder: Path) -> None:
    heard = []
    receipts = client.upload_folder(folder, raw_data=INFO, on_receipt=heard.append)

    assert receipts.counts() == {"uploaded": 13, "exists": 0, "skipped": 0, "failed": 0, "ignored": 2}
    assert receipts.ignored == (".hidden.jpg", "notes.txt")
    assert sorted(each.path for each in heard) == [each.path for each in receipts]
    video = receipts[-1]
    assert (video.path, video.object_name) == ("day 1/猫 +.mp4", "shots/day 1/猫 +.mp4")
    assert service.objects["shots/00.jpg"] == image(b"image 0")
    stored = service.raw_data[video.uid]
    assert stored == {
        "type": "video",
        "region": "CN",
        "owner": "name",
        "uid": video.uid,
        "storage": {"storageId": video.storage_id, "bucket": BUCKET, "objectName": video.object_name},
    }
    assert video.raw_data_id == video.uid[:24]
    assert len(service.calls("POST", "/api/v1/raw-data/batch")) == 1
    receipts.raise_for_errors()


def test_again_reads_and_sends_nothing(service: FakeService, client, folder: Path, read_paths: list[str]) -> None:
    first = client.upload_folder(folder, "d", raw_data=INFO)
    read_paths.clear()
    service.seen.clear()

    again = client.upload_folder(folder, "d", raw_data=INFO)

    assert again.counts()["skipped"] == 13
    assert read_paths == []
    assert [each.path for each in service.seen] == [ASK]
    drop_status = [{**each.to_dict(), "status": ""} for each in first]
    assert drop_status == [{**each.to_dict(), "status": ""} for each in again]


def test_an_interrupted_upload_goes_on(service: FakeService, client, folder: Path, read_paths: list[str]) -> None:
    seen = []

    def stop_after_five(receipt) -> None:
        seen.append(receipt.path)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.upload_folder(folder, "d", parallel=1, on_receipt=stop_after_five)
    read_paths.clear()

    receipts = client.upload_folder(folder, "d", parallel=1)

    assert receipts.counts()["skipped"] >= 5
    assert not set(seen) & set(read_paths)
    assert len(receipts) == 13
    assert not receipts.failed
    # Sent once each, interrupted or not.
    assert len(service.calls("POST", STORE)) == 13


def test_a_changed_file_is_sent_again(service: FakeService, client, folder: Path, read_paths: list[str]) -> None:
    client.upload_folder(folder, "d")
    read_paths.clear()
    (folder / "03.jpg").write_bytes(image(b"image x"))
    receipts = client.upload_folder(folder, "d")
    assert read_paths == ["03.jpg"]
    assert receipts.counts() == {"uploaded": 1, "exists": 0, "skipped": 12, "failed": 0, "ignored": 2}
    assert service.objects["d/03.jpg"] == image(b"image x")


def test_a_time_stamp_of_this_moment_proves_nothing(client, tmp_path: Path, read_paths: list[str]) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    file = root / "a.jpg"
    file.write_bytes(image(b"1"))
    future = 4_000_000_000_000_000_000  # certainly not before the moment of reading
    os.utime(file, ns=(future, future))
    client.upload_folder(root)
    file.write_bytes(image(b"2"))  # same size, and the clock did not move
    os.utime(file, ns=(future, future))
    assert client.upload_folder(root).counts()["uploaded"] == 1
    assert read_paths == ["a.jpg", "a.jpg"]


def test_a_service_that_forgot_is_told_again(service: FakeService, client, folder: Path) -> None:
    client.upload_folder(folder, "d")
    service.objects.clear()
    receipts = client.upload_folder(folder, "d")
    assert receipts.counts()["uploaded"] == 13
    assert len(service.objects) == 13


def test_new_information_is_registered_without_reading(
    service: FakeService, client, folder: Path, read_paths: list[str]
) -> None:
    client.upload_folder(folder, "d")
    read_paths.clear()
    receipts = client.upload_folder(folder, "d", raw_data=INFO)
    assert receipts.counts()["skipped"] == 13
    assert len(service.raw_data) == 13
    assert read_paths == []


def test_information_by_function(service: FakeService, client, folder: Path) -> None:
    def describe(path: Path, upload) -> dict | None:
        return {"extra": {"name": path.name}, "type": "image"} if path.name < "05" else None

    receipts = client.upload_folder(folder, "d", raw_data=describe)
    assert sorted(each["extra"]["name"] for each in service.raw_data.values()) == [f"{n:02}.jpg" for n in range(5)]
    assert [each.raw_data_id is not None for each in receipts] == [True] * 5 + [False] * 8


def test_refused_information_is_a_failed_receipt_and_tried_again(
    service: FakeService, client, folder: Path, read_paths: list[str]
) -> None:
    receipts = client.upload_folder(folder, "d", raw_data={"type": "sound"})
    assert len(receipts.failed) == 13
    first = receipts.failed[0]
    assert first.error.code == "InvalidInput"
    assert first.error.details.field == "type"
    assert first.uid
    with pytest.raises(TransferError, match=r"13 of 13 files failed; the first is 00\.jpg: type must be"):
        receipts.raise_for_errors()
    read_paths.clear()
    assert not client.upload_folder(folder, "d", raw_data=INFO).failed
    assert read_paths == []


def test_bad_files_do_not_stop_the_others(service: FakeService, client, folder: Path) -> None:
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "refuse.jpg").write_bytes(image(b"x"))
    receipts = client.upload_folder(folder, "d")
    assert {each.path: each.error.code for each in receipts.failed} == {
        "empty.jpg": "InvalidInput",
        "refuse.jpg": "InvalidInput",
    }
    assert receipts.counts()["uploaded"] == 13


def test_a_torn_journal_line_costs_one_question(
    service: FakeService, client, folder: Path, tmp_path: Path, read_paths: list[str]
) -> None:
    journal = tmp_path / "receipts.jsonl"
    client.upload_folder(folder, "d", journal=journal)
    text = journal.read_bytes()
    journal.write_bytes(text[:-20])
    read_paths.clear()
    receipts = client.upload_folder(folder, "d", journal=journal)
    assert (receipts.counts()["skipped"], receipts.counts()["exists"], len(read_paths)) == (12, 1, 1)
    assert len(Journal(journal).read()) == 13


def test_without_resume_there_is_no_journal(client, folder: Path, empty_home: Path, read_paths: list[str]) -> None:
    client.upload_folder(folder, "d", resume=False)
    client.upload_folder(folder, "d", resume=False)
    assert len(read_paths) == 26
    assert not (empty_home / "state").exists()


def test_another_key_does_not_trust_this_ones_journal(service: FakeService, client, folder: Path) -> None:
    from ankerautotrainsdk.config import Credentials
    from ankerautotrainsdk.journal import default_journal

    names = {default_journal(Credentials("http://x", key), folder, "d") for key in ("a", "b", None)}
    assert len(names) == 3


def test_include_decides(service: FakeService, client, folder: Path) -> None:
    receipts = client.upload_folder(folder, "d", include=lambda path: path.suffix == ".txt")
    assert [each.path for each in receipts] == ["notes.txt"]


def test_more_than_one_batch(service: FakeService, client, tmp_path: Path, waits) -> None:
    root = tmp_path / "big"
    root.mkdir()
    for number in range(250):
        (root / f"{number:04}.png").write_bytes(image(b"%d" % number))
    service.script("POST", ASK, Scripted(503))
    service.script("POST", STORE, Scripted(503), Scripted(500))
    receipts = client.upload_folder(root, "d", raw_data=INFO, parallel=8)
    assert receipts.counts()["uploaded"] == 250
    assert len(service.raw_data) == 250
    assert [each.path for each in receipts] == sorted(each.path for each in receipts)


def test_not_a_folder(client, tmp_path: Path) -> None:
    with pytest.raises(LocalFileMissing):
        client.upload_folder(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert len(client.upload_folder(empty)) == 0


def test_information_that_json_cannot_say(client, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="raw_data"):
        client.upload_folder(folder, "d", raw_data={"x": object()})
