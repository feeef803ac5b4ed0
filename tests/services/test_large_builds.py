"""A version that is too large for a step is put together by a job: the same bytes. Builds that are cut off go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataloop import bootstrap
from dataloop.domain.errors import InvalidInput, NotFound
from dataloop.manifests.tombstones import strike
from dataloop.manifests.verifying import verify
from dataloop.repositories import keys
from dataloop.services import building
from dataloop_jobs.commands.reduce import reduce
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from dataloop_jobs.faults import BadDataset
from tests.actions import info, labelled, run_build
from tests.core import ARTIFACTS, Core, account

AT = "2026-11-22T12:00:00.000Z"


def draft(core: Core, ids: list[str], version: str = "1", **more: Any) -> str:
    made = core.services.curating.create("default", info(version=version) | more)
    core.services.curating.link("default", made.id, ids)
    return made.id


def joined(core: Core, version_id: str) -> str:
    """A build that is planned and joined."""
    task = core.services.building.request_build("default", version_id)
    plan = core.services.building.plan("default", task.id)
    for key in [name for name in core.objects() if name.startswith(plan["parts_prefix"])]:
        core.services.building.join("default", task.id, key)
    return task.id


def run_job(core: Core, job: dict[str, Any], base: Path) -> None:
    """What SageMaker does with the request: inputs from S3 to disk, the command, its output back."""
    for entry in job["processing_inputs"]:
        prefix = entry["S3Input"]["S3Uri"].split("/", 3)[3]
        folder = base / entry["S3Input"]["LocalPath"].removeprefix("/opt/ml/")
        folder.mkdir(parents=True)
        for key, body in core.objects().items():
            if key.startswith(prefix):
                (folder / key.removeprefix(prefix)).write_bytes(body)
    folders = ProcessingFolders(base)
    reduce(folders, StopRequest())
    for path in folders.output.iterdir():
        core.stores.artifacts.upload(path, f"{job['output_uri'].split('/', 3)[3]}/{path.name}")


def files_of(core: Core, version_id: str) -> dict[str, bytes]:
    prefix = f"default/manifests/{version_id}/"
    return {key.removeprefix(prefix): body for key, body in core.objects().items() if key.startswith(prefix)}


def test_a_job_writes_the_same_bytes_as_a_step(core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PART_IDS", 3)
    id = draft(core, labelled(core, 11))
    task_id = joined(core, id)
    # given the same build where everything is too large for a step
    limited = bootstrap.build(core.clients, replace(core.settings, step_reduce_bytes=0), core.clock)
    job = limited.building.reduce("default", task_id)
    assert (job["mode"], job["passed"]) == ("processing", False)
    assert files_of(core, id) == {}
    # when the job has run, and its files are published twice
    run_job(core, job, tmp_path)
    published = [core.again().building.publish("default", task_id) for _ in range(2)]
    by_job = files_of(core, id)
    # then a step gives the same answer and the same bytes
    assert published == [core.services.building.reduce("default", task_id)] * 2
    assert published[0]["passed"]
    assert files_of(core, id) == by_job
    core.services.building.mark_ready("default", task_id)
    assert core.services.curating.get("default", id).digest == published[0]["digest"]


def test_a_job_whose_parts_are_not_all_there_says_which(tmp_path: Path) -> None:
    with account(step_reduce_bytes=0) as core:
        task_id = joined(core, draft(core, labelled(core, 2)))
        job = core.services.building.reduce("default", task_id)
        core.clients.s3.delete_object(Bucket=ARTIFACTS, Key=f"default/builds/{task_id}/reports/part-00000.json")
        with pytest.raises(BadDataset, match=r"reports/part-00000\.json"):
            run_job(core, job, tmp_path)


def test_a_refused_split_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    # a list puts two images of one group on two sides, and the policy refuses that
    refused = {"leaks": "refuse", "group": "extra.scene"}
    reasons = []
    for limit in (10**9, 0):
        with account(step_reduce_bytes=limit) as core:
            ids = labelled(core, 2)
            for id, split in zip(ids, ("train", "test"), strict=True):
                (uid,) = core.services.annotating.get("default", id).data_ids
                core.services.registering.register_metadata(
                    "default", {"uid": uid, "type": "image", "extra": {"scene": "s", "split": split}}
                )
            task_id = joined(core, draft(core, ids, split=refused))
            found = core.services.building.reduce("default", task_id)
            if found["mode"] == "processing":
                run_job(core, found, tmp_path)
                found = core.services.building.publish("default", task_id)
            assert not found["passed"]
            reasons.append(found["reason"])
    assert reasons[0] == reasons[1]
    assert reasons[0].startswith("split: ")


def test_a_part_that_was_joined_is_not_joined_again(core: Core) -> None:
    id = draft(core, labelled(core, 4))
    task_id = joined(core, id)
    key = f"default/builds/{task_id}/parts/part-00000.json"
    core.clients.calls.clear()
    assert core.again().building.join("default", task_id, key) == {"rows": 4}
    assert not core.clients.of("dynamodb")["dynamodb.BatchGetItem"]
    assert not core.clients.of("s3")["s3.PutObject"]


def test_a_part_that_was_cut_differently_is_joined_again(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a build that died after its joins, and a plan that is made again with other parts
    ids = labelled(core, 5)
    id = draft(core, ids)
    task_id = joined(core, id)
    monkeypatch.setattr(building, "PART_IDS", 2)
    # when everything runs again
    run_build(core, task_id)
    # then no image is doubled or lost
    assert core.services.curating.get("default", id).status == "READY"
    assert files_of(core, id)["members.txt"].decode().split() == sorted(ids)
    assert sum(json.loads(files_of(core, id)["index.json"])["counts"].values()) == 5


def test_a_reduce_without_all_parts_fails(core: Core) -> None:
    task_id = joined(core, draft(core, labelled(core, 2)))
    core.clients.s3.delete_object(Bucket=ARTIFACTS, Key=f"default/builds/{task_id}/shards/part-00000.json")
    with pytest.raises(NotFound):
        core.services.building.reduce("default", task_id)


def test_the_newest_built_version_is_the_anchor_for_ever(core: Core) -> None:
    ids = labelled(core, 3)
    first = draft(core, ids)
    run_build(core, core.services.building.request_build("default", first).id)
    second = draft(core, ids, version="2")
    task = core.services.building.request_build("default", second)
    assert core.services.curating.get("default", second).anchor_id == first
    run_build(core, task.id)
    assert core.services.curating.get("default", first).anchor_id is None
    assert json.loads(files_of(core, second)["index.json"])["anchor"] == first


def ready(core: Core, ids: list[str]) -> str:
    id = draft(core, ids)
    run_build(core, core.services.building.request_build("default", id).id)
    return id


def rebuild(core: Core, version_id: str) -> dict[str, Any]:
    """As a run of a loop does: the same version once more."""
    task = core.services.building.request_build("default", version_id, parent_id="run")
    plan = core.services.building.plan("default", task.id)
    for key in [name for name in core.objects() if name.startswith(plan["parts_prefix"])]:
        core.services.building.join("default", task.id, key)
    return core.services.building.reduce("default", task.id)


def test_a_ready_version_is_never_written_again(core: Core) -> None:
    id = ready(core, labelled(core, 3))
    digest = core.services.curating.get("default", id).digest
    versions = core.clients.s3.list_object_versions(Bucket=ARTIFACTS, Prefix=f"default/manifests/{id}/")["Versions"]
    assert rebuild(core, id)["digest"] == digest
    again = core.clients.s3.list_object_versions(Bucket=ARTIFACTS, Prefix=f"default/manifests/{id}/")["Versions"]
    assert [entry["VersionId"] for entry in again] == [entry["VersionId"] for entry in versions]


def test_a_rebuild_that_comes_out_different_fails(core: Core) -> None:
    ids = labelled(core, 3)
    id = ready(core, ids)
    (uid,) = core.services.annotating.get("default", ids[0]).data_ids
    core.services.registering.register_metadata("default", {"uid": uid, "type": "image", "region": "elsewhere"})
    before = files_of(core, id)
    with pytest.raises(InvalidInput, match="rebuild differs"):
        rebuild(core, id)
    assert files_of(core, id) == before


def test_a_version_with_deleted_images_still_verifies_and_rebuilds(core: Core, tmp_path: Path) -> None:
    # given a version from which an image was deleted since
    ids = labelled(core, 5)
    id = ready(core, ids)
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    for name, body in files_of(core, id).items():
        (source / name).write_bytes(body)
    digest = core.services.curating.get("default", id).digest
    assert (verify(source).problems, verify(source).digest) == ([], digest)
    (uid,) = core.services.annotating.get("default", ids[0]).data_ids
    strike(source, target, [uid], "deletion", AT)
    for name in source.iterdir():
        if not (target / name.name).exists():
            (target / name.name).write_bytes(name.read_bytes())
    verdict = verify(target)
    assert (verdict.problems, verdict.digest, verdict.erased) == ([], digest, 1)
    for path in target.iterdir():
        core.stores.artifacts.upload(path, f"default/manifests/{id}/{path.name}")
    core.stores.table.update(keys.version("default", id), set={"erased": 1})
    # when it is built again, the image being there or not, then its digest is the same
    assert rebuild(core, id)["digest"] == digest
