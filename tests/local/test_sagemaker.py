"""The local SageMaker keeps AWS's container contract and API."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dataloop_local.sagemaker.checkpoints import CheckpointSync
from tests.local.stack import LocalStack, alive
from tests.local.waiting import until


def channel(name: str, uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
    source = {"S3DataType": kind, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def create(
    stack: LocalStack, name: str, *, channels: tuple = (), limit_s: int = 60, instances: int = 1, **parameters: str
) -> str:
    bucket = stack.output("ArtifactsBucketName")
    stack.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=stack.output("JobRoleArn"),
        AlgorithmSpecification={
            "TrainingImage": "probe/local:training",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/run.py"],
            "ContainerArguments": ["train"],
        },
        HyperParameters=parameters,
        InputDataConfig=[channel("code", stack.output("CodeUri")), *channels],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/jobs"},
        CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints/{name.split('.')[0]}"},
        TensorBoardOutputConfig={"S3OutputPath": f"s3://{bucket}/tensorboard/{name.split('.')[0]}"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": instances, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": limit_s},
        Environment={"MINE": "1"},
    )
    return name


def describe(stack: LocalStack, name: str) -> dict[str, Any]:
    described: dict[str, Any] = stack.client("sagemaker").describe_training_job(TrainingJobName=name)
    return described


def ended(stack: LocalStack, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job = describe(stack, name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return until(look, within_s=30, what=f"the end of {name}")


def unpacked(stack: LocalStack, uri: str) -> dict[str, bytes]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = stack.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}  # type: ignore[union-attr]


def running(stack: LocalStack, name: str) -> dict[str, Any]:
    """Wait until the job's code runs; its progress has reached S3 through the checkpoint folder."""
    bucket = stack.output("ArtifactsBucketName")

    def look() -> dict[str, Any] | None:
        try:
            found = stack.client("s3").get_object(Bucket=bucket, Key=f"checkpoints/{name}/progress.json")
            return json.loads(found["Body"].read())
        except ClientError:
            return None

    return until(look, what="progress in the checkpoint folder")


def job_name() -> str:
    return f"job-{uuid.uuid4().hex}"


def test_a_training_finds_everything_in_its_place(stack: LocalStack) -> None:
    # Given images at awkward keys, named by a manifest, and a checkpoint of an earlier run
    s3, raw, bucket = stack.client("s3"), stack.output("RawBucketName"), stack.output("ArtifactsBucketName")
    name = job_name()
    for key in ("manifest/a.jpg", "manifest/ü +/b.jpg", "manifest/unnamed.jpg"):
        s3.put_object(Bucket=raw, Key=key, Body=key.encode())
    s3.put_object(
        Bucket=bucket,
        Key=f"{name}/images.manifest",
        Body=json.dumps([{"prefix": f"s3://{raw}/"}, "manifest/a.jpg", "manifest/ü +/b.jpg"]),
    )
    s3.put_object(Bucket=bucket, Key=f"{name}/data/train.jsonl", Body=b"{}")
    s3.put_object(Bucket=bucket, Key=f"checkpoints/{name}/earlier.pt", Body=b"state")

    # When it runs
    create(
        stack,
        name,
        epochs="3",
        channels=(
            channel("dataset", f"s3://{bucket}/{name}/data/"),
            channel("images", f"s3://{bucket}/{name}/images.manifest", "ManifestFile"),
        ),
    )
    job = ended(stack, name)

    # Then it found the container contract, and its outputs are packed
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert unpacked(stack, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.txt": b"weights"}
    output = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    saw = json.loads(unpacked(stack, output)["seen.json"])
    files = set(saw["files"])
    assert {"input/data/dataset/train.jsonl", "input/data/code/run.py", "checkpoints/earlier.pt"} <= files
    assert {"input/data/images/manifest/a.jpg", "input/data/images/manifest/ü +/b.jpg"} <= files
    assert "input/data/images/manifest/unnamed.jpg" not in files
    assert saw["config"]["hyperparameters"] == {"epochs": "3"}
    assert saw["config"]["resourceconfig"]["hosts"] == ["algo-1"]
    assert saw["config"]["inputdataconfig"]["images"]["TrainingInputMode"] == "File"
    environment = saw["environment"]
    assert (environment["TRAINING_JOB_NAME"], environment["MINE"]) == (name, "1")
    assert environment["SM_CHANNEL_DATASET"] == f"{environment['SAGEMAKER_BASE_DIR']}/input/data/dataset"
    assert "STATE_DIR" not in environment
    statuses = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert statuses == ["Pending", "Downloading", "Training", "Uploading", "Completed"]
    assert job["TrainingTimeInSeconds"] >= 1


def test_event_files_of_tensorboard_are_uploaded(stack: LocalStack) -> None:
    name, bucket = create(stack, job_name(), board="curves"), stack.output("ArtifactsBucketName")
    assert ended(stack, name)["TrainingJobStatus"] == "Completed"
    found = stack.client("s3").get_object(Bucket=bucket, Key=f"tensorboard/{name}/events")
    assert found["Body"].read() == b"curves"


def test_the_log_is_in_cloudwatch_and_events_are_on_the_bus(stack: LocalStack) -> None:
    name = job_name()
    create(stack, name, epochs="1")
    ended(stack, name)

    logs, group = stack.client("logs"), "/aws/sagemaker/TrainingJobs"
    (found,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)["logStreams"]
    lines = logs.get_log_events(logGroupName=group, logStreamName=found["logStreamName"])["events"]
    assert [line["message"] for line in lines] == ['training with {"epochs": "1"}']
    events: list[dict[str, Any]] = []

    def mine() -> bool:
        events.extend(stack.received("EventsQueueUrl"))
        statuses = [
            e["detail"]["TrainingJobStatus"] for e in events if e.get("detail", {}).get("TrainingJobName") == name
        ]
        return "Completed" in statuses

    until(mine, what="the event of the job's end")
    event = next(e for e in events if e.get("detail", {}).get("TrainingJobName") == name)
    assert (event["source"], event["detail-type"]) == ("aws.sagemaker", "SageMaker Training Job State Change")
    assert event["detail"]["RoleArn"] == stack.output("JobRoleArn")
    assert event["detail"]["CreationTime"] > 10**12


def test_the_failure_file_is_the_failure_reason(stack: LocalStack) -> None:
    name = create(stack, job_name(), fail="x" * 2400, exit="7")
    reason = ended(stack, name)["FailureReason"]

    assert reason.startswith("AlgorithmError: xxx")
    assert reason.endswith(", exit code: 7")
    assert len(reason) == 1024


def test_a_missing_input_fails_the_job_and_names_it(stack: LocalStack) -> None:
    missing = f"s3://{stack.output('ArtifactsBucketName')}/nothing/here/"
    name = create(stack, job_name(), channels=(channel("dataset", missing),))

    job = ended(stack, name)
    assert job["TrainingJobStatus"] == "Failed"
    assert "no S3 objects found" in job["FailureReason"]
    assert missing in job["FailureReason"]


def test_a_stopped_training_saves_and_leaves(stack: LocalStack) -> None:
    name = create(stack, job_name(), wait="1")
    running(stack, name)
    stack.client("sagemaker").stop_training_job(TrainingJobName=name)

    assert ended(stack, name)["TrainingJobStatus"] == "Stopped"
    saved = (
        stack.client("s3")
        .get_object(Bucket=stack.output("ArtifactsBucketName"), Key=f"checkpoints/{name}/last.txt")["Body"]
        .read()
    )
    assert saved == b"saved at SIGTERM"


def test_a_replaced_checkpoint_takes_no_room(stack: LocalStack, tmp_path: Path) -> None:
    s3, bucket, prefix = stack.client("s3"), stack.output("ArtifactsBucketName"), f"checkpoints/{job_name()}"
    sync = CheckpointSync(s3, tmp_path, f"s3://{bucket}/{prefix}", every_s=0)
    for content in ("first", "second, longer", "third, longer still"):
        (tmp_path / "last.pt").write_text(content)
        sync.sync()

    [version] = s3.list_object_versions(Bucket=bucket, Prefix=prefix)["Versions"]
    body = s3.get_object(Bucket=bucket, Key=f"{prefix}/last.pt", VersionId=version["VersionId"])["Body"].read()
    assert body == b"third, longer still"


def test_a_training_that_ignores_sigterm_is_killed_after_the_grace(stack: LocalStack) -> None:
    name = create(stack, job_name(), wait="stubborn")
    pid = running(stack, name)["pid"]
    stack.client("sagemaker").stop_training_job(TrainingJobName=name)

    assert ended(stack, name)["TrainingJobStatus"] == "Stopped"
    until(lambda: not alive(pid), what="the end of its process")


def test_the_time_limit_ends_a_training(stack: LocalStack) -> None:
    job = ended(stack, create(stack, job_name(), limit_s=1, wait="1"))

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert job["ModelArtifacts"]["S3ModelArtifacts"]


def test_jobs_wait_for_their_turn(stack: LocalStack) -> None:
    # Given as many running jobs as this stack runs at once, and one more
    first, second = (create(stack, job_name(), wait="1") for _ in range(2))
    running(stack, first)
    running(stack, second)
    third = create(stack, job_name(), wait="1")
    assert (describe(stack, third)["TrainingJobStatus"], describe(stack, third)["SecondaryStatus"]) == (
        "InProgress",
        "Pending",
    )

    # Then it can be stopped while it waits, and another one gets its turn when a job ends
    client = stack.client("sagemaker")
    client.stop_training_job(TrainingJobName=third)
    assert describe(stack, third)["TrainingJobStatus"] == "Stopped"
    fourth = create(stack, job_name(), epochs="1")
    client.stop_training_job(TrainingJobName=first)
    assert ended(stack, fourth)["TrainingJobStatus"] == "Completed"
    client.stop_training_job(TrainingJobName=second)
    assert ended(stack, second)["TrainingJobStatus"] == "Stopped"


def test_names_are_unique_and_requests_are_checked(stack: LocalStack) -> None:
    name = create(stack, job_name(), epochs="1")
    with pytest.raises(ClientError, match="ResourceInUse"):
        create(stack, name, epochs="1")
    with pytest.raises(ClientError, match=r"ValidationException.*pattern"):
        create(stack, "not_a_name.x")
    with pytest.raises(ClientError, match="one machine is one instance"):
        create(stack, job_name(), instances=2)
    with pytest.raises(ClientError, match="ValidationException"):
        stack.client("sagemaker", parameter_validation=False).create_training_job(TrainingJobName="x")
    with pytest.raises(ClientError, match="not found"):
        describe(stack, "no-such-job")
    ended(stack, name)
    listed = stack.client("sagemaker").list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in listed] == [name]


def processing(stack: LocalStack, name: str, **environment: str) -> dict[str, Any]:
    bucket, client = stack.output("ArtifactsBucketName"), stack.client("sagemaker")
    source = {"S3Uri": stack.output("CodeUri"), "S3DataType": "S3Prefix", "S3InputMode": "File"}
    client.create_processing_job(
        ProcessingJobName=name,
        RoleArn=stack.output("JobRoleArn"),
        AppSpecification={
            "ImageUri": "probe/local:processing",
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/run.py"],
            "ContainerArguments": ["process"],
        },
        ProcessingInputs=[{"InputName": "code", "S3Input": {**source, "LocalPath": "/opt/ml/processing/input/code"}}],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/{name}",
                        "LocalPath": "/opt/ml/processing/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        ProcessingResources={
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
        Environment=environment,
    )

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = client.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return until(look, within_s=30, what="the end of the processing job")


def test_a_processing_job_uploads_its_outputs(stack: LocalStack) -> None:
    name = job_name()
    job = processing(stack, name, EXPORT_FORMAT="onnx")

    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    bucket, s3 = stack.output("ArtifactsBucketName"), stack.client("s3")
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"{name}/")["Contents"]}
    assert keys == {f"{name}/seen.json", f"{name}/nested/file.txt"}
    saw = json.loads(s3.get_object(Bucket=bucket, Key=f"{name}/seen.json")["Body"].read())
    assert saw["environment"]["EXPORT_FORMAT"] == "onnx"
    assert not [variable for variable in saw["environment"] if variable.startswith("SM_")]


def test_a_failed_processing_job_says_why(stack: LocalStack) -> None:
    job = processing(stack, job_name(), PROBE_FAIL="1")

    assert job["ProcessingJobStatus"] == "Failed"
    assert "processing was told to fail" in job["FailureReason"]


def test_model_packages_are_numbered_in_their_group(stack: LocalStack) -> None:
    client, group = stack.client("sagemaker"), f"group-{uuid.uuid4().hex}"
    client.create_model_package_group(ModelPackageGroupName=group)
    inference = {
        "Containers": [{"Image": "probe/local:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    made = [
        client.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification=inference, CustomerMetadataProperties={"n": str(n)}
        )["ModelPackageArn"]
        for n in range(3)
    ]
    client.update_model_package(
        ModelPackageArn=made[1], ModelApprovalStatus="Approved", CustomerMetadataProperties={"why": "better"}
    )

    package = client.describe_model_package(ModelPackageName=made[1])
    assert (package["ModelPackageVersion"], package["ModelApprovalStatus"]) == (2, "Approved")
    assert package["CustomerMetadataProperties"] == {"n": "1", "why": "better"}
    approved = client.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    assert [p["ModelPackageArn"] for p in approved["ModelPackageSummaryList"]] == [made[1]]
    everything = client.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert [p["ModelPackageVersion"] for p in everything] == [3, 2, 1]
    with pytest.raises(ClientError, match="does not exist"):
        client.create_model_package(ModelPackageGroupName="no-such-group", InferenceSpecification=inference)
    with pytest.raises(ClientError, match="already exists"):
        client.create_model_package_group(ModelPackageGroupName=group)
