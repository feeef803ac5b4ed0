"""One small training in this process, to be started any number of times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataloop_jobs.augmentation import Changes
from dataloop_jobs.checkpoints import CheckpointFolder
from dataloop_jobs.contract import Progress, StopRequest
from dataloop_jobs.dataset import read_dataset
from dataloop_jobs.engine import Engine, Trained, Validate
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import Validation
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Samples
from dataloop_jobs.tensorboard import Board
from tests.jobs.job_folder import QUICK, JobFolder

CPU = torch.device("cpu")


class StopAfter(StopRequest):
    """SIGTERM as if it had come in the middle of a given step."""

    def __init__(self, steps: int):
        self._left = steps

    @property
    def is_requested(self) -> bool:  # type: ignore[override]
        self._left -= 1
        return self._left < 0


class Setting:
    """One small training, to be started any number of times."""

    def __init__(self, job: JobFolder, task: Any, **parameters: Any):
        self.task = task
        self.parameters = Parameters.decode({"task_type": task.name, **QUICK, **parameters})
        self.dataset = read_dataset(job.write().dataset, needs=task.needs)
        self.store = ImageStore(job.images, self.parameters.image_size, 50)
        self.identity = {"learning_rate": self.parameters.learning_rate}
        self.class_weights: Tensor | None = None
        self.open_board: Callable[[int], Board] | None = None

    def samples(self) -> Samples:
        """The training images."""
        return Samples(
            self.task,
            self.dataset.train,
            self.store,
            num_classes=len(self.dataset.labels),
            seed=self.parameters.seed,
            changes=Changes.of(self.parameters),
            class_balance=self.parameters.class_balance,
        )

    def start(
        self, folder: Path, *, stop: StopRequest | None = None, validate: Validate | str | None = "val"
    ) -> Trained:
        """Start in a new process's state: nothing but the checkpoint folder is carried over."""
        folder.mkdir(exist_ok=True)
        torch.manual_seed(self.parameters.seed)
        torch.set_num_threads(1)
        if validate == "val":
            validate = Validation(self.task, self.dataset.val, self.store, self.dataset.labels, CPU)
        engine = Engine(
            self.task,
            self.task.build(self.parameters, len(self.dataset.labels), pretrained=True),
            self.parameters,
            self.samples(),
            num_classes=len(self.dataset.labels),
            validate=validate,  # type: ignore[arg-type]
            checkpoints=CheckpointFolder(folder, self.identity),
            progress=Progress(),
            stop=stop or StopRequest(),
            device=CPU,
            class_weights=self.class_weights,
            open_board=self.open_board,
        )
        trained = engine.run()
        assert trained is not None  # a single process leads
        return trained
