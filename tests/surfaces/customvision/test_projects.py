"""Domains, projects and copies by token, as Microsoft's own client sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training import models

from tests.core import Core
from tests.docs.pages import DOCS, table_rows
from tests.services.projects import fill, run_batch
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.gateway import Gateway

GENERAL = "ee85a74c-405e-4adc-bb47-ffa8ca0c9f31"
FOOD = "c151d5b5-dd07-472a-acc8-15d29dea8518"
LOGO = "1d8ffafe-ec40-4fb2-8f90-72b3b6cecea4"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def refusal(call: Callable[[], Any]) -> tuple[int, str, str]:
    """Status, code and message of a call that must fail."""
    with pytest.raises(models.CustomVisionErrorException) as refused:
        call()
    body = json.loads(refused.value.response.text)
    assert set(body) == {"code", "message"}
    return refused.value.response.status_code, body["code"], body["message"]


def batch_of(core: Core, project_id: str, kind: str) -> str:
    [task] = [item for item in core.entity("TASK") if (item["kind"], item["target"]) == (kind, f"Project#{project_id}")]
    return str(task["id"])


@covers("get_domains", "get_domain")
def test_the_published_domains_are_all_there(training: Any) -> None:
    found = training.get_domains()
    assert [(domain.name, domain.type) for domain in found if domain.id == GENERAL] == [("General", "Classification")]
    assert len({domain.id for domain in found}) == len(found) == 18
    assert {(domain.type, domain.name) for domain in found if domain.type == "ObjectDetection"} == {
        ("ObjectDetection", name)
        for name in (
            "General",
            "General [A1]",
            "Logo",
            "Products on Shelves",
            "General (compact)",
            "General (compact) [S1]",
        )
    }
    for domain in found:
        assert domain.enabled
        assert domain.exportable
        assert "ONNX" in domain.exportable_platforms
        assert training.get_domain(domain.id) == domain


def test_the_page_of_domains_has_what_is_answered(training: Any) -> None:
    rows = table_rows(DOCS / "surfaces/customvision-domains.md")
    written = [(row[0].strip("`"), row[1].removesuffix(", the default"), row[2]) for row in rows if len(row) == 4]
    found = [(domain.id, domain.name, domain.type) for domain in training.get_domains()]
    assert [row for row in written if row[0].count("-") == 4] == found


def test_an_unknown_domain_is_not_found(training: Any) -> None:
    assert refusal(lambda: training.get_domain(UNKNOWN))[:2] == (404, "NotFoundDomain")
    assert refusal(lambda: training.get_domain("food"))[:2] == (400, "BadRequestInvalidIds")


@covers("create_project", "get_project", "get_projects")
def test_a_project_without_choices_learns_several_tags_an_image_in_the_general_domain(training: Any) -> None:
    made = training.create_project("n ä/&")
    assert (made.name, made.description, made.status, made.dr_mode_enabled) == ("n ä/&", "", "Succeeded", False)
    assert (made.settings.domain_id, made.settings.classification_type) == (GENERAL, "Multilabel")
    assert made.settings.use_negative_set
    assert made.settings.image_processing_settings.augmentation_methods == {}
    assert made.created == made.last_modified
    assert made.thumbnail_uri is None
    assert training.get_project(made.id) == made
    assert training.get_projects() == [made]


def test_a_project_keeps_every_choice(training: Any, core: Core) -> None:
    made = training.create_project(
        "all",
        description="of it",
        domain_id=FOOD.upper(),
        classification_type="Multiclass",
        target_export_platforms=["ONNX", "CoreML"],
        export_model_container_uri="https://a.blob.example/models?sig=x",
        notification_queue_uri="https://a.queue.example/q",
    )
    settings = made.settings
    assert (made.description, settings.domain_id, settings.classification_type) == ("of it", FOOD, "Multiclass")
    assert settings.target_export_platforms == ["ONNX", "CoreML"]
    assert settings.export_model_container_uri == "https://a.blob.example/models?sig=x"
    assert settings.notification_queue_uri == "https://a.queue.example/q"
    assert core.services.projects.get("default", made.id).task_type == "classification"


def test_a_detection_project_has_no_classification_type(training: Any, core: Core) -> None:
    made = training.create_project("boxes", domain_id=LOGO, classification_type="Multiclass")
    assert made.settings.classification_type is None
    assert core.services.projects.get("default", made.id).task_type == "detection"


@pytest.mark.parametrize(
    ("choice", "code", "field"),
    [
        ({"domain_id": UNKNOWN}, "BadRequestProjectUnknownDomain", "domainId"),
        ({"domain_id": "food"}, "BadRequestInvalidIds", "domainId"),
        ({"classification_type": "Several"}, "BadRequestProjectUnknownClassification", "classificationType"),
        ({"target_export_platforms": ["VAIDK"]}, "BadRequestProjectUnsupportedExportPlatform", "targetExportPlatforms"),
        ({"target_export_platforms": ["Abacus"]}, "BadRequestProjectUnsupportedExportPlatform", "Abacus"),
        ({"notification_queue_uri": "file:///etc/passwd"}, "BadRequestInvalidUri", "notificationQueueUri"),
        ({"export_model_container_uri": "a container"}, "BadRequestInvalidUri", "exportModelContainerUri"),
        ({"description": "d" * 2001}, "BadRequestProjectDescription", "project description"),
    ],
)
def test_a_wrong_choice_is_refused_by_its_name(training: Any, choice: dict[str, Any], code: str, field: str) -> None:
    status, answered, message = refusal(lambda: training.create_project("p", **choice))
    assert (status, answered) == (400, code)
    assert field in message
    assert training.get_projects() == []


def test_names_are_unique_and_readable(training: Any, project: Any) -> None:
    assert refusal(lambda: training.create_project(project.name))[:2] == (400, "BadRequestProjectNameNotUnique")
    assert refusal(lambda: training.create_project("x" * 201))[:2] == (400, "BadRequestProjectName")
    assert refusal(lambda: training.create_project("  "))[:2] == (400, "BadRequestProjectName")


@covers("update_project")
def test_a_project_is_changed_by_sending_it_back(training: Any, project: Any, core: Core) -> None:
    core.clock.move(seconds=1)
    project.name, project.description = "beasts", "wild ones"
    project.settings.domain_id = FOOD
    project.settings.classification_type = "Multilabel"
    project.settings.target_export_platforms = ["openvino"]
    project.settings.image_processing_settings.augmentation_methods = {"rotation": True, "horizontal flip": False}
    changed = training.update_project(project.id, project)
    assert (changed.name, changed.description) == ("beasts", "wild ones")
    assert (changed.settings.domain_id, changed.settings.classification_type) == (FOOD, "Multilabel")
    assert changed.settings.target_export_platforms == ["OpenVino"]
    methods = changed.settings.image_processing_settings.augmentation_methods
    assert methods == {"rotation": True, "horizontal flip": False}
    assert changed.last_modified > changed.created
    assert training.get_project(project.id) == changed
    assert core.services.projects.get("default", project.id).task_type == "multilabel_classification"


def test_what_a_change_leaves_out_stays(gateway: Gateway, training: Any, training_key: str, project: Any) -> None:
    body = json.dumps({"description": "only this"}).encode()
    target = f"/customvision/v3.3/Training/projects/{project.id}"
    headers = {"Training-Key": training_key, "Content-Type": "application/json"}
    status, *_ = gateway.call("PATCH", target, headers, body)
    assert status == 200
    changed = training.get_project(project.id)
    assert (changed.name, changed.description, changed.settings) == (project.name, "only this", project.settings)


def test_wrong_changes_are_refused(training: Any, project: Any) -> None:
    training.create_project("taken")

    def changed(**settings: Any) -> Callable[[], Any]:
        wish = models.Project(name="n", description="d", settings=models.ProjectSettings(**settings))
        return lambda: training.update_project(project.id, wish)

    assert refusal(changed(domain_id=LOGO))[1] == "BadRequestProjectUnsupportedDomainTypeChange"
    assert refusal(changed(domain_id=UNKNOWN))[1] == "BadRequestProjectUnknownDomain"
    assert refusal(changed(classification_type="Several"))[1] == "BadRequestProjectUnknownClassification"
    assert refusal(changed(target_export_platforms=["Abacus"]))[1] == "BadRequestProjectUnsupportedExportPlatform"
    methods = models.ImageProcessingSettings(augmentation_methods={"x" * 65: True})
    assert refusal(changed(image_processing_settings=methods))[1] == "BadRequestProjectImagePreprocessingSettings"
    taken = models.Project(name="taken", description="", settings=models.ProjectSettings())
    assert refusal(lambda: training.update_project(project.id, taken))[1] == "BadRequestProjectNameNotUnique"
    assert training.get_project(project.id) == project


@covers("delete_project")
def test_a_deleted_project_is_gone(training: Any, project: Any, core: Core) -> None:
    assert training.delete_project(project.id, raw=True).response.status_code == 204
    assert training.get_projects() == []
    for call in (training.get_project, training.delete_project, training.get_tags, training.export_project):
        assert refusal(lambda call=call: call(project.id))[:2] == (404, "NotFoundProject")  # type: ignore[misc]
    assert run_batch(core, batch_of(core, project.id, "bulk_delete")) == 1
    assert training.create_project(project.name).id != project.id


def test_a_project_shows_the_image_that_came_first(training: Any, project: Any, core: Core) -> None:
    images = fill(core, core.services.projects.get("default", project.id), 3)
    thumbnail = core.services.renditions.links_of(images[0]).thumbnail
    assert training.get_project(project.id).thumbnail_uri.partition("?")[0] == thumbnail.partition("?")[0]
    assert [each.thumbnail_uri is not None for each in training.get_projects()] == [True]


@covers("export_project", "import_project")
def test_a_project_is_copied_by_its_token(training: Any, project: Any, core: Core) -> None:
    # given a project with images and tags
    cat, _ = (training.create_tag(project.id, name) for name in ("cat", "dog"))
    found = core.services.projects.get("default", project.id)
    fill(core, found, 20, {0: [core.services.projects.tag(found, cat.id)]})
    # when it is exported and imported
    exported = training.export_project(project.id)
    assert (exported.image_count, exported.tag_count, exported.region_count, exported.iteration_count) == (20, 2, 0, 0)
    assert exported.estimated_import_time_in_ms > 0
    copy = training.import_project(exported.token, name="the copy")
    # then there is a project at once, and everything is in it when the task has ended
    assert (copy.name, copy.status, copy.settings) == ("the copy", "Importing", project.settings)
    run_batch(core, batch_of(core, copy.id, "copy_project"))
    assert training.get_project(copy.id).status == "Succeeded"
    assert [(tag.name, tag.image_count) for tag in training.get_tags(copy.id)] == [("cat", 10), ("dog", 0)]
    assert training.get_image_count(copy.id) == 20
    assert training.get_image_count(project.id) == 20
    # and a second copy needs a name of its own
    again = refusal(lambda: training.import_project(exported.token, name="the copy"))
    assert again[:2] == (400, "BadRequestProjectNameNotUnique")
    assert training.import_project(exported.token).name.startswith("animals (")


def test_a_token_that_somebody_made_up_is_refused(training: Any, project: Any) -> None:
    token = training.export_project(project.id).token
    for wrong in (token[:-1], token.swapcase(), "please", token + "?%/&=", "ä"):
        answer = refusal(lambda wrong=wrong: training.import_project(wrong))  # type: ignore[misc]
        assert answer[:2] == (400, "BadRequestInvalidImportToken")
    assert len(training.get_projects()) == 1
