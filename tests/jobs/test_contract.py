"""Paths, failure file, progress and SIGTERM, as SageMaker expects them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from dataloop_jobs import contract
from dataloop_jobs.contract import (
    ProcessingFolders,
    Progress,
    StopRequest,
    TrainingFolders,
    forget_failure,
    write_failure,
)
from dataloop_jobs.faults import BadDataset, Interrupted
from dataloop_jobs.json_files import write_json


def test_folders_lie_below_the_base_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    training, processing = TrainingFolders(), ProcessingFolders()
    assert training.model == tmp_path / "model"
    assert training.output == tmp_path / "output" / "data"
    assert training.checkpoints == tmp_path / "checkpoints"
    assert processing.output == tmp_path / "processing" / "output"
    monkeypatch.delenv("SAGEMAKER_BASE_DIR")
    assert contract.base_dir() == Path("/opt/ml")


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="'images' is missing"):
        TrainingFolders(tmp_path).channel("images")
    with pytest.raises(BadDataset, match="'model' is missing"):
        ProcessingFolders(tmp_path).input("model")
    assert TrainingFolders(tmp_path).optional_channel("parent") is None


def test_the_failure_file_keeps_what_sagemaker_keeps(tmp_path: Path) -> None:
    write_failure("x" * 3000, tmp_path)
    assert len((tmp_path / "output" / "failure").read_text()) == 1024
    assert (tmp_path / "output" / "message").is_file()
    forget_failure(tmp_path)
    forget_failure(tmp_path)
    assert not list((tmp_path / "output").iterdir())


def test_progress_is_a_line_and_a_file_and_not_a_flood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("dataloop_jobs.contract.time.time", lambda: 100 + next(clock) * 0.1)
    progress = Progress(tmp_path)
    for done in range(101):
        progress.report("train", done, 100, "steps", loss=0.5)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["dataloop"] == "progress"
    assert (lines[0]["done"], lines[-1]["done"]) == (0, 100)
    assert 10 <= len(lines) <= 13  # ten seconds
    halfway = next(line for line in lines if line["done"] >= 50)
    assert halfway["eta_s"] == pytest.approx(5, abs=0.5)
    stored = json.loads((tmp_path / "progress.json").read_text())
    assert {"phase", "done", "total", "unit", "eta_s", "loss", "learning_rate", "images_per_s", "time"} == set(stored)
    assert stored["eta_s"] == 0


def test_sigterm_is_remembered_until_it_is_convenient() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        stop = StopRequest().listen()
        stop.leave_if_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            stop.leave_if_requested()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_json_files_hold_no_nan_and_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
