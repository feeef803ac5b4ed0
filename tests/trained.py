"""Two tiny models, trained by the real job on real digits: once a session, for every test that needs one that answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Imported when first used: every test run loads this module, few train.
if TYPE_CHECKING:
    from tests.jobs.job_folder import JobFolder


@dataclass(frozen=True)
class TrainedModel:
    """A model folder, and what its own training job said about the images of the test split."""

    job: JobFolder
    folder: Path

    @property
    def said(self) -> dict[str, list[dict[str, Any]]]:
        """The predictions of predictions.jsonl by uid."""
        lines = (self.job.base / "output" / "data" / "predictions.jsonl").read_text("utf-8").splitlines()
        return {row["uid"]: row["predictions"] for row in map(json.loads, lines)}

    @property
    def images(self) -> dict[str, bytes]:
        """The images of the test split by uid."""
        keys = {entry["uid"]: entry["key"] for entry in self.job.objects}
        return {row["uid"]: (self.job.images / keys[row["uid"]]).read_bytes() for row in self.job.rows["test"]}

    @property
    def description(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "model.json").read_text("utf-8"))
        return found


def _trained(job: JobFolder) -> TrainedModel:
    done = job.write().run("train")
    assert done.returncode == 0, done.stderr
    return TrainedModel(job, job.base / "model")


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainedModel]:
    """Finds digits in scenes of 64 × 64 pixels, badly."""
    from tests.jobs.job_folder import JobFolder

    job = JobFolder(tmp_path_factory.mktemp("detector") / "job")
    yield _trained(job.add_scenes("train", 8).add_scenes("val", 3).add_scenes("test", 5))


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainedModel]:
    """Tells three digits apart."""
    from tests.jobs.job_folder import JobFolder

    job = JobFolder(tmp_path_factory.mktemp("classifier") / "job")
    job.parameters["task_type"] = "classification"
    yield _trained(job.add_crops("train", 12).add_crops("val", 4).add_crops("test", 5))
