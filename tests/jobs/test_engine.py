"""The training loop: resume is bitwise, failures keep what was there, choices are said."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dataloop_jobs.checkpoints import CheckpointFolder
from dataloop_jobs.faults import BadCheckpoint, BadParameter, DiskFull, Interrupted, TrainingDiverged
from dataloop_jobs.inference import Validation
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.sampling import class_weights
from dataloop_jobs.task_types.classification import Classification
from dataloop_jobs.task_types.detection import Detection
from tests.jobs.job_folder import JobFolder
from tests.jobs.training import CPU, Setting, StopAfter


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def numbers(history: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """History without what a clock says."""
    return [tuple(entry[name] for name in ("epoch", "train_loss", "val_loss", "val_metric")) for entry in history]


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (Detection(), {"ema_decay": 0.9, "augment": "flip", "mosaic": 0.5}),
        (Classification(), {"workers": 2, "mixup": 0.2, "schedule": "step"}),  # has dropout
        (Detection(), {"class_balance": "sampling", "rotate": 10, "blur": 1.0}),
        (Detection(), {"precision": "float16", "schedule": "constant"}),  # the gradient scale is state too
    ],
)
def test_stopped_at_every_step_and_resumed_the_weights_are_the_same_bits(
    job: JobFolder, tmp_path: Path, task: Any, options: dict[str, Any]
) -> None:
    if task.needs == "box":
        job.add_scenes("train", 9).add_scenes("val", 4)
    else:
        job.add_crops("train", 9).add_crops("val", 4)
    setting = Setting(job, task, **options)
    whole = setting.start(tmp_path / "whole")

    stops = 0
    steps = math.ceil(len(setting.samples()) / 4)
    for _ in itertools.count():
        try:
            pieces = setting.start(tmp_path / "pieces", stop=StopAfter(0))
            break
        except Interrupted:
            stops += 1
    assert stops == 2 * steps  # in 2 epochs
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

    def spoiled(self: Detection, *arguments: Any) -> list[Term]:
        factor = math.nan if next(calls) >= 3 else 1.0
        return [Term(term.total * factor, term.count, term.least) for term in real(self, *arguments)]

    monkeypatch.setattr(Detection, "loss", spoiled)
    with pytest.raises(TrainingDiverged, match=r"the loss became nan .* step 4 of 4, with learning_rate=0.002"):
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
    job.add_scenes("train", 4).add_scenes("val", 1)
    job.rows["val"][0]["annotations"] = []
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


def test_float16_leaves_out_steps_that_overflow_and_then_trains(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection(), precision="float16", epochs=6)
    trained = setting.start(tmp_path / "c", validate=None)
    state = torch.load(tmp_path / "c" / "last.pt", weights_only=True)
    assert state["scaler"]["scale"] <= 65536
    assert all(torch.isfinite(value).all() for value in trained.weights.values())
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_weighted_labels_change_the_loss_and_are_the_mean_weighted_by_them(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_crops("train", 8), Classification(), epochs=1, batch_size=8, augment="none")
    plain = setting.start(tmp_path / "plain", validate=None)
    setting.class_weights = torch.from_numpy(class_weights(setting.dataset.train, 3))
    balanced = setting.start(tmp_path / "balanced", validate=None)
    assert plain.history[0]["train_loss"] != balanced.history[0]["train_loss"]
    setting.class_weights = torch.full((3,), 7.0)
    same_weights = setting.start(tmp_path / "same", validate=None)
    assert same_weights.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=1e-5)


def test_sigterm_during_a_validation_is_heeded_and_the_validation_repeated(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 6).add_scenes("val", 3), Detection(), epochs=2)
    whole = setting.start(tmp_path / "whole")

    def leave() -> None:
        raise Interrupted("SIGTERM")

    cut_short = Validation(setting.task, setting.dataset.val, setting.store, setting.dataset.labels, CPU, leave)
    with pytest.raises(Interrupted, match="during a validation"):
        setting.start(tmp_path / "pieces", validate=cut_short)
    kept = CheckpointFolder(tmp_path / "pieces", setting.identity).load()
    assert kept is not None
    assert (kept["position"]["epoch"], kept["position"]["step"]) == (0, 2)
    pieces = setting.start(tmp_path / "pieces")
    assert same(whole.weights, pieces.weights)
    assert numbers(whole.history) == numbers(pieces.history)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, a device that is always full, is Linux's")
def test_a_disk_that_fills_is_named_and_the_earlier_checkpoint_kept(job: JobFolder, tmp_path: Path) -> None:
    setting = Setting(job.add_scenes("train", 4), Detection(), epochs=1)
    folder = tmp_path / "c"
    setting.start(folder, validate=None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "last.pt.part").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match=r"checkpoints/last\.pt \(.* MB\) could not be written: No space left on device"):
        CheckpointFolder(folder, setting.identity).save({"position": {}})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile warns of torch.jit
def test_compiling_without_a_compiler_is_refused_by_name(
    job: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    torch._dynamo.reset()
    setting = Setting(job.add_scenes("train", 4), Detection(), compile=True, epochs=1)
    with pytest.raises(BadParameter, match=r"compile=True: torch\.compile does not work in this container .*no-such"):
        setting.start(tmp_path / "c", validate=None)


def test_what_is_left_is_estimated_from_this_start_and_bounded_by_the_cpu_limit(
    job: JobFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1000.0, 2.0)
    monkeypatch.setattr("dataloop_jobs.contract.time.time", lambda: next(clock))
    setting = Setting(job.add_scenes("train", 8), Detection(), epochs=3)
    with pytest.raises(Interrupted):
        setting.start(tmp_path / "c", validate=None, stop=StopAfter(3))
    capsys.readouterr()
    setting.start(tmp_path / "c", validate=None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    estimates = [(line["done"], line["eta_s"]) for line in lines if line.get("phase") == "train"]
    # Two seconds a step: nothing is known at the first one; the four steps of the first start do not count.
    assert estimates == [(5, None), (6, 0.0)]

    limited = Setting(job, Detection(), epochs=1000, max_cpu_seconds=1.0)
    limited.start(tmp_path / "limited", validate=None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    bounded = [line["eta_s"] for line in lines if line.get("phase") == "train" and line["eta_s"] is not None]
    assert max(bounded) < 100  # by the steps alone it would be more than an hour
