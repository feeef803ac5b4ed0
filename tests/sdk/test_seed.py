"""Every code block of the SDK's document runs as written, but for the url, local paths and made-up ids.

Once against the small service of these tests, for the client alone, and once against the deployed stack.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.sdk import seed_blocks as blocks
from tests.sdk.fake_service import KEY, FakeService


def picture(seed: int) -> bytes:
    """A real JPEG of the size that the document declares."""
    image = pytest.importorskip("PIL.Image", reason="Pillow (extra `local`) makes the picture")
    buffer = io.BytesIO()
    image.new("RGB", (1920, 1080), (seed % 256, 80, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


class Document:
    """Runs the blocks one after the other in one namespace, as a reader would."""

    def __init__(self, url: str, folder: Path, content: bytes) -> None:
        self.names: dict[str, Any] = {}
        (folder / "test.jpeg").write_bytes(content)
        self.replaced = {
            "https://dataloop.anker-in.com": url,
            "test.jpeg": str(folder / "test.jpeg"),
            "/home/save": str(folder / "save"),
            "/home/ivan": str(folder / "ivan"),
        }

    def run(self, block: str, **made_up: str) -> Any:
        """Execute a block, with the made-up ids of the document (given as id_<id>) replaced by real ones."""
        ids = {key.removeprefix("id_"): value for key, value in made_up.items()}
        for old, new in {**self.replaced, **ids}.items():
            block = block.replace(f'"{old}"', f'"{new}"')
        exec(compile(block, "seed 000", "exec"), self.names)
        return self.names


def run_whole_document(document: Document, prepare_download) -> tuple[dict[str, Any], Path]:
    names = document.run(blocks.INIT)
    document.run(blocks.UPLOAD)
    document.run(blocks.RAW_DATA)
    uploaded = names["upload_response"]
    document.run(blocks.ANNOTATION, id_b20911d85ce768742def204b032a95c7=uploaded.uid)
    annotation_id = names["annotation_response"].annotation_data_id
    document.run(blocks.DATASET)
    document.run(blocks.LINK, id_66f519f20c11b8a33cd2aa7b=annotation_id)

    by_storage = blocks.DOWNLOAD_BY_STORAGE.replace("2024-10-24/cables_pack.jpg", uploaded.object_name)
    by_storage = by_storage.replace("data-sync-storage", uploaded.bucket)
    document.run(by_storage, id_2vcrqyykgmaql=uploaded.storage_id)
    document.run(blocks.DOWNLOAD_BY_UID, id_b20911d85ce768742def204b032a95c7=uploaded.uid)
    prepare_download(names)
    document.run(blocks.DOWNLOAD_DATASET)
    return names, Path(document.replaced["/home/save"])


def check(names: dict[str, Any], save: Path, content: bytes) -> str:
    uploaded = names["upload_response"]
    assert uploaded.uid == hashlib.sha256(content).hexdigest()[:32]
    assert set(uploaded) >= {"url", "bucket", "storage_id", "object_name", "uid"}
    assert len(uploaded.storage_id) == 13
    assert uploaded.object_name == "test/test.jpeg"
    assert len(names["annotation_response"].annotation_data_id) == 24
    assert names["create_datast_response"].dataset_id
    assert names["link_response"].linked == 1
    # Two ways to download the same file: one file.
    assert [path.name for path in save.iterdir()] == ["test.jpeg"]
    assert (save / "test.jpeg").read_bytes() == content
    text = Path(names["download_dataset_response"].path).read_text("utf-8")
    json.loads(text)
    return text


def test_the_document_with_the_client_alone(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    content = picture(1)

    def prepare(names: dict[str, Any]) -> None:
        service.objects["export"] = b"{}"
        result = {"url": f"{service.url}/object/export", "sha256": hashlib.sha256(b"{}").hexdigest(), "size_bytes": 2}
        dataset_id = names["create_datast_response"].dataset_id
        service.tasks[f"download-{dataset_id}"] = [{"task_id": "t", "status": "SUCCEEDED", "result": result}]

    names, save = run_whole_document(Document(service.url, tmp_path, content), prepare)
    check(names, save, content)


@pytest.mark.stack
def test_the_document_with_the_deployed_stack(stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOOP_API_KEY", stack.key)
    content = picture(time.time_ns())

    def until_registered(names: dict[str, Any]) -> None:
        deadline_s = time.monotonic() + 60
        uid = names["upload_response"].uid
        while (record := names["client"].get_raw_data(uid)).status != "REGISTERED":
            assert time.monotonic() < deadline_s, record

    names, save = run_whole_document(Document(stack.url, tmp_path, content), until_registered)
    text = check(names, save, content)
    assert names["upload_response"].uid in text
    assert names["annotation_response"].annotation_data_id in text
