"""Files of a version with the client: downloaded, checked by its own reckoning, asked in SQL that reaches nothing else."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from ankerautotrainsdk.errors import ChecksumMismatch, InvalidInput
from ankerautotrainsdk.manifest_files import check_digest
from dataloop.manifests.tombstones import strike
from tests.properties.version_files import write_version
from tests.sdk.commands import runner
from tests.sdk.fake_service import KEY, FakeService

DATASET = "0190f6f0-0000-7000-8000-000000000001"
pytest.importorskip("duckdb", reason="the extra analytics is not installed")


def serve(service: FakeService, folder: Path) -> str:
    """Offer a version's files; returns its digest."""
    index = json.loads((folder / "index.json").read_bytes())
    files = []
    for path in sorted(folder.iterdir()):
        service.objects[path.name] = path.read_bytes()
        found = {"name": path.name, "size_bytes": path.stat().st_size, "sha256": index["files"].get(path.name)}
        files.append(found | {"url": f"{service.url}/object/{path.name}"})
    answer = {"dataset_id": DATASET, "digest": index["digest"], "format": index["format"], "files": files}
    service.answer("GET", f"/datasets/{DATASET}/files", answer)
    return str(index["digest"])


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Twelve images: cats and dogs with boxes, one image without labels."""
    return write_version(tmp_path / "version")


def test_all_files_come_and_are_checked(
    service: FakeService, client: AnkerAutoTrainSDK, version: Path, tmp_path: Path
) -> None:
    serve(service, version)
    paths = client.download_dataset_files(DATASET, tmp_path / "out")
    assert {Path(path).name: Path(path).read_bytes() for path in paths} == {
        path.name: path.read_bytes() for path in version.iterdir()
    }


def test_rows_that_do_not_give_the_digest_are_refused(
    service: FakeService, client: AnkerAutoTrainSDK, version: Path, tmp_path: Path
) -> None:
    # given a service that says the digest of what it changed is right
    changed = (version / "train.jsonl").read_bytes().replace(b'"label":"cat"', b'"label":"dog"', 1)
    (version / "train.jsonl").write_bytes(changed)
    index = json.loads((version / "index.json").read_bytes())
    index["files"]["train.jsonl"] = hashlib.sha256(changed).hexdigest()
    (version / "index.json").write_text(json.dumps(index))
    serve(service, version)
    with pytest.raises(ChecksumMismatch, match="the version's is"):
        client.download_dataset_files(DATASET, tmp_path / "out")


def test_a_version_with_deleted_images_gives_the_same_digest(version: Path, tmp_path: Path) -> None:
    digest = json.loads((version / "index.json").read_bytes())["digest"]
    check_digest(version, digest)
    uid = json.loads((version / "train.jsonl").read_bytes().splitlines()[0])["uid"]
    target = tmp_path / "struck"
    target.mkdir()
    strike(version, target, [uid], "d", "2026-11-22T12:00:00.000Z")
    check_digest(target, digest)
    (target / "tombstones.jsonl").unlink()
    with pytest.raises(ChecksumMismatch):
        check_digest(target, digest)


def test_sql_reads_the_tables(service: FakeService, client: AnkerAutoTrainSDK, version: Path) -> None:
    serve(service, version)
    rows = {split: len((version / f"{split}.jsonl").read_bytes().splitlines()) for split in ("train", "val", "test")}
    found = client.query_dataset(DATASET, "SELECT split, images FROM splits WHERE images > 0")
    assert found.columns == ("split", "images")
    assert dict(found) == {split: count for split, count in rows.items() if count}
    statistics = json.loads((version / "index.json").read_bytes())["statistics"]
    counts = dict(client.query_dataset(DATASET, "SELECT label, count(*) FROM labels GROUP BY label"))
    assert counts == {label: sum(splits.values()) for label, splits in statistics.items()}
    ((images, without),) = client.query_dataset(DATASET, "SELECT count(*), count(*) FILTER (labels = 0) FROM images")
    assert (images, without) == (12, 1)


def test_the_files_come_once_and_again_after_a_deletion(
    service: FakeService, client: AnkerAutoTrainSDK, version: Path, tmp_path: Path, empty_home: Path
) -> None:
    serve(service, version)
    for _ in range(2):
        list(client.query_dataset(DATASET, "SELECT 1"))
    assert len(service.calls("GET", "/object/train.jsonl")) == 1
    # when an image is deleted from the version
    uid = json.loads((version / "train.jsonl").read_bytes().splitlines()[0])["uid"]
    target = tmp_path / "struck"
    target.mkdir()
    strike(version, target, [uid], "d", "2026-11-22T12:00:00.000Z")
    serve(service, target)
    # then neither the answer nor a file in the cache has it
    ((count,),) = client.query_dataset(DATASET, f"SELECT count(*) FROM images WHERE uid = '{uid}'")
    assert count == 0
    kept = [path for path in (empty_home / ".cache").rglob("*") if path.is_file() and path.name != "tombstones.jsonl"]
    assert kept
    assert not [path for path in kept if uid.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('/etc/*')",
        "COPY images TO '{file}'",
        "ATTACH '{file}.duckdb' AS other",
        "EXPORT DATABASE '{file}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET temp_directory = '{file}'",
        "CREATE TABLE mine AS SELECT 1",
        "DROP TABLE images",
        "DELETE FROM labels",
        "SELECT 1; SELECT 2",
        "",
        "SELEC",
        "SELECT nothing FROM images",
    ],
)
def test_sql_reaches_nothing_else(
    service: FakeService, client: AnkerAutoTrainSDK, version: Path, tmp_path: Path, statement: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    serve(service, version)
    with pytest.raises(InvalidInput):
        list(client.query_dataset(DATASET, statement.replace("{file}", str(secret))))
    assert secret.read_text() == "a,b\n1,2\n"
    assert {path.name for path in tmp_path.iterdir()} == {"version", "secret.csv"}


def test_the_command_prints_tables_json_and_csv(
    service: FakeService, version: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    serve(service, version)
    dataloop = runner(capsys)
    statement = "SELECT label, count(*) AS boxes FROM labels GROUP BY label ORDER BY label"
    expected: list[dict[str, Any]] = [{"label": "cat", "boxes": 11}, {"label": "dog", "boxes": 11}]
    code, text, _ = dataloop("sql", DATASET, statement, "--json")
    assert (code, json.loads(text)) == (0, expected)
    code, text, _ = dataloop("sql", DATASET, statement, "--csv")
    assert [dict(row) for row in csv.DictReader(io.StringIO(text))] == [
        {"label": row["label"], "boxes": str(row["boxes"])} for row in expected
    ]
    code, text, _ = dataloop("sql", DATASET, statement)
    assert code == 0
    assert "cat" in text
    assert "2 rows" in text
    code, _, error = dataloop("sql", DATASET, "SELECT nothing FROM labels")
    assert code == 1
    assert "InvalidInput" in error


def test_the_command_downloads_the_files(
    service: FakeService, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("DATALOOP_URL", service.url)
    monkeypatch.setenv("DATALOOP_API_KEY", KEY)
    serve(service, version)
    code, text, _ = runner(capsys)("datasets", "files", DATASET, "-d", str(tmp_path / "out"))
    assert code == 0
    assert {Path(line).name for line in text.split()} == {path.name for path in version.iterdir()}
