"""dataloop train --on sagemaker: an experiment with one's own AWS credentials."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Annotated, Any

import typer

from ankerautotrainsdk import on_sagemaker
from ankerautotrainsdk.cli import output
from ankerautotrainsdk.errors import ApiError, ConfigurationError, ConnectionFailed

On = Annotated[str, typer.Option("--on", help="dataloop, or sagemaker: an experiment with your AWS credentials.")]
Stack = Annotated[str, typer.Option("--stack", help="--on sagemaker: the deployed stack.")]
Instance = Annotated[str | None, typer.Option("--instance-type", help="--on sagemaker: e.g. ml.g5.2xlarge.")]
Instances = Annotated[int, typer.Option("--instances", min=1, max=64, help="--on sagemaker: how many.")]
Spot = Annotated[bool | None, typer.Option("--spot/--no-spot", help="--on sagemaker: spare capacity or not.")]
Name = Annotated[str, typer.Option("--name", help="--on sagemaker: the same name goes on from its checkpoints.")]
Region = Annotated[str | None, typer.Option("--region", help="--on sagemaker: AWS region.")]
Profile = Annotated[str | None, typer.Option("--profile", help="--on sagemaker: AWS profile.")]


def check(on: str) -> None:
    """Raises a usage error when it is neither dataloop nor sagemaker."""
    if on not in ("dataloop", "sagemaker"):
        raise typer.BadParameter(f"expected dataloop or sagemaker, got {on!r}", param_hint="--on")


def train(experiment: on_sagemaker.Experiment, stack: str, region: str | None, profile: str | None, wait: bool) -> None:
    """Start the job, follow its log if asked to, and print its name and where its model is."""
    try:
        # By name: boto3 is no dependency of the client (an import rule says so).
        boto3 = importlib.import_module("boto3")
        faults = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise ConfigurationError(
            "--on sagemaker needs the packages boto3 and sagemaker: run it in the environment of `make deploy`"
        ) from error
    try:
        session = boto3.session.Session(profile_name=profile, region_name=region)
        trainer = on_sagemaker.model_trainer(on_sagemaker.read_stack(session, stack), experiment, session)
        _started(trainer, wait)
    except faults.ClientError as error:
        fault = error.response.get("Error", {})
        details = {"operation": error.operation_name}
        raise ApiError(fault.get("Message", str(error)), code=fault.get("Code"), details=details) from error
    except faults.BotoCoreError as error:
        raise ConnectionFailed(f"cannot ask AWS: {error}") from error


def _started(trainer: Any, wait: bool) -> None:
    # The package logs to stdout, which belongs to the answer.
    with contextlib.redirect_stdout(sys.stderr):
        trainer.train(wait=wait, logs=wait)
    job = trainer._latest_training_job
    answer = {
        "job_name": job.training_job_name,
        "model": f"{trainer.output_data_config.s3_output_path}/{job.training_job_name}/output/model.tar.gz",
        "checkpoints": trainer.checkpoint_config.s3_uri,
    }
    output.emit(answer, f"{answer['job_name']}\n{answer['model']}")
