"""AWS's own container toolkit runs inside our jobs: what it reads is what we lay down.

`sagemaker-training` is the code that AWS's containers run before the user's script. Here it is the job's entry point, so
every path, configuration file and hyperparameter goes through its eyes.
"""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
import textwrap
import uuid
from typing import Any

import pytest

from tests.local.stack import LocalStack
from tests.local.test_sagemaker import channel, ended, unpacked

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sagemaker_training") is None,
    reason="the package sagemaker-training (extra dev) is not installed",
)

SCRIPT = textwrap.dedent("""
    import json, os, pathlib, sys
    if "--fail" in sys.argv:
        raise ValueError("told to fail")
    found = {"argv": sys.argv[1:], "environment": {k: v for k, v in os.environ.items() if k.startswith("SM_")}}
    pathlib.Path(os.environ["SM_MODEL_DIR"], "found.json").write_text(json.dumps(found))
    pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text("{}")
""")


def train(stack: LocalStack, **parameters: Any) -> dict[str, Any]:
    """Run SCRIPT as the SageMaker SDK would: source archive in S3, JSON-encoded hyperparameters, the toolkit's `train`."""
    s3, bucket, name = stack.client("s3"), stack.output("ArtifactsBucketName"), f"toolkit-{uuid.uuid4().hex}"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as package:
        member = tarfile.TarInfo("train.py")
        member.size = len(SCRIPT)
        package.addfile(member, io.BytesIO(SCRIPT.encode()))
    s3.put_object(Bucket=bucket, Key=f"{name}/sourcedir.tar.gz", Body=archive.getvalue())
    s3.put_object(Bucket=bucket, Key=f"{name}/data/a/b.txt", Body=b"b")
    toolkit = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{bucket}/{name}/sourcedir.tar.gz"}
    stack.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=stack.output("JobRoleArn"),
        AlgorithmSpecification={
            "TrainingImage": "probe/local:training",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-W", "ignore", "-m", "sagemaker_training.cli.train"],
        },
        HyperParameters={key: json.dumps(value) for key, value in {**toolkit, **parameters}.items()},
        InputDataConfig=[channel("my-data", f"s3://{bucket}/{name}/data/")],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Environment={"SM_STUDIO_LOCAL_MODE": "true"},
    )
    return ended(stack, name)


def test_the_toolkit_finds_what_the_runner_lays_down(stack: LocalStack) -> None:
    job = train(stack, epochs=3, rate=0.5, name="some text", nested={"a": [1]})

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    found = json.loads(unpacked(stack, job["ModelArtifacts"]["S3ModelArtifacts"])["found.json"])
    environment = found["environment"]
    base = environment["SM_MODEL_DIR"].removesuffix("/model")
    # Hyperparameters: the toolkit decodes each value from JSON and passes it on to the script.
    given = dict(zip(found["argv"][::2], found["argv"][1::2], strict=True))
    assert (given["--epochs"], given["--rate"], given["--name"]) == ("3", "0.5", "some text")
    assert json.loads(environment["SM_HPS"]) == {"epochs": 3, "rate": 0.5, "name": "some text", "nested": {"a": [1]}}
    # Paths: all below the base directory of the job, and the ones our runner names itself.
    assert environment["SM_INPUT_DIR"] == f"{base}/input"
    assert environment["SM_INPUT_CONFIG_DIR"] == f"{base}/input/config"
    assert environment["SM_OUTPUT_DATA_DIR"].rstrip("/") in (f"{base}/output/data", f"{base}/output/data/algo-1")
    assert environment["SM_CHANNEL_MY-DATA"] == f"{base}/input/data/my-data"
    # Configuration files.
    assert json.loads(environment["SM_CHANNELS"]) == ["my-data"]
    assert json.loads(environment["SM_INPUT_DATA_CONFIG"])["my-data"]["TrainingInputMode"] == "File"
    assert (environment["SM_CURRENT_HOST"], json.loads(environment["SM_HOSTS"])) == ("algo-1", ["algo-1"])
    assert json.loads(environment["SM_RESOURCE_CONFIG"])["current_instance_type"] == "ml.m5.large"
    assert environment["SM_CURRENT_INSTANCE_GROUP"] == "homogeneousCluster"
    # What the script writes where the toolkit says comes back from S3.
    output = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    assert [name.rpartition("/")[2] for name in unpacked(stack, output)] == ["metrics.json"]


def test_the_toolkit_s_failure_file_becomes_the_reason(stack: LocalStack) -> None:
    job = train(stack, fail=True)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert "ExecuteUserScriptError" in job["FailureReason"]
