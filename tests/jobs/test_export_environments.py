"""Heavy converters: where their packages come from, and what a job says that lacks them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataloop_jobs import export_environment
from dataloop_jobs.export_environment import enter_environment
from dataloop_jobs.faults import BadParameter, MissingRequirement
from tests.jobs.job_folder import RUN
from tests.trained import TrainedModel

HERE = ("onnx", "onnx_fp16", "onnx_int8", "openvino", "torchscript", "dockerfile")


@pytest.fixture
def coreml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Core ML is asked for, and its packages are not here."""
    assert importlib.util.find_spec("coremltools") is None
    monkeypatch.setenv("EXPORT_FORMAT", "coreml")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.delenv("DATALOOP_EXPORT_ENVIRONMENTS", raising=False)
    return tmp_path / "environments"


def test_without_an_environment_the_command_to_run_is_named(coreml: Path) -> None:
    with pytest.raises(MissingRequirement, match=r"coremltools.*`make export-environments FORMATS=coreml`"):
        enter_environment(RUN.parent / "exports")


def test_an_environment_that_is_not_there_is_named(coreml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOOP_EXPORT_ENVIRONMENTS", str(coreml))
    with pytest.raises(MissingRequirement, match=r"has no coreml/: run `make export-environments FORMATS=coreml`"):
        enter_environment(RUN.parent / "exports")


def test_the_job_goes_on_in_the_formats_own_environment(coreml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = coreml / "coreml" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("DATALOOP_EXPORT_ENVIRONMENTS", str(coreml))
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(export_environment.os, "execve", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(sys, "argv", ["run.py", "export"])
    enter_environment(RUN.parent / "exports")
    ((program, arguments, environment),) = calls
    assert (program, arguments) == (python, [str(python), "run.py", "export"])
    assert (Path(environment["PYTHONPATH"]) / "dataloop_inference").is_dir()


def test_an_environment_that_lacks_its_packages_is_not_entered_again(
    coreml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = coreml / "coreml" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("DATALOOP_EXPORT_ENVIRONMENTS", str(coreml))
    monkeypatch.setattr(sys, "prefix", str(coreml / "coreml"))
    with pytest.raises(MissingRequirement, match=r"the environment of coreml lacks \['coremltools'\]"):
        enter_environment(RUN.parent / "exports")


def test_a_container_installs_the_formats_own_file(coreml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGEMAKER_BASE_DIR")
    commands: list[list[str]] = []

    def pip(arguments: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(arguments)
        return subprocess.CompletedProcess(arguments, len(commands) - 1, "", "no such host")

    monkeypatch.setattr(export_environment.subprocess, "run", pip)
    enter_environment(RUN.parent / "exports")
    assert commands[0][1:] == ["-m", "pip", "install", "--quiet", "-r", str(RUN.parent / "exports" / "coreml.txt")]
    with pytest.raises(MissingRequirement, match="pip could not install them: no such host"):
        enter_environment(RUN.parent / "exports")


def test_nothing_is_asked_of_a_format_whose_packages_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for format in HERE:
        monkeypatch.setenv("EXPORT_FORMAT", format)
        enter_environment(Path("nowhere"))
    monkeypatch.setenv("EXPORT_FORMAT", "vaidk")
    with pytest.raises(BadParameter, match="EXPORT_FORMAT='vaidk': unknown; there is coreml, dockerfile"):
        enter_environment(Path("nowhere"))


def test_a_job_process_says_what_it_lacks(coreml: Path, detector: TrainedModel, tmp_path: Path) -> None:
    job = detector.job
    environment = {"EXPORT_FORMAT": "coreml", "SAGEMAKER_BASE_DIR": str(tmp_path / "job")}
    done = job.run("export", **environment)
    assert done.returncode == 1
    assert "make export-environments FORMATS=coreml" in (tmp_path / "job" / "output" / "failure").read_text()
