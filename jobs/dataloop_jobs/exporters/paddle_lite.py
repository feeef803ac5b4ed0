"""PaddleX's "lite": a Paddle Lite model (.nb) for ARM phones and boards, made by Paddle Lite's own optimiser.

The optimiser's last wheels are for Python 3.7, so it runs in an environment of its own below the format's (Makefile:
export-environments). What it writes for ARM cannot run on x86; the same tool's x86 model can, and is what is compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.session import Outputs, onnx_runner
from dataloop_jobs.conversion import paddle_lite_tool
from dataloop_jobs.exporters import paddle_inference
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import FLOAT32, Runner, Verification, compare
from dataloop_jobs.faults import MissingRequirement, VerificationFailed

MODEL = "model_arm.nb"
# Below the prefix of the format's own environment.
OPTIMISER = Path("paddle_lite_opt") / "bin" / "python"


def export(job: ExportJob) -> list[Path]:
    """The inference model, optimised for ARM. Raises MissingRequirement without the optimiser."""
    _python()
    with tempfile.TemporaryDirectory() as scratch:
        files = _optimised(job, Path(scratch), "arm")
        for file in files:
            (job.folder / file.name).write_bytes(file.read_bytes())
    return [job.folder / file.name for file in files]


def verify(job: ExportJob) -> Verification:
    """The optimiser's x86 model in Paddle Lite's own engine, against ONNX Runtime."""
    reference = onnx_runner(job.model.graph, job.threads)
    with tempfile.TemporaryDirectory() as scratch:
        model, _ = _optimised(job, Path(scratch), "x86")
        agreement = compare("paddle_lite", reference, _runner(model), job.inputs(), FLOAT32.limit)
    details = {
        "paddlelite": "2.12",
        "ran": "the x86 model of the same optimiser run, in Paddle Lite's engine; the ARM model needs an ARM device",
    }
    return Verification("program", "onnx", agreement, FLOAT32.reason, None, None, details)


def _optimised(job: ExportJob, scratch: Path, target: str) -> list[Path]:
    """model_<target>.nb and model.yml in the scratch folder."""
    inner = ExportJob(job.model, scratch, job.dataset, job.images, job.threads)
    program, weights, description = paddle_inference.export(inner)
    stem = scratch / f"model_{target}"
    _tool("optimise", str(program), str(weights), target, str(stem))
    return [stem.with_suffix(".nb"), description]


def _runner(model: Path) -> Runner:
    def run(images: NDArray[np.float32]) -> Outputs:
        with tempfile.TemporaryDirectory() as scratch:
            inputs, outputs = Path(scratch, "inputs"), Path(scratch, "outputs")
            inputs.write_bytes(np.ascontiguousarray(images).tobytes())
            said = _tool("run", str(model), str(images.shape[-1]), str(inputs), str(outputs))
            shapes = json.loads(said.splitlines()[-1])
            content = np.frombuffer(outputs.read_bytes(), np.float32)
        return _split(content, len(images), shapes)

    return run


def _split(content: NDArray[np.float32], images: int, shapes: Sequence[Sequence[int]]) -> Outputs:
    """One flat row an image → the outputs of the batch."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    if content.size != images * sum(sizes):
        raise VerificationFailed(f"paddle_lite: {content.size} numbers for {images} images of outputs {shapes}")
    parts = np.split(content.reshape(images, -1), np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(images, *shape[1:]) for part, shape in zip(parts, shapes, strict=True)]


def _python() -> Path:
    python = Path(sys.prefix) / OPTIMISER
    if not python.is_file():
        raise MissingRequirement(
            "paddle_lite needs Paddle Lite's optimiser, whose last wheels are for Python 3.7: install a Python 3.7 and "
            "run `make export-environments FORMATS=paddle_lite` (docs/exports.md); or export paddle_inference"
        )
    return python


def _tool(*arguments: str) -> str:
    """Run the tool in its own Python; returns its standard output. Raises VerificationFailed with its last words."""
    command = [str(_python()), paddle_lite_tool.__file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-500:]
        raise VerificationFailed(f"paddle_lite: {arguments[0]} failed ({done.returncode}): {words}")
    return done.stdout
