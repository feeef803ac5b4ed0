"""`run.py export`: turn a model into an artefact for a device, and prove that it still computes the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataloop_jobs.commands.evaluate import threads_from_environment
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.declarations import EXPORTERS, FORMAT_VARIABLE, Declaration, find
from dataloop_jobs.exporters.surface import Exporter, ExportJob
from dataloop_jobs.exporters.verification import SAMPLES, Verification
from dataloop_jobs.faults import BadModel
from dataloop_jobs.json_files import write_json
from dataloop_jobs.model_folder import DESCRIPTION, GRAPH, LABELS, Model, file_sha256, read_model

README, VERIFICATION = "README.md", "verification.json"
# Whose weights a body began with.
_ORIGINS = {"efficientnet_lite0": "The body began as EfficientNet-Lite0 (Apache-2.0, TensorFlow authors). "}


def export(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write the artefact's files and verification.json. Raises JobFault or Interrupted."""
    progress = Progress()
    declaration = find(EXPORTERS, FORMAT_VARIABLE, os.environ.get(FORMAT_VARIABLE, "onnx"))
    exporter: Exporter = declaration.load()
    model = read_model(folders.input("model"))
    if model.description.get("quantization", "none") != "none" and not declaration.takes_int8:
        able = ", ".join(name for name, entry in EXPORTERS.items() if entry.takes_int8)
        raise BadModel(
            f"{declaration.name} cannot take a model that was trained for int8: export it as {able}, or export the model "
            "that it was made from"
        )
    job = ExportJob(
        model, folders.output, folders.input("dataset"), folders.input("images"), threads_from_environment()
    )
    progress.report("export", 0, 1, "artefacts")
    files = exporter.export(job)
    progress.report("export", 1, 1, "artefacts")
    stop.leave_if_requested()

    proof = exporter.verify(job)
    progress.report("verify", proof.agreement.samples, proof.agreement.samples, "images")
    files = [*files, *describe(model, declaration, files, proof, folders.output)]
    write_json(folders.output / VERIFICATION, verification(declaration, files, folders.output, proof), indent=1)


def describe(
    model: Model, declaration: Declaration, files: Sequence[Path], proof: Verification, folder: Path
) -> list[Path]:
    """What a client needs beside the artefact: model.json (of this artefact), the labels, a README."""
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    own = getattr(declaration.load(), "describe", dict)(model.description)
    description: dict[str, Any] = {**own, "export": {"format": declaration.name, "files": names}}
    graph = folder / GRAPH
    if graph in files:
        # The sha256 in model.json is what consumers check model.onnx with.
        agreement = proof.agreement
        numbers = {"max_abs_diff": agreement.max_abs_diff, "samples": agreement.samples}
        description["onnx"] = {**model.description["onnx"], **numbers, "sha256": file_sha256(graph)}
    write_json(folder / DESCRIPTION, description, indent=1)
    write_json(folder / LABELS, {"labels": list(model.labels)})
    (folder / README).write_text(_readme(model, declaration, names, proof), encoding="utf-8")
    return [folder / name for name in (DESCRIPTION, LABELS, README)]


def verification(declaration: Declaration, files: Sequence[Path], folder: Path, proof: Verification) -> dict[str, Any]:
    """The content of verification.json. size_bytes: the artefact and what lies beside it."""
    agreement = proof.agreement
    limit = agreement.tolerance
    sizes = {
        path.relative_to(folder).as_posix(): {"sha256": file_sha256(path), "size_bytes": path.stat().st_size}
        for path in files
    }
    found = {
        "format": declaration.name,
        "files": dict(sorted(sizes.items())),
        "size_bytes": sum(entry["size_bytes"] for entry in sizes.values() if isinstance(entry["size_bytes"], int)),
        "checked": proof.checked,
        "reference": proof.reference,
        "samples": agreement.samples,
        "max_abs_diff": agreement.max_abs_diff,
        "tolerance": limit if limit != float("inf") else None,
        "tolerance_reason": proof.reason,
        "latency_ms": proof.latency_ms,
        "reference_latency_ms": proof.reference_latency_ms,
        "passed": True,
        **proof.details,
    }
    if agreement.samples < SAMPLES:
        found["note"] = f"the dataset has only {agreement.samples} images; {SAMPLES} are the rule"
    return found


def _readme(model: Model, declaration: Declaration, names: Sequence[str], proof: Verification) -> str:
    agreement = proof.agreement
    return "\n".join(
        [
            f"# {declaration.text}",
            "",
            f"Model {model.description.get('model_id')}, {model.task.name}, {len(model.labels)} labels, made by Dataloop.",
            "",
            *(f"- `{name}`" for name in names),
            f"- `{DESCRIPTION}`: how to prepare an image (preprocess), the outputs' names and order, how to read them",
            f"- `{LABELS}`: the labels, in the order of the outputs",
            f"- `{VERIFICATION}`: what was proved, on how many images, with digests of all files",
            "",
            f"Checked: {proof.checked}, on {agreement.samples} images against {proof.reference}; largest difference "
            f"{agreement.max_abs_diff:.3g}.",
            "",
            f"{_ORIGINS.get(model.description['architecture'], '')}What it learnt comes from the images it was trained "
            "with: whoever owns those decides about this model.",
            "",
        ]
    )
