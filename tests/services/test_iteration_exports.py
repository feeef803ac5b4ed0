"""Exports of an iteration: asked for once, tried again after a failure, packed as one file, and found at once."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from dataloop.domain.artifact_paths import check_path
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.projects import Iteration
from dataloop.services import iteration_exports
from tests.actions import labelled, ready_version, trained_model
from tests.core import Core

TEXTS = {"about.json": '{"made": "here"}\n'}
NETWORK = b"a network" * 1000


@pytest.fixture
def iteration(core: Core) -> Iteration:
    """A trained one; its id is its model's."""
    model_id = trained_model(core, ready_version(core, labelled(core, 4)).id)
    at = core.clock.text()
    return Iteration("default", model_id, "project", "Iteration 1", 1, "COMPLETED", "task", at, at, trained_at=at)


def finish(core: Core, task_id: str, files: Mapping[str, bytes], format: str = "onnx") -> None:
    """What the job leaves, and the machine's last step."""
    core.again().judging.prepare_export("default", task_id)
    root = f"default/exports/{task_id}/output"
    facts = {
        name: {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)} for name, body in files.items()
    }
    for name, body in files.items():
        core.stores.artifacts.put(f"{root}/{name}", body)
    verification = json.dumps({"format": format, "files": facts}).encode()
    core.stores.artifacts.put(f"{root}/verification.json", verification)
    core.again().judging.record_export("default", task_id)


def only_task(core: Core, status: str = "QUEUED") -> str:
    (found,) = [task for task in core.entity("TASK") if task["kind"] == "export" and task["status"] == status]
    return str(found["id"])


def behind(core: Core, link: str | None) -> bytes:
    """The object that a link opens."""
    assert link is not None
    assert "X-Amz-Signature" in link
    key = unquote(urlsplit(link).path).lstrip("/")
    return core.objects()[key.removeprefix("artifacts-bucket/")]


def test_an_export_becomes_one_archive_with_the_labels_in_the_networks_order(core: Core, iteration: Iteration) -> None:
    exports = core.services.iteration_exports
    assert exports.exports(iteration, ["ONNX"]) == []
    asked = exports.request(iteration, "ONNX", "onnx", TEXTS)
    assert (asked.status, asked.link) == ("exporting", None)
    assert [found.status for found in core.again().iteration_exports.exports(iteration, ["CoreML", "ONNX"])] == [
        "exporting"
    ]
    finish(core, only_task(core), {"model.onnx": NETWORK, "model.json": b"{}"})
    (found,) = core.again().iteration_exports.exports(iteration, ["ONNX"])
    assert (found.status, found.is_outdated) == ("done", False)
    with zipfile.ZipFile(io.BytesIO(behind(core, found.link))) as archive:
        assert archive.namelist() == ["model.json", "model.onnx", "about.json", "labels.txt"]
        assert archive.read("model.onnx") == NETWORK
        assert archive.read("about.json").decode() == TEXTS["about.json"]
        labels = core.stores.models.get("default", iteration.id).labels
        assert archive.read("labels.txt").decode().splitlines() == list(labels)
        assert exports.labels(iteration) == labels
    # Asking again makes nothing anew
    again = exports.request(iteration, "ONNX", "onnx", TEXTS)
    assert again.status == "done"
    assert len([task for task in core.entity("TASK") if task["kind"] == "export"]) == 1


def test_a_repeated_last_step_leaves_the_same_bytes(core: Core, iteration: Iteration) -> None:
    core.services.iteration_exports.request(iteration, "ONNX", "onnx", TEXTS)
    task_id = only_task(core)
    finish(core, task_id, {"model.onnx": NETWORK})
    key = f"default/exports/{task_id}/output/archive.zip"
    before = core.objects()[key]
    core.again().judging.record_export("default", task_id)
    assert core.objects()[key] == before


def test_while_one_is_made_another_is_refused(core: Core, iteration: Iteration) -> None:
    core.services.iteration_exports.request(iteration, "ONNX", "onnx", TEXTS)
    with pytest.raises(IllegalTransition) as caught:
        core.again().iteration_exports.request(iteration, "ONNX", "onnx", TEXTS)
    assert caught.value.details()["entity"] == "export"
    # Another flavour is another export
    assert core.services.iteration_exports.request(iteration, "ONNX-ONNX12", "onnx", TEXTS).status == "exporting"


def test_two_requests_at_once_are_one_export(core: Core, iteration: Iteration) -> None:
    def ask(_: int) -> str:
        try:
            return core.again().iteration_exports.request(iteration, "ONNX", "onnx", TEXTS).status
        except IllegalTransition:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(ask, range(8)))
    assert "exporting" in answers
    assert answers <= {"exporting", "refused"}
    assert only_task(core)


def test_a_failed_export_says_why_and_may_be_asked_for_again(core: Core, iteration: Iteration) -> None:
    exports = core.services.iteration_exports
    for reason in ("the format coreml needs an environment of its own", "again"):
        exports.request(iteration, "CoreML", "coreml", TEXTS)
        core.services.tasks.fail("default", only_task(core), "JobFailed", reason)
        (found,) = core.again().iteration_exports.exports(iteration, ["CoreML"])
        assert (found.status, found.link, found.reason) == ("failed", None, reason)
    exports.request(iteration, "CoreML", "coreml", TEXTS)
    finish(core, only_task(core), {"model.mlpackage.zip": NETWORK}, "coreml")
    assert [found.status for found in exports.exports(iteration, ["CoreML"])] == ["done"]


def test_an_archive_of_an_older_kind_is_offered_anew(
    core: Core, iteration: Iteration, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = core.services.iteration_exports
    exports.request(iteration, "ONNX", "onnx", TEXTS)
    finish(core, only_task(core), {"model.onnx": NETWORK})
    monkeypatch.setattr(iteration_exports, "PACKAGE", iteration_exports.PACKAGE + 1)
    (old,) = exports.exports(iteration, ["ONNX"])
    assert (old.status, old.is_outdated) == ("done", True)
    assert exports.request(iteration, "ONNX", "onnx", TEXTS).status == "exporting"
    finish(core, only_task(core), {"model.onnx": NETWORK})
    (new,) = exports.exports(iteration, ["ONNX"])
    assert (new.status, new.is_outdated) == ("done", False)


def test_what_is_one_file_already_is_not_packed_again(core: Core, iteration: Iteration) -> None:
    exports = core.services.iteration_exports
    exports.request(iteration, "DockerFile-Linux", "dockerfile", TEXTS)
    finish(core, only_task(core), {"dockerfile.zip": NETWORK, "model.json": b"{}"}, "dockerfile")
    (found,) = exports.exports(iteration, ["DockerFile-Linux"])
    assert behind(core, found.link) == NETWORK


@pytest.mark.parametrize("status", ["TRAINING", "FAILED"])
def test_only_a_trained_iteration_is_exported(core: Core, iteration: Iteration, status: str) -> None:
    untrained = replace(iteration, status=status)
    with pytest.raises(IllegalTransition) as caught:
        core.services.iteration_exports.request(untrained, "ONNX", "onnx", TEXTS)
    assert (caught.value.details()["entity"], caught.value.details()["current"]) == ("iteration", status)
    assert core.services.iteration_exports.exports(untrained, ["ONNX"]) == []


def test_files_of_an_iteration_have_paths(core: Core, iteration: Iteration) -> None:
    exports = core.services.iteration_exports
    body = core.objects()[f"default/models/{iteration.id}/report/metrics.json"]
    assert behind(core, exports.artifact(iteration, "report/metrics.json")) == body
    assert b'"labels"' in behind(core, exports.artifact(iteration, "model/model.json"))
    exports.request(iteration, "ONNX", "onnx", TEXTS)
    finish(core, only_task(core), {"model.onnx": NETWORK})
    assert behind(core, exports.artifact(iteration, "exports/ONNX/model.onnx")) == NETWORK
    for path in ("report/none.json", "model", "other/x", "exports/ONNX/none", "exports/CoreML/model.onnx", "exports/x"):
        with pytest.raises(NotFound) as caught:
            exports.artifact(iteration, path)
        assert caught.value.details()["entity"] == "artifact"


WRONG: list[Any] = [
    "",
    "x",
    "/etc/passwd",
    "iterations/i/../../other",
    "iterations/i/model/..",
    "iterations//model/x",
    "iterations/i/model",
    "iterations/i/model/",
    "iterations\\i\\model\\x",
    "https://example.com/iterations/i/model/x",
    "iterations/i/model/\x00",
    "iterations/i/model/" + "x" * 512,
]


@pytest.mark.parametrize("path", WRONG)
def test_a_path_stays_inside_its_project(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_path(path)
    assert caught.value.details()["field"] == "path"


def test_a_format_without_masks_is_refused_for_a_model_that_draws_them(core: Core, iteration: Iteration) -> None:
    found = core.stores.models.get("default", iteration.id)
    drawing = core.stores.models.create(replace(found, id="masks", task_type="semantic_segmentation"))
    with pytest.raises(InvalidInput, match="no place for the masks of semantic_segmentation"):
        core.services.judging.request_export("default", drawing.id, "onnx_end_to_end")
    assert core.services.judging.request_export("default", drawing.id, "onnx").status == "QUEUED"
