"""Core ML: an ML program for iOS 16, macOS 13 and newer, float32, as model.mlpackage in a zip archive.

Apple's runtime does not exist for Linux. What is checked here is the saved program itself: see conversion/mil_program.py.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dataloop_inference.session import onnx_runner
from dataloop_jobs.conversion.mil_program import program_runner
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import FLOAT32, Verification, compare, one_by_one
from dataloop_jobs.faults import VerificationFailed
from dataloop_jobs.model_folder import load_network

PACKAGE, ARCHIVE = "model.mlpackage", "model.mlpackage.zip"


def export(job: ExportJob) -> list[Path]:
    """Convert the network of model.pt through torch.export; the batch is fixed to one image."""
    size = job.model.image_size
    network = load_network(job.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
            warnings.simplefilter("ignore")
            import coremltools

            program = torch.export.export(network.eval(), (torch.zeros(1, 3, size, size),)).run_decompositions({})
            converted = coremltools.convert(
                program,
                convert_to="mlprogram",
                outputs=[coremltools.TensorType(name=name) for name in job.model.task.output_names],
                minimum_deployment_target=coremltools.target.iOS16,
                compute_precision=coremltools.precision.FLOAT32,
                skip_model_load=True,
            )
            converted.save(str(Path(scratch, PACKAGE)))
            return [_zipped(Path(scratch), job.folder / ARCHIVE)]
    finally:
        logging.disable(previous)


def verify(job: ExportJob) -> Verification:
    """The saved program, run operator by operator, against ONNX Runtime; and what the package says of itself."""
    reference = onnx_runner(job.model.graph, job.threads)
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(job.folder / ARCHIVE) as archive:
            archive.extractall(scratch)
        package = Path(scratch, PACKAGE)
        _check_description(job, package)
        candidate = one_by_one(program_runner(package))
        agreement = compare("coreml", reference, candidate, job.inputs(), FLOAT32.limit)
    details = {
        "coremltools": version("coremltools"),
        "ran": "the saved program, by an interpreter of its operators; Apple's runtime needs an Apple device",
    }
    return Verification("program", "onnx", agreement, FLOAT32.reason, None, None, details)


def _check_description(job: ExportJob, package: Path) -> None:
    """Names and shapes that a client will ask for. Raises VerificationFailed."""
    import coremltools

    said: Any = coremltools.models.MLModel(str(package), skip_model_load=True).get_spec().description
    size = job.model.image_size
    inputs = [(item.name, list(item.type.multiArrayType.shape)) for item in said.input]
    if inputs != [(job.model.description["input"], [1, 3, size, size])]:
        raise VerificationFailed(f"coreml: the package's inputs are {inputs}")
    outputs = [item.name for item in said.output]
    if outputs != list(job.model.task.output_names):
        raise VerificationFailed(f"coreml: the package's outputs are {outputs}, not {job.model.task.output_names}")


def _zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return target
