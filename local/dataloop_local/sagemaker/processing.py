"""The folders of a processing container, from a CreateProcessingJob request to its outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloop_local.sagemaker import objects
from dataloop_local.sagemaker.process import CONTAINER_BASE, local_path
from dataloop_local.sagemaker.shapes import SageMakerError


def check(request: dict[str, Any]) -> None:
    """Refuse what one machine cannot do instead of ignoring it."""
    if not request["AppSpecification"].get("ContainerEntrypoint"):
        raise SageMakerError(
            "ValidationException",
            "AppSpecification.ContainerEntrypoint is required on one machine: there is no container image to ask",
        )
    for given in request.get("ProcessingInputs") or []:
        source = given.get("S3Input")
        if source is None:
            raise SageMakerError("ValidationException", f"input {given['InputName']!r}: only S3Input is supported here")
        _check_path(source.get("LocalPath", ""))
    for output in _outputs(request):
        if "S3Output" not in output:
            raise SageMakerError(
                "ValidationException", f"output {output['OutputName']!r}: only S3Output is supported here"
            )
        _check_path(output["S3Output"].get("LocalPath", ""))


def _check_path(path: str) -> None:
    if not path.startswith(f"{CONTAINER_BASE}/processing/") or ".." in path.split("/"):
        raise SageMakerError("ValidationException", f"LocalPath {path!r} must be below {CONTAINER_BASE}/processing")


def _outputs(job: dict[str, Any]) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = (job.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    return outputs


def lay_folders(base: Path, job: dict[str, Any]) -> None:
    (base / "processing").mkdir(parents=True, exist_ok=True)
    (base / "config").mkdir(parents=True, exist_ok=True)
    (base / "output").mkdir(parents=True, exist_ok=True)
    (base / "config/processingjobconfig.json").write_text(json.dumps(job, default=str))
    cluster = job["ProcessingResources"]["ClusterConfig"]
    resources = {"current_host": "algo-1", "hosts": ["algo-1"], "current_instance_type": cluster["InstanceType"]}
    (base / "config/resourceconfig.json").write_text(json.dumps(resources))
    for output in _outputs(job):
        local_path(base, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
    for given in job.get("ProcessingInputs") or []:
        source = given["S3Input"]
        folder = local_path(base, source["LocalPath"])
        folder.mkdir(parents=True, exist_ok=True)
        fetch = objects.fetch_manifest if source["S3DataType"] == "ManifestFile" else objects.fetch_prefix
        fetch(source["S3Uri"], folder)


def variables(job: dict[str, Any]) -> Mapping[str, str]:
    return {
        "PROCESSING_JOB_NAME": job["ProcessingJobName"],
        "PROCESSING_JOB_ARN": job["ProcessingJobArn"],
        **(job.get("Environment") or {}),
    }


def upload_outputs(client: Any, base: Path, job: dict[str, Any]) -> None:
    for output in _outputs(job):
        target = output["S3Output"]
        objects.upload_folder(client, local_path(base, target["LocalPath"]), target["S3Uri"])
