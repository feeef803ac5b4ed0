"""Two processes train what one would, stop together, and say together what went wrong. Over gloo, on a CPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dataloop_jobs.contract import Hosts, TrainingFolders
from dataloop_jobs.faults import BadDataset
from dataloop_jobs.launcher import Plan
from tests.jobs.event_files import scalars
from tests.jobs.job_folder import RUN, JobFolder


def two_of(job: JobFolder, base: Path) -> tuple[JobFolder, JobFolder]:
    """The same job twice: for one process and for two."""
    job.write()
    other = JobFolder(base)
    for name in ("rows", "objects", "labels", "spec"):
        setattr(other, name, getattr(job, name))
    shutil.copytree(job.images, other.images, dirs_exist_ok=True)
    other.parameters = {**job.parameters, "processes_per_host": 2}
    return job, other.write()


def curve(job: JobFolder) -> list[tuple[int, float]]:
    return scalars(job.base / "output" / "tensorboard")["train/loss"]


def weights(job: JobFolder) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(job.base / "model" / "model.pt", weights_only=True)["weights"]
    return found


@pytest.mark.parametrize("task_type", ["detection", "classification"])
def test_two_processes_have_the_loss_curve_of_one(job: JobFolder, tmp_path: Path, task_type: str) -> None:
    # 9 images by 4: the last batch of an epoch has one image, and the second process none that counts. Scenes have one
    # or two digits each, so that the processes see different numbers of objects; classification has dropout.
    add = job.add_scenes if task_type == "detection" else job.add_crops
    add("train", 9)
    add("val", 4)
    job.parameters.update(task_type=task_type, tensorboard=True, epochs=3, ema_decay=0.9, augment="flip")
    if task_type == "classification":
        job.parameters["class_balance"] = "loss"
    one, two = two_of(job, tmp_path / "two")
    for each in (one, two):
        done = each.run("train")
        assert done.returncode == 0, done.stderr
    alone, together = curve(one), curve(two)
    assert [step for step, _ in alone] == [step for step, _ in together] == list(range(1, 10))
    for (_, expected), (_, found) in zip(alone, together, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert [entry["val_loss"] for entry in two.output("history.json")] == pytest.approx(
        [entry["val_loss"] for entry in one.output("history.json")], rel=1e-3
    )
    for name, expected_weights in weights(one).items():
        assert torch.allclose(weights(two)[name], expected_weights, rtol=1e-3, atol=1e-4), name


def _start(job: JobFolder, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(RUN), "train"],
        env={**job.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _first_step(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{") and json.loads(line).get("phase") == "train":
            found: dict[str, Any] = json.loads(line)
            return found
    raise AssertionError(process.stderr.read() if process.stderr else "")


def _children(process: subprocess.Popen[str]) -> list[int]:
    """The training processes, in the order of their ranks (they are started in it)."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return sorted(
        child
        for child in map(int, task.read_text().split())
        if b"run.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


def _long(base: Path) -> JobFolder:
    """A training of 20 steps in two processes; the same one each time."""
    job = JobFolder(base)
    job.add_scenes("train", 4).add_scenes("val", 2)
    job.parameters.update(processes_per_host=2, epochs=20, evaluate_every=20)
    return job.write()


@pytest.fixture
def long_job(tmp_path: Path) -> JobFolder:
    return _long(tmp_path / "long")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of the long training when nothing happens."""
    job = _long(tmp_path_factory.mktemp("undisturbed") / "job")
    done = job.run("train")
    assert done.returncode == 0, done.stderr
    return weights(job)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finding one of the processes needs Linux's /proc")
@pytest.mark.parametrize("victim", ["all", "second"])
def test_sigterm_on_any_process_stops_all_and_a_second_start_gives_the_same_bits(
    long_job: JobFolder, undisturbed: dict[str, torch.Tensor], victim: str
) -> None:
    with _start(long_job) as process:
        first = _first_step(process)
        os.kill(process.pid if victim == "all" else _children(process)[1], signal.SIGTERM)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 143, errors
    assert not long_job.failure
    position = torch.load(long_job.base / "checkpoints" / "last.pt", weights_only=True)["position"]
    assert first["done"] <= position["step"] < first["total"]

    done = long_job.run("train")
    assert done.returncode == 0, done.stderr
    assert all(torch.equal(weights(long_job)[name], value) for name, value in undisturbed.items())


def test_a_process_that_fails_is_named_with_its_reason(long_job: JobFolder) -> None:
    # Only the first process reads the val split.
    key = next(place["key"] for place in long_job.objects if place["uid"] == long_job.rows["val"][0]["uid"])
    (long_job.images / key).write_bytes(b"not an image")
    done = long_job.run("train")
    assert done.returncode == 1
    assert long_job.failure.startswith("process 0 of 2 on host localhost: image uid=")
    assert "another content than the manifest says" in long_job.failure


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finding one of the processes needs Linux's /proc")
def test_a_process_that_is_killed_is_said_to_be_lost(long_job: JobFolder) -> None:
    with _start(long_job) as process:
        _first_step(process)
        os.kill(_children(process)[1], signal.SIGKILL)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 1, errors
    assert long_job.failure.startswith("process 1 of 2 on host localhost was killed by SIGKILL (out of memory?")


def test_two_hosts_train_as_one(job: JobFolder, tmp_path: Path) -> None:
    job.add_scenes("train", 6)
    job.parameters.update(epochs=2)
    one, leader = two_of(job, tmp_path / "leader")
    assert one.run("train").returncode == 0
    leader.parameters["processes_per_host"] = 1
    leader.write()
    follower = JobFolder(tmp_path / "follower")
    shutil.copytree(leader.base, follower.base, dirs_exist_ok=True)
    names = ["127.0.0.1", "localhost"]
    port = {"MASTER_PORT": str(_free_port())}
    for folder, name in zip((leader, follower), names, strict=True):
        config = {"hosts": names, "current_host": name, "network_interface_name": "lo"}
        (folder.config / "resourceconfig.json").write_text(json.dumps(config))
    with _start(leader, **port) as first, _start(follower, **port) as second:
        for process in (first, second):
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
    losses = [[entry["train_loss"] for entry in each.output("history.json")] for each in (one, leader)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert (leader.base / "model" / "model.onnx").is_file()
    assert not list((follower.base / "model").iterdir())
    assert not list((follower.base / "checkpoints").iterdir())


def test_the_hosts_of_a_job_come_from_resourceconfig_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SM_HOSTS", "SM_CURRENT_HOST", "SM_NETWORK_INTERFACE_NAME"):
        monkeypatch.delenv(name, raising=False)
    folders = TrainingFolders(tmp_path)
    assert folders.hosts() == Hosts(("localhost",), "localhost", None)
    monkeypatch.setenv("SM_HOSTS", '["algo-1", "algo-2"]')
    monkeypatch.setenv("SM_CURRENT_HOST", "algo-2")
    assert folders.hosts() == Hosts(("algo-1", "algo-2"), "algo-2", None)
    folders.config.mkdir(parents=True)
    config = {"hosts": ["a", "b", "c"], "current_host": "b", "network_interface_name": "eth0"}
    (folders.config / "resourceconfig.json").write_text(json.dumps(config))
    assert folders.hosts() == Hosts(("a", "b", "c"), "b", "eth0")
    assert folders.hosts().number == 1
    (folders.config / "resourceconfig.json").write_text(json.dumps({**config, "current_host": "x"}))
    with pytest.raises(BadDataset, match="current_host 'x' is not one of hosts"):
        folders.hosts()


def test_processes_are_one_a_gpu_unless_it_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(("a", "b"), "a", None)
    monkeypatch.setenv("SM_NUM_GPUS", "4")
    assert Plan.of(hosts, 0).processes == 8
    assert Plan.of(hosts, 3).processes == 6
    monkeypatch.setenv("SM_NUM_GPUS", "0")
    assert Plan.of(hosts, 0).processes == 2


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
