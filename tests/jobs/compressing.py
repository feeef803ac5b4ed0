"""Jobs that compress a trained model, in this process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from dataloop_jobs.commands.train import train
from dataloop_jobs.contract import StopRequest, TrainingFolders
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.task_types.surface import TaskType
from tests.jobs.job_folder import LABELS, SIZE, JobFolder
from tests.trained import TrainedModel


def child_of(parent: TrainedModel, base: Path, **parameters: Any) -> JobFolder:
    """A job on the parent's data that starts from the parent's model."""
    shutil.copytree(parent.job.base / "input", base / "input", ignore=shutil.ignore_patterns("parent"))
    shutil.copytree(parent.folder, base / "input" / "data" / "parent")
    job = JobFolder.__new__(JobFolder)
    job.__dict__.update(parent.job.__dict__, base=base, dataset=base / "input" / "data" / "dataset")
    job.config, job.images = base / "input" / "config", base / "input" / "data" / "images"
    job.parameters = {**parent.job.parameters, "frozen_stages": 0, "learning_rate": 2e-4, **parameters}
    return job.write()


class StopInTraining(StopRequest):
    """SIGTERM at the first step of the training proper."""

    def __init__(self, job: JobFolder):
        self._progress = job.base / "checkpoints" / "progress.json"

    @property
    def is_requested(self) -> bool:  # type: ignore[override]
        return self._progress.is_file() and json.loads(self._progress.read_text())["phase"] == "train"


def train_here(job: JobFolder, stop: StopRequest | None = None) -> None:
    """Train in this process, which has imported torch already."""
    folders = TrainingFolders(job.base)
    train(folders, Parameters.decode(folders.hyperparameters()), stop or StopRequest())


def weights_of(job: JobFolder) -> dict[str, torch.Tensor]:
    """The weights of the job's model."""
    weights: dict[str, torch.Tensor] = torch.load(job.base / "model" / "model.pt", weights_only=True)["weights"]
    return weights


def built(task_type: str, **parameters: Any) -> tuple[TaskType, torch.nn.Module]:
    """A task type and its network with random weights, all of it trainable, in evaluation mode."""
    torch.manual_seed(0)
    task: TaskType = TASK_TYPES[task_type].load().IMPLEMENTATION
    given = {"task_type": task_type, "image_size": SIZE, "frozen_stages": 0, **parameters}
    return task, task.build(Parameters.decode(given), len(LABELS), pretrained=False).eval()


def outputs(network: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """The network's raw outputs."""
    with torch.inference_mode():
        found: list[torch.Tensor] = network(images)
        return found
