"""Exports and artifacts of an iteration, asked for with Microsoft's client."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.parse
import uuid
import zipfile
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomVisionErrorException,
    ExportFlavor,
    ExportPlatform,
)
from msrest.exceptions import HttpOperationError

from api_customvision import mapping_exports
from dataloop.catalog import exporters
from dataloop.domain.projects import Iteration
from tests.actions import labelled, ready_version, trained_model
from tests.core import Core
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.gateway import Gateway

NETWORK = b"the network's bytes"


@pytest.fixture
def iteration(core: Core, project: Any) -> Iteration:
    """A COMPLETED iteration of the project; its model is a real one."""
    model_id = trained_model(core, ready_version(core, labelled(core, 4)).id)
    at = core.clock.text()
    begun = core.stores.iterations.begin(
        Iteration("default", model_id, project.id, "Iteration 1", 1, "TRAINING", str(uuid.uuid4()), at, at)
    )
    return core.stores.iterations.end(begun, "COMPLETED", at, trained_at=at)


def finish(core: Core, files: dict[str, bytes], format: str) -> None:
    """Do what the job and the machine's last step do for every export under way."""
    for item in core.entity("TASK"):
        if item["kind"] == "export" and item["status"] == "QUEUED":
            core.again().judging.prepare_export("default", item["id"])
            root = f"default/exports/{item['id']}/output"
            facts = {}
            for name, body in files.items():
                core.stores.artifacts.put(f"{root}/{name}", body)
                facts[name] = {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}
            verification = json.dumps({"format": format, "files": facts}).encode()
            core.stores.artifacts.put(f"{root}/verification.json", verification)
            core.again().judging.record_export("default", item["id"])


def opened(core: Core, link: str) -> bytes:
    """What a signed link opens, found in the bucket: nobody listens where it points to."""
    return core.objects()[urllib.parse.unquote(urllib.parse.urlsplit(link).path).lstrip("/")]


@covers("export_iteration", "get_exports")
def test_an_export_is_polled_until_it_can_be_downloaded(
    core: Core, training: Any, project: Any, iteration: Iteration
) -> None:
    assert training.get_exports(project.id, iteration.id) == []
    asked = training.export_iteration(project.id, iteration.id, "ONNX", flavor="ONNX12")
    assert (asked.platform, asked.flavor, asked.status) == ("ONNX", "ONNX12", "Exporting")
    assert (asked.download_uri, asked.newer_version_available) == (None, False)
    (waiting,) = training.get_exports(project.id, iteration.id)
    assert (waiting.status, waiting.download_uri) == ("Exporting", None)

    finish(core, {"model.onnx": NETWORK, "model.json": b"{}"}, "onnx")
    (done,) = training.get_exports(project.id, iteration.id)
    assert (done.platform, done.flavor, done.status) == ("ONNX", "ONNX12", "Done")
    with zipfile.ZipFile(io.BytesIO(opened(core, done.download_uri))) as archive:
        assert archive.read("model.onnx") == NETWORK
        assert archive.read("labels.txt").decode().split() == list(
            core.stores.models.get("default", iteration.id).labels
        )
        manifest = json.loads(archive.read("cvexport.manifest"))
    assert manifest["DomainType"] == "Classification"
    assert (manifest["Platform"], manifest["Flavor"]) == ("ONNX", "ONNX12")
    assert (manifest["ModelFileName"], manifest["LabelFileName"]) == ("model.onnx", "labels.txt")
    assert manifest["IterationId"] == iteration.id
    again = training.export_iteration(project.id, iteration.id, "ONNX", flavor="ONNX12")
    assert (again.status, opened(core, again.download_uri)) == ("Done", opened(core, done.download_uri))


@covers("export_iteration")
@pytest.mark.parametrize("wish", mapping_exports.WISHES, ids=lambda wish: wish.name)
def test_every_platform_that_can_be_made_starts_its_own_format(
    core: Core, training: Any, project: Any, iteration: Iteration, wish: mapping_exports.Wish
) -> None:
    asked = training.export_iteration(project.id, iteration.id, wish.platform, flavor=wish.flavor)
    assert (asked.platform, asked.flavor, asked.status) == (wish.platform, wish.flavor, "Exporting")
    (task,) = [item for item in core.entity("TASK") if item["kind"] == "export"]
    assert task["parameters"]["format"] == wish.format
    assert wish.format in exporters.FORMATS


@covers("export_iteration")
@pytest.mark.parametrize(
    ("platform", "flavor", "code", "said"),
    [
        ("VAIDK", None, "BadRequestProjectUnsupportedExportPlatform", "retired"),
        (
            "Abacus",
            None,
            "BadRequestProjectUnsupportedExportPlatform",
            "CoreML, TensorFlow, DockerFile, ONNX, OpenVino",
        ),
        ("TensorFlow", None, "BadRequestExportValidationFailed", "TensorFlowLite"),
        ("TensorFlow", "TensorFlowNormal", "BadRequestExportValidationFailed", "TensorFlowLite"),
        ("ONNX", "Linux", "BadRequestExportValidationFailed", "ONNX10, ONNX12, ONNXFloat16"),
        ("CoreML", "ONNX12", "BadRequestExportValidationFailed", "none"),
        ("DockerFile", "ONNX12", "BadRequestExportValidationFailed", "Linux, Windows, ARM"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_way_out(
    training: Any, project: Any, iteration: Iteration, platform: str, flavor: str | None, code: str, said: str
) -> None:
    with pytest.raises(CustomVisionErrorException) as caught:
        training.export_iteration(project.id, iteration.id, platform, flavor=flavor)
    assert (caught.value.response.status_code, caught.value.error.code) == (400, code)
    assert said in caught.value.error.message
    assert training.get_exports(project.id, iteration.id) == []


def test_every_platform_and_flavor_of_the_client_is_either_made_or_refused() -> None:
    made = {wish.platform for wish in mapping_exports.WISHES}
    assert made == set(mapping_exports.PLATFORMS)
    refused = set(mapping_exports.REFUSED_PLATFORMS)
    assert {platform.value.lower() for platform in ExportPlatform} == {each.lower() for each in made} | refused
    flavors = {wish.flavor.lower() for wish in mapping_exports.WISHES if wish.flavor}
    assert {flavor.value.lower() for flavor in ExportFlavor} <= flavors | set(mapping_exports.REFUSED_FLAVORS)


@covers("export_iteration")
def test_the_spelling_of_platform_and_flavor_is_free_as_in_azure(
    training: Any, project: Any, iteration: Iteration
) -> None:
    asked = training.export_iteration(project.id, iteration.id, "onnx", flavor="onnxfloat16")
    assert (asked.platform, asked.flavor) == ("ONNX", "ONNXFloat16")


@covers("export_iteration")
def test_a_second_request_waits_for_the_first(training: Any, project: Any, iteration: Iteration) -> None:
    training.export_iteration(project.id, iteration.id, "ONNX")
    with pytest.raises(CustomVisionErrorException) as caught:
        training.export_iteration(project.id, iteration.id, "ONNX")
    assert (caught.value.response.status_code, caught.value.error.code) == (400, "BadRequestExportAlreadyInProgress")


@covers("get_exports")
def test_a_failed_export_is_shown_and_may_be_tried_again(
    core: Core, training: Any, project: Any, iteration: Iteration
) -> None:
    training.export_iteration(project.id, iteration.id, "CoreML")
    (task,) = [item for item in core.entity("TASK") if item["kind"] == "export"]
    core.services.tasks.fail("default", task["id"], "JobFailed", "the format coreml needs an environment of its own")
    (failed,) = training.get_exports(project.id, iteration.id)
    assert (failed.platform, failed.status, failed.download_uri) == ("CoreML", "Failed", None)
    assert training.export_iteration(project.id, iteration.id, "CoreML").status == "Exporting"
    assert [each.status for each in training.get_exports(project.id, iteration.id)] == ["Exporting"]


@covers("export_iteration")
def test_an_iteration_that_trains_is_not_exported(core: Core, training: Any, project: Any) -> None:
    at = core.clock.text()
    id = str(uuid.uuid4())
    core.stores.iterations.begin(
        Iteration("default", id, project.id, "Iteration 1", 1, "TRAINING", str(uuid.uuid4()), at, at)
    )
    with pytest.raises(CustomVisionErrorException) as caught:
        training.export_iteration(project.id, id, "ONNX")
    assert (caught.value.response.status_code, caught.value.error.code) == (400, "BadRequestIterationIsNotTrained")
    assert training.get_exports(project.id, id) == []


@covers("export_iteration", "get_exports")
def test_an_unknown_iteration_and_one_of_another_project(training: Any, project: Any, iteration: Iteration) -> None:
    other = training.create_project("other")
    for project_id, id in ((project.id, str(uuid.uuid4())), (other.id, iteration.id)):
        for call in (
            lambda: training.export_iteration(project_id, id, "ONNX"),  # noqa: B023 - called at once
            lambda: training.get_exports(project_id, id),  # noqa: B023
        ):
            with pytest.raises(CustomVisionErrorException) as caught:
                call()
            assert (caught.value.response.status_code, caught.value.error.code) == (404, "NotFoundIteration")


@covers("get_artifact")
def test_an_artifact_is_a_redirection_that_ends_at_its_bytes(
    core: Core, gateway: Gateway, training: Any, training_key: str, project: Any, iteration: Iteration
) -> None:
    path = f"iterations/{iteration.id}/report/metrics.json"
    target = f"/customvision/v3.3/training/projects/{project.id}/artifacts?path={urllib.parse.quote(path, safe='')}"
    status, headers, body = gateway.call("GET", target, {"Training-Key": training_key})
    assert (status, body) == (302, b"")
    link = {name.lower(): value for name, value in headers.items()}["location"]
    wanted = core.objects()[f"default/models/{iteration.id}/report/metrics.json"]
    assert opened(core, link) == wanted
    # Microsoft's client follows: moto answers where the link points to
    assert b"".join(training.get_artifact(project.id, path)) == wanted

    training.export_iteration(project.id, iteration.id, "ONNX", flavor="ONNX10")
    finish(core, {"model.onnx": NETWORK}, "onnx")
    path = f"iterations/{iteration.id}/exports/ONNX-ONNX10/model.onnx"
    assert b"".join(training.get_artifact(project.id, path)) == NETWORK


@covers("get_artifact")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("iterations/{id}/report/none.json", 404),
        ("iterations/{id}/exports/ONNX/model.onnx", 404),
        ("iterations/00000000-0000-0000-0000-000000000000/report/metrics.json", 404),
        ("iterations/{id}/../../../../default/models/x", 400),
        ("/etc/passwd", 400),
        ("https://example.com/iterations/a/model/x", 400),
        ("iterations/nobody/model/x", 400),
        ("x", 400),
    ],
)
def test_an_artifact_outside_the_project_is_nobodys(
    training: Any, project: Any, iteration: Iteration, path: str, status: int
) -> None:
    with pytest.raises(HttpOperationError) as caught:
        training.get_artifact(project.id, path.format(id=iteration.id))
    assert caught.value.response.status_code == status
    answer = caught.value.response.json()
    expected = {400: ("BadRequestInvalidArtifactUri", "BadRequestInvalidIds"), 404: ("NotFound", "NotFoundIteration")}
    assert answer["code"] in expected[status]
    assert set(answer) == {"code", "message"}


@covers("export_iteration", "get_exports", "get_artifact")
def test_a_prediction_key_reads_no_model(
    gateway: Gateway, project: Any, iteration: Iteration, prediction_key: str
) -> None:
    root = f"/customvision/v3.3/training/projects/{project.id}"
    for method, path in (
        ("POST", f"/iterations/{iteration.id}/export?platform=ONNX"),
        ("GET", f"/iterations/{iteration.id}/export"),
        ("GET", f"/artifacts?path=iterations/{iteration.id}/model/model.onnx"),
    ):
        status, _, body = gateway.call(method, root + path, {"Training-Key": prediction_key})
        assert (status, json.loads(body)["code"]) == (403, "ForbiddenUserInsufficientCapability")
