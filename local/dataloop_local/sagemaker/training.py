"""The folders of a training container, from a CreateTrainingJob request to its artefacts."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloop_local.sagemaker import objects
from dataloop_local.sagemaker.process import local_path
from dataloop_local.sagemaker.shapes import SageMakerError

_HOST = "algo-1"


def check(request: dict[str, Any]) -> None:
    """Refuse what one machine cannot do instead of ignoring it."""
    algorithm = request["AlgorithmSpecification"]
    if not algorithm.get("ContainerEntrypoint"):
        raise SageMakerError(
            "ValidationException",
            "AlgorithmSpecification.ContainerEntrypoint is required on one machine: there is no container image to ask",
        )
    instances = request["ResourceConfig"].get("InstanceCount", 1)
    if instances > 1:
        raise SageMakerError("ValidationException", f"InstanceCount {instances}: one machine is one instance")
    if algorithm["TrainingInputMode"] != "File":
        raise SageMakerError("ValidationException", "only TrainingInputMode File is supported on one machine")
    for channel in request.get("InputDataConfig") or []:
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
            raise SageMakerError(
                "ValidationException",
                f"channel {channel['ChannelName']!r}: only S3Prefix and ManifestFile are supported on one machine",
            )


def lay_folders(base: Path, job: dict[str, Any]) -> None:
    """Make /opt/ml as the container finds it: configuration files first, then the channels."""
    for folder in ("input/config", "input/data", "model", "output/data", "code", "checkpoints"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    channels = job.get("InputDataConfig") or []
    resources = job["ResourceConfig"]
    instance = resources.get("InstanceType", "ml.m5.large")
    configuration = {
        "hyperparameters": job.get("HyperParameters") or {},
        "inputdataconfig": {channel["ChannelName"]: _channel_configuration(channel) for channel in channels},
        "resourceconfig": {
            "current_host": _HOST,
            "current_instance_type": instance,
            "current_group_name": "homogeneousCluster",
            "hosts": [_HOST],
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": [_HOST]}
            ],
            "network_interface_name": "lo",
        },
        "checkpointconfig": job.get("CheckpointConfig") or {},
    }
    for name, content in configuration.items():
        (base / "input/config" / f"{name}.json").write_text(json.dumps(content))
    for channel in channels:
        _fetch_channel(base, channel)


def _channel_configuration(channel: dict[str, Any]) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    configuration = {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if "ContentType" in channel:
        configuration["ContentType"] = channel["ContentType"]
    return configuration


def _fetch_channel(base: Path, channel: dict[str, Any]) -> None:
    source = channel["DataSource"]["S3DataSource"]
    folder = base / "input/data" / channel["ChannelName"]
    folder.mkdir(parents=True, exist_ok=True)
    fetch = objects.fetch_manifest if source["S3DataType"] == "ManifestFile" else objects.fetch_prefix
    fetch(source["S3Uri"], folder)


def variables(base: Path, job: dict[str, Any]) -> Mapping[str, str]:
    """What SageMaker puts into a training container's environment, and the SM_* names its toolkit adds."""
    channels = [channel["ChannelName"] for channel in job.get("InputDataConfig") or []]
    hyperparameters: dict[str, str] = job.get("HyperParameters") or {}
    return {
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        "CURRENT_HOST": _HOST,
        "SM_MODEL_DIR": str(base / "model"),
        "SM_INPUT_DIR": str(base / "input"),
        "SM_INPUT_CONFIG_DIR": str(base / "input/config"),
        "SM_OUTPUT_DIR": str(base / "output"),
        "SM_OUTPUT_DATA_DIR": str(base / "output/data"),
        "SM_CHANNELS": json.dumps(channels),
        "SM_HOSTS": json.dumps([_HOST]),
        "SM_CURRENT_HOST": _HOST,
        "SM_NUM_GPUS": "0",
        "SM_HPS": json.dumps(hyperparameters),
        **{f"SM_CHANNEL_{name.upper()}": str(base / "input/data" / name) for name in channels},
        **{f"SM_HP_{name.upper().replace('-', '_')}": value for name, value in hyperparameters.items()},
        **(job.get("Environment") or {}),
    }


def checkpoint_folder(base: Path, job: dict[str, Any]) -> Path | None:
    """The folder that is kept in S3, or None when the job keeps no checkpoints."""
    configuration = job.get("CheckpointConfig")
    if not configuration:
        return None
    folder = local_path(base, configuration.get("LocalPath") or "/opt/ml/checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def output_uri(job: dict[str, Any]) -> str:
    return f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output"


def upload_artefacts(client: Any, base: Path, job: dict[str, Any]) -> str:
    """Pack output/data and model and put them into S3OutputPath, and event files beside. Returns model.tar.gz's URI."""
    uri = output_uri(job)
    board = job.get("TensorBoardOutputConfig")
    if board:
        folder = local_path(base, board.get("LocalPath") or "/opt/ml/output/tensorboard")
        objects.upload_folder(client, folder, board["S3OutputPath"])
    if any((base / "output/data").iterdir()):
        _pack_and_upload(client, base / "output/data", base / "output.tar.gz", f"{uri}/output.tar.gz")
    return _pack_and_upload(client, base / "model", base / "model.tar.gz", f"{uri}/model.tar.gz")


def _pack_and_upload(client: Any, folder: Path, archive: Path, uri: str) -> str:
    # Level 1: weights hardly compress, and the two cores have better things to do.
    with tarfile.open(archive, "w:gz", compresslevel=1) as package:
        for path in sorted(folder.iterdir()):
            package.add(path, path.name)
    objects.upload_file(client, archive, uri)
    return uri
