"""Files on their way into the storage."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.formparser import FormDataParser, parse_options_header

from ankerautotrainsdk import (
    ApiError,
    ConnectionFailed,
    InvalidInput,
    LocalFileMissing,
    TransferError,
    Unauthenticated,
)
from ankerautotrainsdk.multipart import FormUpload
from ankerautotrainsdk.uploads import LocalFile, prepare
from tests.sdk.fake_service import BUCKET, FakeService, Scripted
from tests.sdk.pictures import image

STORE = f"/{BUCKET}"


class Wire:
    """Collects what would be sent."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, data) -> None:
        self.sent += bytes(data)


def parsed(body: FormUpload) -> tuple[dict[str, str], bytes]:
    wire = Wire()
    body.send(wire)  # type: ignore[arg-type]
    assert len(wire.sent) == int(body.headers["Content-Length"])
    mime, options = parse_options_header(body.headers["Content-Type"])
    _, fields, files = FormDataParser(stream_factory=lambda **_: BytesIO()).parse(
        BytesIO(wire.sent), mime, len(wire.sent), options
    )
    # S3 ignores every field after the file.
    assert body._preamble.rpartition(b"Content-Disposition")[2].startswith(b': form-data; name="file"')
    return fields.to_dict(), files["file"].read()


@given(
    content=st.binary(max_size=300),
    fields=st.dictionaries(
        st.from_regex(r"[a-zA-Z-]{1,20}", fullmatch=True).filter(lambda name: name != "file"),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        max_size=5,
    ),
)
@settings(deadline=None)
def test_a_form_body_is_read_back_as_it_was_meant(content: bytes, fields: dict[str, str]) -> None:
    assert parsed(FormUpload(fields, content, len(content))) == (fields, content)


def test_a_large_file_is_sent_in_pieces(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(bytes(range(256)) * 10_000)
    assert parsed(FormUpload({"key": "k"}, file, 2_560_000))[1] == file.read_bytes()


def test_a_file_that_became_shorter_is_not_sent_wrong(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"12345")
    with pytest.raises(TransferError, match="became shorter"):
        FormUpload({}, file, 6).send(Wire())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["test.jpeg", "猫 + 狗 (1).jpeg", "a+b%20c.png", "#?&=.jpg"])
def test_upload_file(service: FakeService, client, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    content = image(b"\r\n--not a boundary \x00" * 10)
    file.write_bytes(content)

    answer = client.upload_file(str(file), "test")

    digest = hashlib.sha256(content).hexdigest()
    assert answer.uid == answer["uid"] == digest[:32]
    assert (answer.bucket, answer.storage_id) == (BUCKET, "2vcrqyykgmaql")
    assert answer.object_name == f"test/{name}"
    assert answer.url
    assert service.objects[f"test/{name}"] == content
    assert service.object_fields[f"test/{name}"]["x-amz-meta-uid"] == digest[:32]
    (store,) = service.calls("POST", STORE)
    assert "authorization" not in store.headers


def test_both_names_and_an_empty_directory(service: FakeService, client, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(image(b"a"))
    first = client.upload_image(file)
    again = client.upload_file(file, directory="")
    assert first.object_name == again.object_name == "2024-10-24/a.jpg"
    assert (first.exists, again.exists) == (False, True)
    assert len(service.calls("POST", STORE)) == 1


def test_a_video_over_the_hold_limit(service: FakeService, client, tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"0123456789abcdef" * 600_000)
    assert prepare(LocalFile(file, "", "a")).content is None
    service.script("POST", STORE, Scripted(503))
    client.upload_file(file, "v")
    assert service.objects["v/a.mp4"] == file.read_bytes()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: None, LocalFileMissing),
        (lambda path: path.write_bytes(b""), InvalidInput),
        (lambda path: path.mkdir(), InvalidInput),
    ],
)
def test_what_cannot_be_uploaded(service: FakeService, client, tmp_path: Path, make, kind) -> None:
    path = tmp_path / "x.jpg"
    make(path)
    with pytest.raises(kind):
        client.upload_file(path)
    assert service.seen == []


@pytest.mark.parametrize("path", ["", None, 3])
def test_what_is_no_path(client, path) -> None:
    with pytest.raises(InvalidInput):
        client.upload_file(path)


def test_a_missing_file_is_also_a_file_not_found_error(client) -> None:
    with pytest.raises(FileNotFoundError):
        client.upload_file("/nowhere/a.jpg")


def test_the_storage_fails_and_recovers(service: FakeService, client, tmp_path: Path, waits) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(image(b"a" * 1000))
    slow = b"<Error><Code>RequestTimeout</Code><Message>too slow</Message></Error>"
    service.script("POST", STORE, Scripted(503), Scripted(drop=True), Scripted(400, raw=slow))
    client.upload_file(file, "t")
    assert service.objects["t/a.jpg"] == image(b"a" * 1000)
    # The drop on a kept connection is repeated at once, the two answers after a wait.
    assert len(waits) == 2


def test_the_storage_refuses(service: FakeService, client, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(image(b"a"))
    service.script("POST", STORE, Scripted(400, raw=b"<Error><Code>BadDigest</Code><Message>differs</Message></Error>"))
    with pytest.raises(TransferError, match=r"refused a\.jpg: BadDigest differs") as caught:
        client.upload_file(file, "t")
    assert caught.value.details["storage_code"] == "BadDigest"
    assert len(service.calls("POST", STORE)) == 1


def test_many_files_keep_their_order_and_their_errors(service: FakeService, client, tmp_path: Path) -> None:
    paths = []
    for number in range(230):
        path = tmp_path / f"{number:03}.jpg"
        path.write_bytes(image(b"%d" % number))
        paths.append(path)
    paths[7] = tmp_path / "missing.jpg"
    paths[8] = tmp_path / "refused.jpg"
    paths[8].write_bytes(image(b"r"))
    paths[9] = paths[10]

    batch = client.upload_files(paths, "many", parallel=4)

    assert len(batch) == 230
    assert [place for place, _ in batch.errors] == [7, 8]
    assert isinstance(batch[7], LocalFileMissing)
    assert isinstance(batch[8], InvalidInput)
    assert all(batch[place].object_name == f"many/{paths[place].name}" for place in range(230) if place not in (7, 8))
    assert len(service.calls("POST", "/api/v1/uploads")) == 3


def test_a_refused_key_stops_everything_at_once(service: FakeService, client, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(image(b"a"))
    service.script("POST", "/api/v1/uploads", Scripted(401, {"code": "Unauthenticated", "message": "expired"}))
    with pytest.raises(Unauthenticated):
        client.upload_files([file] * 500)
    assert len(service.seen) == 1


def test_a_dead_storage_ends_the_run(service: FakeService, client, tmp_path: Path) -> None:
    paths = []
    for number in range(60):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(image(b"%d" % number))
        paths.append(path)
    service.script("POST", STORE, *[Scripted(drop=True)] * 10_000)
    with pytest.raises(ConnectionFailed):
        client.upload_files(paths, "t", parallel=2)
    # 60 files x 4 tries would be 240.
    assert len(service.calls("POST", STORE)) < 100


def test_one_path_is_no_list(client) -> None:
    with pytest.raises(InvalidInput, match="list of paths"):
        client.upload_files("a.jpg")


def test_bad_arguments(client, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="parallel"):
        client.upload_files([], parallel=0)
    with pytest.raises(InvalidInput, match="directory"):
        client.upload_file(tmp_path, 3)
    assert len(client.upload_files([])) == 0
    assert issubclass(InvalidInput, ApiError)
