"""What training.prepare answers is what the machine's CreateTrainingJob reads, in SageMaker's own shape."""

from __future__ import annotations

import re

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tests.actions import job_output, labelled, ready_version, trained_model
from tests.core import ARTIFACTS, Core
from tests.infra.template import MACHINES


@pytest.mark.parametrize("warm", [False, True])
def test_a_job_gets_its_channels_and_one_for_the_parent_only_if_there_is_one(core: Core, warm: bool) -> None:
    # given a built version, and a model to start from or none
    version = ready_version(core, labelled(core, 4))
    parent = trained_model(core, version.id) if warm else None
    task = core.services.training.request("default", version.id, parent_model_id=parent)
    # when the job is prepared
    job = core.again().training.prepare("default", task.id)
    # then SageMaker takes the channels, and each says where its files are
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob")
    report = ParamValidator().validate(job["input_data_config"], shape.input_shape.members["InputDataConfig"])
    assert not report.has_errors(), report.generate_report()
    sources = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"] for entry in job["input_data_config"]}
    assert list(sources) == ["code", "dataset", "images"] + ["parent"] * warm
    assert {name for name, source in sources.items() if source["S3DataType"] == "ManifestFile"} == {"images"}
    assert sources["images"]["S3Uri"] == sources["dataset"]["S3Uri"] + "images.manifest"
    if parent:
        assert sources["parent"]["S3Uri"].endswith(f"default/models/{parent}/model/")
    assert job["instance_count"] == core.settings.training_instances == 1
    # and the machine reads every field of the answer, and no other
    machine = (MACHINES / "training.asl.json").read_text("utf-8")
    assert set(job) == set(re.findall(r"\$\.prepare\.out\.(\w+)", machine))


def test_event_files_of_tensorboard_are_files_of_the_task(core: Core) -> None:
    # given a training that left some, as SageMaker uploads them
    version = ready_version(core, labelled(core, 4))
    task = core.services.training.request("default", version.id, parameters={"tensorboard": True})
    core.again().training.prepare("default", task.id)
    place = f"default/training/{task.id}/tensorboard"
    core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{place}/events.out.tfevents.1", Body=b"events")
    # when its model is registered
    core.again().training.register_model("default", task.id, job_output(core, task.id))
    # then the task names them, with links
    (file,) = core.services.tasks.files(core.services.tasks.read("default", task.id))
    assert (file["name"], file["size_bytes"]) == ("events.out.tfevents.1", 6)
    assert place in file["url"]
