"""A version that is too large for a step is put together by a processing job, on the deployed stack: the same files."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from dataloop.manifests.verifying import verify
from tests.deployed import DeployedStack
from tests.e2e.scenes import dataset_info, upload_scenes

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[DeployedStack]:
    """A stack of its own, where everything is too large for a step."""
    running = DeployedStack(tmp_path / "state", "--stop-grace", "1")
    running.start(StepReduceBytes="0")
    yield running
    running.stop()


def built(client: AnkerAutoTrainSDK, name: str, version: str, ids: list[str], folder: Path) -> dict[str, bytes]:
    """The files of a version of these annotations, downloaded and checked."""
    dataset_id = client.create_dataset(dataset_info(name, version)).dataset_id
    client.link_dataset(ids, dataset_id)
    client.build_dataset(dataset_id, wait=True, timeout_s=120)
    paths = client.download_dataset_files(dataset_id, folder)
    return {Path(path).name: Path(path).read_bytes() for path in paths}


def test_a_job_and_a_step_write_the_same_version(stack: DeployedStack, tmp_path: Path) -> None:
    name = f"large-{uuid.uuid4().hex[:8]}"
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        ids = [entry.annotation_id for entry in upload_scenes(client, tmp_path / "scenes", name, 10, seed=5)]
        by_job = built(client, name, "by job", ids, tmp_path / "job")
    jobs = stack.client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]
    assert [job["ProcessingJobStatus"] for job in jobs] == ["Completed"]
    assert verify(tmp_path / "job").problems == []
    # when the same deployment puts the same members together in a step
    stack.stop()
    stack.start()
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        by_step = built(client, name, "by step", ids, tmp_path / "step")
        dataset_id = client.find_dataset(name, "by step").dataset_id
        ((images,),) = client.query_dataset(dataset_id, "SELECT count(*) FROM images")
    assert images == 10
    assert len(stack.client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]) == 1
    # then all files are the same but for those that name the version
    assert by_job.keys() == by_step.keys()
    for file in by_job.keys() - {"dataset.json", "index.json"}:
        assert by_step[file] == by_job[file], file
