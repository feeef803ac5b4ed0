"""`run.py export`: turn a model into an artefact for a device, and prove that it still computes the same."""

from __future__ import annotations

import os

from dataloop_jobs.commands.evaluate import threads_from_environment
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.dataset import read_images_only
from dataloop_jobs.declarations import EXPORTERS, find
from dataloop_jobs.exporters.verification import SAMPLES, compare
from dataloop_jobs.faults import VerificationFailed
from dataloop_jobs.images import ImageStore
from dataloop_jobs.inference import input_batches
from dataloop_jobs.json_files import write_json
from dataloop_jobs.model_folder import file_sha256, read_model

FORMAT_VARIABLE = "EXPORT_FORMAT"


def export(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write the artefact's files and verification.json. Raises JobFault or Interrupted."""
    progress = Progress()
    declaration = find(EXPORTERS, FORMAT_VARIABLE, os.environ.get(FORMAT_VARIABLE, "onnx"))
    exporter = declaration.load()
    model = read_model(folders.input("model"))
    progress.report("export", 0, 1, "artefacts")
    files = exporter.export(model, folders.output)
    progress.report("export", 1, 1, "artefacts")
    stop.leave_if_requested()

    rows = read_images_only(folders.input("dataset"), SAMPLES)
    if not rows:
        raise VerificationFailed(f"{declaration.name}: the dataset has no image to verify the artefact on")
    store = ImageStore(folders.input("images"), model.image_size, cache_mb=0)
    reference, candidate = exporter.runners(model, folders.output, threads_from_environment())
    agreement = compare(declaration.name, reference, candidate, (images for images, _ in input_batches(rows, store)))
    progress.report("verify", len(rows), len(rows), "images")
    verification = {
        "format": declaration.name,
        "files": {
            file.name: {"sha256": file_sha256(file), "size_bytes": file.stat().st_size} for file in sorted(files)
        },
        "reference": exporter.REFERENCE,
        "samples": agreement.samples,
        "max_abs_diff": agreement.max_abs_diff,
        "tolerance": agreement.tolerance,
        "passed": True,
    }
    write_json(folders.output / "verification.json", verification, indent=1)
