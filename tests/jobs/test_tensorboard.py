"""Event files: what a training writes can be read back, also after it went on from a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import SessionLog

from dataloop_jobs.faults import Interrupted
from dataloop_jobs.task_types.detection import Detection
from dataloop_jobs.tensorboard import Board
from tests.jobs.event_files import events, scalars
from tests.jobs.job_folder import JobFolder
from tests.jobs.training import Setting, StopAfter


def test_a_training_leaves_its_curves(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 8).add_scenes("val", 2), Detection(), tensorboard=True)
    setting.open_board = partial(Board, tmp_path / "board")
    trained = setting.start(tmp_path / "c")
    found = scalars(tmp_path / "board")
    losses = dict(found["train/loss"])
    assert sorted(losses) == [1, 2, 3, 4]  # two steps an epoch
    for epoch, entry in enumerate(trained.history):
        assert (losses[2 * epoch + 1] + losses[2 * epoch + 2]) / 2 == pytest.approx(entry["train_loss"], rel=1e-5)
        assert dict(found["val/loss"])[2 * epoch + 2] == pytest.approx(entry["val_loss"], rel=1e-5)
        assert dict(found["val/metric"])[2 * epoch + 2] == pytest.approx(entry["val_metric"], abs=1e-6)
        assert dict(found["learning/rate"])[2 * epoch + 2] == pytest.approx(entry["learning_rate"], rel=1e-5)


def test_a_second_start_hides_what_it_writes_again(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 8), Detection(), tensorboard=True)
    setting.open_board = partial(Board, tmp_path / "first")
    with pytest.raises(Interrupted):
        setting.start(tmp_path / "c", validate=None, stop=StopAfter(2))
    setting.open_board = partial(Board, tmp_path / "second")
    setting.start(tmp_path / "c", validate=None)
    assert [step for step, _ in scalars(tmp_path / "first")["train/loss"]] == [1, 2, 3]
    assert [step for step, _ in scalars(tmp_path / "second")["train/loss"]] == [4]
    (file,) = (tmp_path / "second").iterdir()
    starts = [event.step for event in events(file) if event.session_log.status == SessionLog.START]
    assert starts == [3]  # TensorBoard drops what another file has from this step on


def test_without_the_parameter_nothing_is_written(job: JobFolder, tmp_path: Path) -> None:
    job.add_scenes("train", 2)
    job.parameters["epochs"] = 1
    done = job.write().run("train")
    assert done.returncode == 0, done.stderr
    assert not (job.base / "output" / "tensorboard").exists()
