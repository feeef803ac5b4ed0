"""Where a heavy converter's packages come from: this interpreter, an environment of its own, or pip in a container.

Each such format has a requirement file, jobs/exports/<format>.txt. In a SageMaker container it is installed with pip. On
one machine nothing is ever installed behind one's back: `make export-environments` builds one virtual environment a
format, DATALOOP_EXPORT_ENVIRONMENTS names their folder, and the job goes on there as the same process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import dataloop_inference
from dataloop_jobs.contract import DEFAULT_BASE_DIR, base_dir, say
from dataloop_jobs.declarations import EXPORTERS, FORMAT_VARIABLE, find
from dataloop_jobs.faults import MissingRequirement

ENVIRONMENTS_VARIABLE = "DATALOOP_EXPORT_ENVIRONMENTS"


def enter_environment(requirements: Path) -> None:
    """Make the asked format's packages importable. May replace this process by one of the format's own environment.

    requirements: the folder of the requirement files. Raises BadParameter for an unknown format, MissingRequirement
    saying what to run.
    """
    declaration = find(EXPORTERS, FORMAT_VARIABLE, os.environ.get(FORMAT_VARIABLE, "onnx"))
    missing = [module for module in declaration.modules if importlib.util.find_spec(module) is None]
    if not missing:
        return
    file = requirements / f"{declaration.name}.txt"
    if base_dir() == Path(DEFAULT_BASE_DIR):
        _install(file, missing)
        return
    named = os.environ.get(ENVIRONMENTS_VARIABLE)
    command = f"make export-environments FORMATS={declaration.name}"
    if not named:
        raise MissingRequirement(
            f"the format {declaration.name} needs {missing}, which live in an environment of their own: run "
            f"`{command}`, and set {ENVIRONMENTS_VARIABLE} to its folder (docs/exports.md)"
        )
    environment = Path(named).resolve() / declaration.name
    python = environment / "bin" / "python"
    if not python.is_file():
        raise MissingRequirement(f"{ENVIRONMENTS_VARIABLE}={named} has no {declaration.name}/: run `{command}`")
    if Path(sys.prefix).resolve() == environment:
        raise MissingRequirement(f"the environment of {declaration.name} lacks {missing}: run `{command}` again")
    say("environment", format=declaration.name)
    # A checkout keeps this package elsewhere than beside run.py, where a code package has it.
    beside = str(Path(dataloop_inference.__file__).resolve().parents[1])
    environ = {**os.environ, "PYTHONPATH": beside}
    os.execve(python, [str(python), *sys.argv], environ)  # noqa: S606 - the same command line, another interpreter


def _install(file: Path, missing: list[str]) -> None:
    """Into the container, which ends with the job."""
    if not file.is_file():
        raise MissingRequirement(f"packages {missing} are missing and the code package has no exports/{file.name}")
    say("install", modules=missing, source="package index")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "-r", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    importlib.invalidate_caches()
    if done.returncode:
        raise MissingRequirement(f"packages {missing} are missing and pip could not install them: {done.stderr[-500:]}")
