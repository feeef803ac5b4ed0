"""Train, poll, publish, delete, with Microsoft's Python client; and one whole real training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training.models import (
    CustomBaseModelInfo,
    CustomVisionErrorException,
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    Region,
)

from tests import projects
from tests.core import Core
from tests.real_training import run_training
from tests.surfaces.customvision.coverage import covers
from tests.surfaces.customvision.drawings import drawings

NOBODY = "01a20320-a200-7000-8000-0000000000ff"
RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/prediction"


def refusal(raised: pytest.ExceptionInfo[CustomVisionErrorException]) -> tuple[int, str]:
    error = raised.value.error
    assert error is not None
    return raised.value.response.status_code, error.code


def filled(
    core: Core, training: Any, project: Any, count: int = 5, names: tuple[str, ...] = ("cat", "dog")
) -> list[Any]:
    """Tags with so many images each; returns the tags."""
    made = core.services.projects.get("default", project.id)
    box = projects.BOX if made.task_type == "detection" else None
    tags = [training.create_tag(project.id, name) for name in names]
    for tag in tags:
        ours = core.services.projects.tag(made, tag.id)
        projects.add(core, made, projects.seeds(tag.name, count), ours, box=box)
    return tags


def completed(core: Core, training: Any, project: Any, **wish: Any) -> Any:
    """An iteration that came to a good end."""
    made = core.services.projects.get("default", project.id)
    asked = training.train_project(project.id, **wish)
    projects.finish(core, made, core.services.iterating.get(made, asked.id))
    return training.get_iteration(project.id, asked.id)


@covers("train_project")
@covers("get_iteration")
@covers("get_iterations")
def test_a_training_is_seen_from_training_to_completed(core: Core, training: Any, project: Any) -> None:
    filled(core, training, project)
    asked = training.train_project(project.id)
    # what the client polls for
    assert (asked.status, asked.name, asked.project_id) == ("Training", "Iteration 1", project.id)
    assert asked.created == asked.last_modified == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert (asked.trained_at, asked.exportable, asked.publish_name, asked.training_error_details) == (
        None,
        False,
        None,
        None,
    )
    assert (asked.training_type, asked.reserved_budget_in_hours) == ("Regular", 0)
    assert (asked.classification_type, asked.domain_id) == ("Multiclass", project.settings.domain_id)
    core.clock.move(seconds=90)
    made = core.services.projects.get("default", project.id)
    projects.finish(core, made, core.services.iterating.get(made, asked.id))
    done = training.get_iteration(project.id, asked.id)
    assert (done.status, done.exportable, done.training_time_in_minutes) == ("Completed", True, 2)
    assert done.trained_at == datetime(2026, 11, 22, 12, 1, 30, tzinfo=UTC)
    assert {"ONNX", "CoreML"} <= set(done.exportable_to)
    # the newest first: Microsoft's samples take the first for the newest
    again = training.train_project(project.id, force_train=True)
    assert [each.id for each in training.get_iterations(project.id)] == [again.id, done.id]


def test_a_training_that_failed_says_why(core: Core, training: Any, project: Any) -> None:
    filled(core, training, project)
    asked = training.train_project(project.id)
    task_id = core.services.iterating.get(core.services.projects.get("default", project.id), asked.id).task_id
    core.services.tasks.fail("default", task_id, "JobFailed", "the network diverged")
    failed = training.get_iteration(project.id, asked.id)
    assert (failed.status, failed.training_error_details, failed.trained_at) == ("Failed", "the network diverged", None)


def test_a_wish_is_kept_with_its_iteration(core: Core, training: Any, project: Any) -> None:
    tags = filled(core, training, project, names=("cat", "dog", "cow"))
    base = completed(core, training, project)
    asked = training.train_project(
        project.id,
        training_type="Advanced",
        reserved_budget_in_hours=3,
        notification_email_address="me@example.com",
        selected_tags=[tags[0].id, tags[2].id],
        custom_base_model_info=CustomBaseModelInfo(project_id=project.id, iteration_id=base.id),
    )
    assert (asked.training_type, asked.reserved_budget_in_hours) == ("Advanced", 3)
    assert asked.custom_base_model_info.as_dict() == {"project_id": project.id, "iteration_id": base.id}


@covers("publish_iteration")
@covers("unpublish_iteration")
def test_publishing(core: Core, training: Any, project: Any) -> None:
    filled(core, training, project)
    first, second = completed(core, training, project), completed(core, training, project, force_train=True)
    assert training.publish_iteration(project.id, first.id, "live", RESOURCE) is True
    shown = training.get_iteration(project.id, first.id)
    assert (shown.publish_name, shown.original_publish_resource_id) == ("live", RESOURCE)
    # publishing twice, and a name that is taken
    with pytest.raises(CustomVisionErrorException) as twice:
        training.publish_iteration(project.id, first.id, "live", RESOURCE)
    assert refusal(twice) == (400, "BadRequestIterationIsPublished")
    with pytest.raises(CustomVisionErrorException) as taken:
        training.publish_iteration(project.id, second.id, "live", RESOURCE)
    assert refusal(taken) == (400, "BadRequestInvalidPublishName")
    # overwriting moves it
    assert training.publish_iteration(project.id, second.id, "live", RESOURCE, overwrite=True) is True
    assert training.get_iteration(project.id, first.id).publish_name is None
    # one that is published is not deleted
    with pytest.raises(CustomVisionErrorException) as published:
        training.delete_iteration(project.id, second.id)
    assert refusal(published) == (400, "BadRequestIterationIsPublished")
    assert training.unpublish_iteration(project.id, second.id) is None
    with pytest.raises(CustomVisionErrorException) as not_published:
        training.unpublish_iteration(project.id, second.id)
    assert refusal(not_published) == (400, "BadRequestIterationNotPublished")


@pytest.mark.parametrize(
    ("name", "target", "code"),
    [
        ("a/b", RESOURCE, "BadRequestInvalidPublishName"),
        ("x" * 129, RESOURCE, "BadRequestInvalidPublishName"),
        ("live", "", "BadRequestRequiredParamIsNull"),
        ("live", " ", "BadRequestInvalidPublishTarget"),
    ],
)
def test_names_and_targets_that_cannot_be(
    core: Core, training: Any, project: Any, name: str, target: str, code: str
) -> None:
    filled(core, training, project)
    done = completed(core, training, project)
    with pytest.raises(CustomVisionErrorException) as refused:
        training.publish_iteration(project.id, done.id, name, target)
    assert refusal(refused) == (400, code)


@covers("update_iteration")
@covers("delete_iteration")
def test_renaming_and_deleting(core: Core, training: Any, project: Any) -> None:
    filled(core, training, project)
    first, second = completed(core, training, project), completed(core, training, project, force_train=True)
    assert training.update_iteration(project.id, first.id, "best").name == "best"
    with pytest.raises(CustomVisionErrorException) as taken:
        training.update_iteration(project.id, second.id, "best")
    assert refusal(taken) == (400, "BadRequestIterationNameNotUnique")
    with pytest.raises(CustomVisionErrorException) as empty:
        training.update_iteration(project.id, second.id, " ")
    assert refusal(empty) == (400, "BadRequestIterationName")
    assert training.delete_iteration(project.id, first.id) is None
    for id in (first.id, NOBODY):
        with pytest.raises(CustomVisionErrorException) as gone:
            training.get_iteration(project.id, id)
        assert refusal(gone) == (404, "NotFoundIteration")
    with pytest.raises(CustomVisionErrorException) as again:
        training.delete_iteration(project.id, first.id)
    assert refusal(again) == (404, "NotFoundIteration")


# -- bad input ---------------------------------------------------------------------------------------------------
def test_too_few_images(
    core: Core, training: Any, project: Any, multilabel_project: Any, detection_project: Any
) -> None:
    wanted = {
        project.id: (4, "BadRequestMultiClassClassificationTrainingValidationFailed"),
        multilabel_project.id: (4, "BadRequestMultiLabelClassificationTrainingValidationFailed"),
        detection_project.id: (14, "BadRequestDetectionTrainingValidationFailed"),
    }
    for each in (project, multilabel_project, detection_project):
        count, code = wanted[each.id]
        with pytest.raises(CustomVisionErrorException) as empty:
            training.train_project(each.id)
        assert refusal(empty) == (400, code)
        filled(core, training, each, count)
        with pytest.raises(CustomVisionErrorException) as few:
            training.train_project(each.id)
        assert refusal(few) == (400, code)
        assert f"'cat' has {count}" in few.value.message
        assert training.get_iterations(each.id) == []


def test_nothing_new_and_twice_at_once(core: Core, training: Any, project: Any) -> None:
    filled(core, training, project)
    completed(core, training, project)
    with pytest.raises(CustomVisionErrorException) as nothing_new:
        training.train_project(project.id)
    assert refusal(nothing_new) == (400, "BadRequestTrainingNotNeeded")
    assert training.train_project(project.id, force_train=True).status == "Training"
    with pytest.raises(CustomVisionErrorException) as twice:
        training.train_project(project.id, force_train=True)
    assert refusal(twice) == (400, "BadRequestTrainingAlreadyInProgress")


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"training_type": "Thorough"}, 400, "BadRequest"),
        ({"training_type": "Advanced"}, 400, "BadRequestReservedBudgetInHoursNotEnoughForAdvancedTraining"),
        ({"notification_email_address": "nobody"}, 400, "BadRequestInvalidEmailAddress"),
        ({"selected_tags": ["cat"]}, 400, "BadRequestInvalidIds"),
        ({"selected_tags": [NOBODY]}, 404, "NotFoundTag"),
        (
            {"custom_base_model_info": CustomBaseModelInfo(project_id=NOBODY, iteration_id=NOBODY)},
            404,
            "NotFoundProject",
        ),
    ],
)
def test_wishes_that_cannot_be_met(
    core: Core, training: Any, project: Any, wish: dict[str, Any], status: int, code: str
) -> None:
    filled(core, training, project)
    with pytest.raises(CustomVisionErrorException) as refused:
        training.train_project(project.id, **wish)
    assert refusal(refused) == (status, code)


def test_base_models_that_do_not_fit(core: Core, training: Any, project: Any, detection_project: Any) -> None:
    filled(core, training, project)
    filled(core, training, detection_project, 15)
    boxes = completed(core, training, detection_project)
    running = training.train_project(detection_project.id, force_train=True)
    for id, code in (
        (boxes.id, "BadRequestCustomBaseModelDomainNotCompatible"),
        (running.id, "BadRequestCustomBaseModelIterationStatusNotCompleted"),
    ):
        with pytest.raises(CustomVisionErrorException) as refused:
            base = CustomBaseModelInfo(project_id=detection_project.id, iteration_id=id)
            training.train_project(project.id, custom_base_model_info=base)
        assert refusal(refused) == (400, code)


def test_boxes_and_a_negative_tag(core: Core, training: Any, detection_project: Any) -> None:
    filled(core, training, detection_project, 15, ("cat",))
    made = core.services.projects.get("default", detection_project.id)
    projects.add(core, made, projects.seeds("n", 15), projects.tag(core, made, "none", "negative"))
    with pytest.raises(CustomVisionErrorException) as refused:
        training.train_project(detection_project.id)
    assert refusal(refused) == (400, "BadRequestDetectionTrainingNotAllowNegativeTag")


def test_an_iteration_that_is_not_trained_is_not_published(core: Core, training: Any, project: Any) -> None:
    filled(core, training, project)
    asked = training.train_project(project.id)
    with pytest.raises(CustomVisionErrorException) as refused:
        training.publish_iteration(project.id, asked.id, "live", RESOURCE)
    assert refusal(refused) == (400, "BadRequestIterationIsNotTrained")


def test_a_prediction_key_trains_nothing(core: Core, gateway: Any, prediction_key: str, project: Any) -> None:
    path = f"/customvision/v3.3/Training/projects/{project.id}/train"
    status, _, _ = gateway.call("POST", path, {"Training-Key": prediction_key}, b"")
    assert status == 403


# -- a real one --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["project", "detection_project"])
def test_figures_are_learnt_from_a_few_pictures(
    core: Core, training: Any, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    # given a project with the fewest pictures of two figures that may be trained on
    project = request.getfixturevalue(kind)
    is_boxes = kind == "detection_project"
    for figure in ("disc", "cross"):
        tag = training.create_tag(project.id, figure)
        entries = [
            ImageFileCreateEntry(
                name=f"{figure} {number}",
                contents=bytearray(each.content),
                tag_ids=None if is_boxes else [tag.id],
                regions=[
                    Region(tag_id=tag.id, left=each.box[0], top=each.box[1], width=each.box[2], height=each.box[3])
                ]
                if is_boxes
                else None,
            )
            for number, each in enumerate(drawings(figure, 15 if is_boxes else 5))
        ]
        assert training.create_images_from_files(project.id, ImageFileCreateBatch(images=entries)).is_batch_successful
    # when it is trained by the real job
    asked = training.train_project(project.id)
    made = core.services.projects.get("default", project.id)
    projects.finish(
        core,
        made,
        core.services.iterating.get(made, asked.id),
        lambda core, job: run_training(core, job, tmp_path / "job"),
    )
    # then every tag was tested on pictures that were not learnt, and told well
    assert training.get_iteration(project.id, asked.id).status == "Completed"
    found = training.get_iteration_performance(project.id, asked.id, threshold=0.5, overlap_threshold=0.3)
    assert {each.name for each in found.per_tag_performance} == {"disc", "cross"}
    assert found.average_precision >= 0.8
