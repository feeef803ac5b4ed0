"""`dataloop train --on sagemaker`: which job would run on AWS. The package itself is asked where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from ankerautotrainsdk.errors import ApiError, ConfigurationError
from ankerautotrainsdk.on_sagemaker import Experiment, Stack, channels, model_trainer, read_stack
from tests.sdk.commands import runner

HAS_SAGEMAKER = importlib.util.find_spec("sagemaker") is not None
IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/pytorch-training:2.10.0-gpu-py313"
ARTIFACTS = "dataloop-dev-artifacts"
STACK = Stack(
    "dataloop-dev",
    {
        "ArtifactsBucketName": ARTIFACTS,
        "JobRoleArn": "arn:aws:iam::123456789012:role/jobs",
        "CodeUri": f"s3://{ARTIFACTS}/code/abc/",
    },
    {
        "TrainingImage": IMAGE,
        "TrainingInstanceType": "ml.g5.xlarge",
        "UseSpot": "true",
        "MaxTrainingSeconds": "7200",
    },
)
VERSION = "v" * 32


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A boto3 session in an empty account."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.session.Session(region_name="eu-central-1")


class OneClient:
    """A session whose every client is the given one."""

    def __init__(self, client: Any):
        self._client = client

    def client(self, _name: str) -> Any:
        return self._client


def test_a_stack_tells_its_outputs_and_parameters() -> None:
    client = boto3.client(
        "cloudformation", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    found = {
        "StackName": "dataloop-dev",
        "CreationTime": "2026-11-22T00:00:00Z",
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": "CodeUri", "OutputValue": "s3://artifacts/code/abc/"}],
        "Parameters": [{"ParameterKey": "TrainingImage", "ParameterValue": IMAGE}],
    }
    with Stubber(client) as stubber:
        stubber.add_response("describe_stacks", {"Stacks": [found]}, {"StackName": "dataloop-dev"})
        stubber.add_client_error("describe_stacks", "ValidationError", "Stack with id absent does not exist")
        stack = read_stack(OneClient(client), "dataloop-dev")
        assert stack.outputs == {"CodeUri": "s3://artifacts/code/abc/"}
        assert stack.parameters == {"TrainingImage": IMAGE}
        with pytest.raises(ApiError, match="absent"):
            read_stack(OneClient(client), "absent")


def test_the_channels_are_those_of_the_services_own_jobs() -> None:
    home = f"s3://{ARTIFACTS}/default"
    assert channels(STACK, Experiment(VERSION)) == {
        "dataset": ("S3Prefix", f"{home}/manifests/{VERSION}/"),
        "images": ("ManifestFile", f"{home}/manifests/{VERSION}/images.manifest"),
    }
    with_parent = channels(STACK, Experiment(VERSION, tenant="t", parent_model_id="m"))
    assert with_parent["parent"] == ("S3Prefix", f"s3://{ARTIFACTS}/t/models/m/model/")


def test_a_stack_without_containers_is_refused(session: Any) -> None:
    local = Stack("dataloop-local", STACK.outputs, {"TrainingImage": "local/python"})
    with pytest.raises(ConfigurationError, match="no training container"):
        model_trainer(local, Experiment(VERSION), session)


@pytest.mark.parametrize("name", ["", "-x", "a b", "ü", "x" * 41])
def test_a_name_that_sagemaker_would_refuse_is_refused_here(session: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match="letters, digits and hyphens"):
        model_trainer(STACK, Experiment(VERSION, name=name), session)


def test_another_place_than_the_two_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = runner(capsys)("train", VERSION, "--on", "moon")
    assert code == 2
    assert "dataloop or sagemaker" in err


@pytest.mark.skipif(HAS_SAGEMAKER, reason="the sagemaker package is installed here: this is about its absence")
def test_without_the_package_the_command_says_where_to_find_it(session: Any) -> None:
    with pytest.raises(ConfigurationError, match="make deploy"):
        model_trainer(STACK, Experiment(VERSION), session)


@pytest.mark.skipif(
    not HAS_SAGEMAKER,
    reason="the sagemaker package is missing: it is part of the extra `deploy`, which has an environment of its own",
)
@pytest.mark.filterwarnings("ignore")
def test_model_trainer_asks_sagemaker_for_the_job_we_mean(session: Any) -> None:
    session.client("s3").create_bucket(
        Bucket=ARTIFACTS, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    given = {"task_type": "detection", "epochs": 3, "learning_rate": 0.002}
    trainer = model_trainer(STACK, Experiment(VERSION, given, name="try-1", instance_count=2), session)
    trainer.train(wait=False)
    sagemaker = session.client("sagemaker")
    (summary,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
    assert job["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert job["HyperParameters"] == {"task_type": "detection", "epochs": "3", "learning_rate": "0.002"}
    assert (job["ResourceConfig"]["InstanceType"], job["ResourceConfig"]["InstanceCount"]) == ("ml.g5.xlarge", 2)
    assert job["EnableManagedSpotTraining"]
    assert job["StoppingCondition"]["MaxWaitTimeInSeconds"] > job["StoppingCondition"]["MaxRuntimeInSeconds"] == 7200
    uris = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in job["InputDataConfig"]}
    assert uris["code"] == STACK.outputs["CodeUri"]
    assert uris["dataset"] == f"s3://{ARTIFACTS}/default/manifests/{VERSION}/"
    # The job role may write below */training/* alone.
    for uri in (uris["sm_drivers"], job["CheckpointConfig"]["S3Uri"], job["OutputDataConfig"]["S3OutputPath"]):
        assert uri.startswith(f"s3://{ARTIFACTS}/default/training/experiments/")
    listed = session.client("s3").list_objects_v2(Bucket=ARTIFACTS)["Contents"]
    (script,) = [entry["Key"] for entry in listed if entry["Key"].endswith("sm_train.sh")]
    text = session.client("s3").get_object(Bucket=ARTIFACTS, Key=script)["Body"].read().decode()
    assert "cd /opt/ml/input/data/code" in text
    assert "$SM_PYTHON_CMD run.py train" in text
