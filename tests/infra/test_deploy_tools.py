"""The deploy tools: packaging is deterministic, uploads repeat for nothing, sam gets what it needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from deploy import stack, upload_code
from tests.infra.template import load_project


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    (tmp_path / "dataloop_jobs" / "__pycache__").mkdir(parents=True)
    (tmp_path / "run.py").write_text("print('run')\n")
    (tmp_path / "requirements.txt").write_text("numpy>=2\n")
    (tmp_path / "carried.txt").write_text("# none\n")
    (tmp_path / "dataloop_jobs" / "contract.py").write_text("BASE = '/opt/ml'\n")
    (tmp_path / "dataloop_jobs" / "__pycache__" / "contract.cpython-311.pyc").write_bytes(b"\0")
    return tmp_path


def test_package_has_the_code_and_no_caches(jobs: Path) -> None:
    files = upload_code.package(jobs)
    assert sorted(files) == ["dataloop_jobs/contract.py", "requirements.txt", "run.py"]


def test_digest_depends_on_content_alone(jobs: Path) -> None:
    first = upload_code.digest(upload_code.package(jobs))
    (jobs / "dataloop_jobs" / "__pycache__" / "other.pyc").write_bytes(b"\1")
    assert upload_code.digest(dict(reversed(upload_code.package(jobs).items()))) == first
    (jobs / "run.py").write_text("print('changed')\n")
    assert upload_code.digest(upload_code.package(jobs)) != first


def test_incomplete_code_is_refused_by_name(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (jobs / "requirements.txt").unlink()
    assert upload_code.main(["digest", "--jobs", str(jobs)]) == 1
    assert "requirements.txt" in capsys.readouterr().err


def test_upload_puts_only_what_is_missing(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="artifacts")
        files = upload_code.package(jobs)
        assert upload_code.upload(files, "artifacts", "code/d/", "us-east-1") == 3
        assert upload_code.upload(files, "artifacts", "code/d/", "us-east-1") == 0
        body = (
            boto3.client("s3", region_name="us-east-1")
            .get_object(Bucket="artifacts", Key="code/d/run.py")["Body"]
            .read()
        )
    assert body == files["run.py"]


def test_sam_gets_parameters_that_the_template_knows() -> None:
    images = {"TrainingImage": "t", "ProcessingImage": "p"}
    parameters = stack.chosen_parameters("prod", images, "d1", ["AlarmEmail=me@example.org", "TrainingImage=mine"])
    assert set(parameters) <= set(load_project().document["Parameters"])
    assert parameters["TrainingImage"] == "mine"
    build, command = stack.sam_commands("sam", "dataloop-prod", "eu-central-1", parameters, confirm=True)
    assert build == ["sam", "build"]
    assert command[command.index("--parameter-overrides") + 1 :] == [f"{k}={v}" for k, v in parameters.items()]
    assert "--confirm-changeset" in command


def test_a_parameter_without_value_is_refused() -> None:
    with pytest.raises(ValueError, match="Name=Value"):
        stack.chosen_parameters("dev", {}, "d", ["AlarmEmail"])


@pytest.mark.skipif(
    importlib.util.find_spec("sagemaker") is None or importlib.util.find_spec("sagemaker.core") is None,
    reason="the sagemaker package is missing: it is part of the extra `deploy`, which has an environment of its own",
)
def test_images_follow_region_and_accelerator() -> None:
    from deploy import resolve_images  # imports the sagemaker package

    images = resolve_images.resolve("cn-north-1", "ml.g4dn.xlarge", "ml.m5.xlarge")
    assert images.training.split("/")[0].endswith(".dkr.ecr.cn-north-1.amazonaws.com.cn")
    assert "-gpu-" in images.training
    assert "-cpu-" in images.processing
