"""A built version in every writable format: the same bytes every time, by the step or by the job, and back again."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dataloop.catalog.formats import FORMATS
from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, NotFound, ResidencyViolation
from dataloop.domain.residency import Clearance
from dataloop.domain.tasks import Task
from dataloop.formats import registry
from dataloop.formats.sources import ZipSource
from dataloop.services import exporting
from dataloop.services.exporting import JOB_FORMATS
from dataloop.services.steps import run_step
from dataloop_jobs.commands.export_dataset import export_dataset
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from tests.actions import info, labelled, ready_version
from tests.core import ARTIFACTS, RAW, Core

WRITTEN = [name for name, entry in FORMATS.items() if entry.writes]


def step(core: Core, name: str, task_id: str) -> Any:
    return run_step(core.again(), {"step": name, "input": {"tenant": "default", "task_id": task_id}})


def run_job(core: Core, plan: dict[str, Any], base: Path) -> None:
    """What SageMaker does: bring the inputs, run the command, take the output away."""
    for entry in plan["processing_inputs"]:
        place, uri = entry["S3Input"], entry["S3Input"]["S3Uri"]
        target = base / "processing" / "input" / place["LocalPath"].rpartition("/")[2]
        if place["S3DataType"] == "ManifestFile":
            first, *keys = json.loads(core.objects()[uri.removeprefix(f"s3://{ARTIFACTS}/")])
            assert first == {"prefix": f"s3://{RAW}/"}
            found = {key: core.objects(RAW)[key] for key in keys}
        else:
            prefix = uri.removeprefix(f"s3://{ARTIFACTS}/")
            found = {key.removeprefix(prefix): body for key, body in core.objects().items() if key.startswith(prefix)}
        for name, body in found.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(body)
    assert plan["arguments"] == ["export_dataset"]
    folders = ProcessingFolders(base)
    export_dataset(folders, StopRequest())
    for path in folders.output.iterdir():
        core.clients.s3.put_object(
            Bucket=ARTIFACTS,
            Key=f"{plan['output_uri'].removeprefix(f's3://{ARTIFACTS}/')}/{path.name}",
            Body=path.read_bytes(),
        )


def export(core: Core, version_id: str, folder: Path, name: str, *, images: bool = False) -> Task:
    """A request, and the states of dataset_files; the job where the plan says so."""
    task_id = core.services.exporting.request("default", version_id, {"format": name, "images": images}).id
    plan = step(core, "files.prepare", task_id)
    if plan["mode"] == "run":
        step(core, "files.run", task_id)
    else:
        run_job(core, plan, folder / task_id)
    step(core, "files.record", task_id)
    return core.services.tasks.read("default", task_id)


def content(core: Core, task: Task) -> bytes:
    name = task.result["archive"]["file_name"]
    (key,) = [file["key"] for file in task.result["files"] if file["name"] == name]
    return core.objects()[key]


def names(archive: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(archive)).namelist()


@pytest.fixture
def version(core: Core) -> str:
    return str(ready_version(core, labelled(core, 6)).id)


@pytest.mark.parametrize("images", [False, True], ids=["labels", "with images"])
@pytest.mark.parametrize("name", WRITTEN)
def test_every_writable_format_gives_the_same_archive_twice(
    core: Core, version: str, tmp_path: Path, name: str, images: bool
) -> None:
    first, again = (export(core, version, tmp_path, name, images=images) for _ in range(2))
    assert (first.status, first.result["format"], first.result["failed"]) == ("SUCCEEDED", name, 0)
    body = content(core, first)
    assert body == content(core, again)
    # the answer says what the archive is, and the archive says so of itself
    archive = first.result["archive"]
    assert archive == {
        "file_name": f"animals-1-{name}.zip",
        "sha256": hashlib.sha256(body).hexdigest(),
        "size_bytes": len(body),
    }
    packed = zipfile.ZipFile(io.BytesIO(body))
    report = json.loads(packed.read("report.json"))
    assert report == {key: first.result[key] for key in report}
    assert report["digest"] == core.services.curating.get("default", version).digest
    page = packed.read("README.md").decode()
    assert report["digest"] in page and all(what in page for what in report["losses"])
    # and it has six pictures with their own bytes, or none
    originals = {body for key, body in core.objects(RAW).items() if key.startswith("d/")}
    found = {packed.read(entry) for entry in names(body)} & originals
    assert len(found) == (6 if images else 0) == report["pictures"]
    # and an import knows by itself what it is
    if FORMATS[name].reads:
        assert name == registry.recognised(ZipSource(io.BytesIO(body))).NAME


@pytest.mark.parametrize("name", [name for name in WRITTEN if name not in JOB_FORMATS])
def test_the_job_makes_the_bytes_of_the_step(
    core: Core, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    small = export(core, version, tmp_path, name, images=True)
    monkeypatch.setattr(exporting, "MAX_ROWS", 5)
    task_id = core.services.exporting.request("default", version, {"format": name, "images": True}).id
    plan = step(core, "files.prepare", task_id)
    assert plan["mode"] == "job"
    run_job(core, plan, tmp_path / "job")
    step(core, "files.record", task_id)
    large = core.services.tasks.read("default", task_id)
    assert content(core, large) == content(core, small)
    without_keys = [{k: v for k, v in file.items() if k != "key"} for file in large.result["files"]]
    assert without_keys == [{k: v for k, v in file.items() if k != "key"} for file in small.result["files"]]


def test_many_pictures_are_a_jobs_work_and_their_labels_alone_are_not(
    core: Core, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_PICTURE_BYTES", 10)
    modes = []
    for images in (False, True):
        task = core.services.exporting.request("default", version, {"format": "coco", "images": images})
        modes.append(step(core, "files.prepare", task.id)["mode"])
    assert modes == ["run", "job"]


def test_steps_that_come_again_change_nothing(core: Core, version: str) -> None:
    task_id = core.services.exporting.request("default", version, {"format": "voc"}).id
    assert step(core, "files.prepare", task_id) == {"mode": "run"}
    step(core, "files.run", task_id)
    step(core, "files.run", task_id)
    step(core, "files.record", task_id)
    done = core.services.tasks.read("default", task_id)
    step(core, "files.record", task_id)
    assert step(core, "files.prepare", task_id) == {"mode": "done"}
    assert core.services.tasks.read("default", task_id) == done
    (archive, report) = core.services.tasks.files(done)
    assert archive["url"].startswith("https://") and archive["sha256"] == done.result["archive"]["sha256"]
    assert report["name"] == "report.json"


def test_a_picture_that_is_gone_is_named_and_the_others_come(core: Core, version: str, tmp_path: Path) -> None:
    for entry in core.clients.s3.list_object_versions(Bucket=RAW, Prefix="d/i0.jpg")["Versions"]:
        core.clients.s3.delete_object(Bucket=RAW, Key="d/i0.jpg", VersionId=entry["VersionId"])
    task = export(core, version, tmp_path, "coco", images=True)
    assert (task.result["pictures"], task.result["failed"]) == (5, 1)
    assert task.result["problems"] == [{"item": "d/i0.jpg", "reason": "its file is gone"}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "format"),
        ({"format": "labelme"}, "format"),
        ({"format": ["coco"]}, "format"),
        ({"format": "coco", "images": "yes"}, "images"),
    ],
)
def test_a_wrong_wish_is_refused(core: Core, version: str, body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        core.services.exporting.request("default", version, body)
    assert caught.value.field == field


def test_only_what_is_built_and_within_the_keys_clearance_is_exported(core: Core, version: str) -> None:
    draft = core.services.curating.create("default", info("other"))
    refused: list[tuple[str, type[DomainError], dict[str, Any]]] = [
        (draft.id, IllegalTransition, {}),
        ("nobody", NotFound, {}),
        (version, ResidencyViolation, {"clearance": Clearance(regions=frozenset({"EU"}))}),
    ]
    for id, error, more in refused:
        with pytest.raises(error):
            core.services.exporting.request("default", id, {"format": "coco"}, **more)
    assert not [task for task in core.entity("TASK") if task["kind"] == "export_dataset"]
