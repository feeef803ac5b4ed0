"""Training jobs of one's own on SageMaker, beside the service: `dataloop train DATASET --on sagemaker`.

The service trains through its state machine, registers the model and can release it. This is for experiments: the same
job code, the same dataset version, but started by the person's own AWS credentials through `ModelTrainer` of AWS's
`sagemaker` package, on whatever instances they like. Its model lands in S3 and in no registry.

Needs the package `sagemaker` (version 3; 1 GB, so it is no dependency of the client) and a deployed stack. Permissions:
cloudformation:DescribeStacks, sagemaker:CreateTrainingJob and DescribeTrainingJob, iam:PassRole for the stack's job role,
s3:PutObject below `*/training/*` of the artifacts bucket.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ankerautotrainsdk.errors import ApiError, ConfigurationError, ConnectionFailed

# Where job code and checkpoints are in a training container; the channel `code` is named by ModelTrainer too.
_CHECKPOINTS = "/opt/ml/checkpoints"
# SM_PYTHON_CMD is set by ModelTrainer's start script.
_COMMAND = "$SM_PYTHON_CMD run.py train"
# SageMaker: a job's name has at most 63 characters; ModelTrainer appends 15 for the time.
_LONGEST_NAME = 40
_VOLUME_GB = 100
# Spot: how long a job may wait for capacity on top of its running time, as the service's own jobs do.
_SPOT_WAIT_S = 86_400


@dataclass(frozen=True)
class Stack:
    """What a deployed stack says of itself: outputs and parameters by name."""

    name: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Experiment:
    """One training job. instance_type and use_spot: None takes the stack's."""

    dataset_id: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = "experiment"
    tenant: str = "default"
    instance_type: str | None = None
    instance_count: int = 1
    use_spot: bool | None = None
    parent_model_id: str | None = None


def read_stack(session: Any, name: str) -> Stack:
    """One call of DescribeStacks. session: a boto3 session. Raises ApiError, ConnectionFailed."""
    faults = importlib.import_module("botocore.exceptions")
    try:
        (found,) = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except faults.ClientError as error:
        fault = error.response.get("Error", {})
        raise ApiError(fault.get("Message", str(error)), code=fault.get("Code"), details={"stack": name}) from error
    except faults.BotoCoreError as error:
        raise ConnectionFailed(f"cannot ask AWS: {error}") from error
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in found.get("Outputs", [])}
    parameters = {entry["ParameterKey"]: entry.get("ParameterValue", "") for entry in found.get("Parameters", [])}
    return Stack(name, outputs, parameters)


def channels(stack: Stack, experiment: Experiment) -> dict[str, tuple[str, str]]:
    """S3 type and URI of each input but the code: the files of the built version, and the images they name."""
    home = f"s3://{stack.outputs['ArtifactsBucketName']}/{experiment.tenant}"
    version = f"{home}/manifests/{experiment.dataset_id}"
    found = {
        "dataset": ("S3Prefix", f"{version}/"),
        "images": ("ManifestFile", f"{version}/images.manifest"),
    }
    if experiment.parent_model_id:
        found["parent"] = ("S3Prefix", f"{home}/models/{experiment.parent_model_id}/model/")
    return found


def model_trainer(stack: Stack, experiment: Experiment, session: Any) -> Any:
    """A `sagemaker.train.ModelTrainer` that is ready to `train()`. session: a boto3 session.

    Raises ConfigurationError when the package is missing or the stack has no training container.
    """
    image = stack.parameters.get("TrainingImage", "")
    if ".dkr.ecr." not in image:
        raise ConfigurationError(f"stack {stack.name} has no training container: deploy it with `make deploy`")
    if not re.fullmatch(rf"[a-zA-Z0-9][a-zA-Z0-9-]{{0,{_LONGEST_NAME - 1}}}", experiment.name):
        raise ConfigurationError(
            f"name {experiment.name!r}: letters, digits and hyphens, at most {_LONGEST_NAME}, as SageMaker has it"
        )
    trainer, core = _modules()
    # The package would refuse the stack's role for lacking rights that this job does not need.
    os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
    bucket = stack.outputs["ArtifactsBucketName"]
    # The job role may write below */training/*, and nowhere else that fits.
    prefix = f"{experiment.tenant}/training/experiments"
    home = f"s3://{bucket}/{prefix}/{experiment.name}"
    use_spot = _is_true(stack.parameters.get("UseSpot", "true")) if experiment.use_spot is None else experiment.use_spot
    limit_s = int(stack.parameters.get("MaxTrainingSeconds") or 86_400)
    shapes, configs = core["shapes"], trainer["configs"]
    return trainer["model_trainer"].ModelTrainer(
        training_image=image,
        role=stack.outputs["JobRoleArn"],
        base_job_name=experiment.name,
        sagemaker_session=core["session_helper"].Session(
            boto_session=session, default_bucket=bucket, default_bucket_prefix=prefix
        ),
        source_code=configs.SourceCode(source_dir=stack.outputs["CodeUri"], command=_COMMAND),
        compute=configs.Compute(
            instance_type=experiment.instance_type or stack.parameters.get("TrainingInstanceType"),
            instance_count=experiment.instance_count,
            volume_size_in_gb=_VOLUME_GB,
            enable_managed_spot_training=use_spot,
        ),
        input_data_config=[
            shapes.Channel(
                channel_name=name,
                data_source=shapes.DataSource(
                    s3_data_source=shapes.S3DataSource(
                        s3_data_type=kind, s3_uri=uri, s3_data_distribution_type="FullyReplicated"
                    )
                ),
                input_mode="File",
            )
            for name, (kind, uri) in channels(stack, experiment).items()
        ],
        output_data_config=shapes.OutputDataConfig(s3_output_path=f"{home}/output"),
        checkpoint_config=shapes.CheckpointConfig(s3_uri=f"{home}/checkpoints", local_path=_CHECKPOINTS),
        stopping_condition=shapes.StoppingCondition(
            max_runtime_in_seconds=limit_s,
            **({"max_wait_time_in_seconds": limit_s + _SPOT_WAIT_S} if use_spot else {}),
        ),
        hyperparameters=dict(experiment.hyperparameters),
    )


def _modules() -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        train = {name: importlib.import_module(f"sagemaker.train.{name}") for name in ("configs", "model_trainer")}
        core = {
            "shapes": importlib.import_module("sagemaker.core.shapes"),
            "session_helper": importlib.import_module("sagemaker.core.helper.session_helper"),
        }
    except ImportError as error:
        raise ConfigurationError(
            "--on sagemaker needs the package sagemaker, version 3: run it in the environment of `make deploy`"
        ) from error
    return train, core


def _is_true(text: str) -> bool:
    return text.lower() == "true"
