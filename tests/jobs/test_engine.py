"""The training loop: resume is bitwise, failures keep what was there, choices are said."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dataloop_jobs.checkpoints import CheckpointFolder
from dataloop_jobs.contract import Progress, StopRequest
from dataloop_jobs.dataset import read_dataset
from dataloop_jobs.engine import Engine, Trained, Validate
from dataloop_jobs.faults import BadCheckpoint, Interrupted, TrainingDiverged
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import Validation
from dataloop_jobs.parameters import Parameters
from dataloop_jobs.samples import Samples
from dataloop_jobs.schedule import rate
from dataloop_jobs.task_types.classification import Classification
from dataloop_jobs.task_types.detection import Detection
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
        self.dataset = read_dataset(job.write().dataset, needs_boxes=task.needs_boxes)
        self.store = ImageStore(job.images, self.parameters.image_size, 50)
        self.identity = {"learning_rate": self.parameters.learning_rate}

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
            Samples(
                self.task,
                self.dataset.train,
                self.store,
                augment_kind=self.parameters.augment,
                seed=self.parameters.seed,
            ),
            num_classes=len(self.dataset.labels),
            validate=validate,  # type: ignore[arg-type]
            checkpoints=CheckpointFolder(folder, self.identity),
            progress=Progress(),
            stop=stop or StopRequest(),
            device=CPU,
        )
        return engine.run()


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def numbers(history: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """History without what a clock says."""
    return [tuple(entry[name] for name in ("epoch", "train_loss", "val_loss", "val_metric")) for entry in history]


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (Detection(), {"ema_decay": 0.9, "augment": "flip"}),
        (Classification(), {"workers": 2}),  # has dropout: torch's random state counts
    ],
)
def test_stopped_at_every_step_and_resumed_the_weights_are_the_same_bits(
    job: JobFolder, tmp_path: Path, task: Any, options: dict[str, Any]
) -> None:
    if task.needs_boxes:
        job.add_scenes("train", 9).add_scenes("val", 4)
    else:
        job.add_crops("train", 9).add_crops("val", 4)
    setting = Setting(job, task, **options)
    whole = setting.start(tmp_path / "whole")

    stops = 0
    for _ in itertools.count():
        try:
            pieces = setting.start(tmp_path / "pieces", stop=StopAfter(0))
            break
        except Interrupted:
            stops += 1
    assert stops == 6  # 9 images by 4 are 3 steps an epoch, in 2 epochs
    assert same(whole.weights, pieces.weights)
    assert numbers(whole.history) == numbers(pieces.history)
    assert whole.best_epoch == pieces.best_epoch


def test_a_finished_training_that_is_started_again_does_no_step(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4).add_scenes("val", 2), Detection())
    first = setting.start(tmp_path / "c")
    again = setting.start(tmp_path / "c", stop=StopAfter(0))
    assert same(first.weights, again.weights)


def test_a_loss_that_is_not_a_number_fails_and_keeps_the_checkpoint(
    job: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(job.add_scenes("train", 8).add_scenes("val", 2), Detection())
    calls = itertools.count()
    real = Detection.loss

    def spoiled(self: Detection, *arguments: Any) -> Tensor:
        return real(self, *arguments) * (math.nan if next(calls) >= 3 else 1.0)

    monkeypatch.setattr(Detection, "loss", spoiled)
    with pytest.raises(TrainingDiverged, match=r"the loss became nan .* epoch 2, step 4, with learning_rate=0.002"):
        setting.start(tmp_path / "c", validate=lambda network: (1.0, 0.5))
    kept = CheckpointFolder(tmp_path / "c", setting.identity).load()
    assert kept is not None
    assert kept["position"]["epoch"] == 1


def test_a_real_learning_rate_that_is_far_too_high_is_named_or_survived(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(
        job.add_crops("train", 8), Classification(), learning_rate=1.0, backbone_rate=1.0, frozen_stages=0, epochs=6
    )
    try:
        setting.start(tmp_path / "c", validate=None)
    except TrainingDiverged as diverged:
        assert "learning_rate=1" in str(diverged)


def test_without_a_validation_split_the_training_loss_chooses_and_that_is_said(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection())
    trained = setting.start(tmp_path / "c", validate=None)
    assert "val split is empty" in trained.selection
    assert {(entry["val_loss"], entry["val_metric"]) for entry in trained.history} == {(None, None)}
    losses = [entry["train_loss"] for entry in trained.history]
    assert trained.best_epoch == losses.index(min(losses)) + 1


def test_a_validation_split_without_boxes_chooses_by_its_loss(job: JobFolder, tmp_path: Path) -> None:
    job.add_scenes("train", 4)
    job.add("val", b"", [])
    job.rows["val"][0].update(job.rows["train"][0], annotations=[])
    setting = Setting(job, Detection())
    trained = setting.start(tmp_path / "c")
    assert trained.selection.startswith("lowest validation loss")


def test_the_best_epoch_is_kept_and_patience_ends_the_training(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection(), epochs=9, early_stop_patience=2)
    metrics = iter([0.1, 0.7, 0.6, 0.7, 0.9])
    seen: list[dict[str, Tensor]] = []

    def validate(network: nn.Module) -> tuple[float, float]:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return 1.0, next(metrics)

    trained = setting.start(tmp_path / "c", validate=validate)
    assert trained.best_epoch == 2
    assert len(trained.history) == 4
    assert trained.stop_reason == "no better result in 2 validations"
    assert same(trained.weights, seen[1])


def test_the_cpu_limit_ends_the_training_with_a_usable_result(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 12).add_scenes("val", 2), Detection(), epochs=500, max_cpu_seconds=0.05)
    trained = setting.start(tmp_path / "c")
    assert trained.stop_reason == "max_cpu_seconds=0.05 reached in epoch 1"
    assert len(trained.history) == 1
    assert trained.weights


def test_another_runs_checkpoint_is_refused_and_the_difference_named(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection())
    setting.start(tmp_path / "c", validate=None)
    setting.identity = {"learning_rate": 0.5}
    with pytest.raises(BadCheckpoint, match=r"learning_rate 0\.002 → 0\.5"):
        setting.start(tmp_path / "c", validate=None)


@pytest.mark.parametrize("damage", ["last.pt", "best.pt"])
def test_a_damaged_checkpoint_is_set_aside_and_training_starts_again(
    job: JobFolder, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection())
    first = setting.start(tmp_path / "c", validate=None)
    content = (tmp_path / "c" / damage).read_bytes()
    (tmp_path / "c" / damage).write_bytes(content[: len(content) // 2])
    again = setting.start(tmp_path / "c", validate=None)
    assert same(first.weights, again.weights)
    assert (tmp_path / "c" / f"{damage}.unreadable").is_file()
    assert '"warning"' in capsys.readouterr().out


def test_bfloat16_steps_train_too(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection(), precision="bfloat16")
    trained = setting.start(tmp_path / "c", validate=None)
    assert all(value.dtype == torch.float32 for value in trained.weights.values())


def test_the_learning_rate_rises_then_falls_to_almost_nothing() -> None:
    rates = [rate(step, 100, 0.1) for step in range(100)]
    assert rates[9] == max(rates) == 1
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001
    assert rate(0, 1, 0.0) == 1
