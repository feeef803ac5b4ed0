"""Auto-annotation: a teacher's predictions become annotations once, and never speak over people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from dataloop.domain.annotations import Annotation
from dataloop.domain.models import Model
from dataloop.domain.tasks import Task
from tests.actions import analysis_output, label, labelled, meta, put, ready_version, release, trained_model
from tests.core import Core

BOX = {"label": "cat", "score": 0.91234, "box": [0.25, 0.5, 0.5, 0.25]}


@pytest.fixture
def teacher(core: Core) -> Model:
    model_id = trained_model(core, ready_version(core, labelled(core, 4)).id)
    return core.services.tracing.model("default", model_id)


def new_image(core: Core, name: str) -> str:
    """An uploaded image that nobody has labelled; returns its uid."""
    uid, notice = put(core, f"new/{name}.jpg")
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid))
    return uid


def suggest(core: Core, teacher: Model, predictions: dict[str, list[dict[str, Any]]], **wish: Any) -> Task:
    """An auto-annotation of exactly these images, from request to end."""
    body = {"model_id": teacher.id, "uids": list(predictions)} | wish
    task = core.services.analysing.request_annotation("default", body)
    core.again().analysing.prepare("default", task.id)
    analysis_output(core, task.id, predictions=predictions)
    core.again().analysing.record("default", task.id)
    return core.services.tasks.get("default", task.id)


def said_of(core: Core, uid: str) -> list[Annotation]:
    ids = core.services.registering.annotation_ids("default", uid)
    found = core.services.annotating.get_many("default", ids).values()
    return sorted(found, key=lambda each: (each.created_at, each.id))


def size_of(core: Core, uid: str) -> tuple[int, int]:
    facts = core.services.registering.get("default", uid).facts
    assert facts is not None and facts.width and facts.height
    return facts.width, facts.height


def test_a_prediction_becomes_an_annotation_in_pixels_with_its_teacher(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    width, height = size_of(core, uid)
    task = suggest(core, teacher, {uid: [BOX, BOX | {"label": "dog", "score": 0.2}]}, min_score=0.5)
    (found,) = said_of(core, uid)
    assert (found.method, found.type) == ("auto", "detection")
    assert (found.model_name, found.model_version) == (teacher.name, teacher.version)
    corners = [0.25 * width, 0.5 * height, 0.75 * width, 0.75 * height]
    assert [dict(entry) for entry in found.labels] == [{"label": "cat", "score": 0.9123, "bbox_xyxy": corners}]
    assert (task.result["annotations"], task.result["labels"]) == (1, {"cat": 1})
    assert (task.result["model_name"], task.result["model_version"]) == (teacher.name, teacher.version)


def test_a_classifier_suggests_the_likeliest_label_alone(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    model_id = trained_model(core, version.id, task_type="classification")
    classifier = core.services.tracing.model("default", model_id)
    uid = new_image(core, "1")
    said = [{"label": name, "score": score, "box": None} for name, score in (("cat", 0.6), ("dog", 0.3), ("cow", 0.1))]
    suggest(core, classifier, {uid: said})
    (found,) = said_of(core, uid)
    assert [(entry["label"], entry["score"]) for entry in found.labels] == [("cat", 0.6)]


def test_a_mask_travels_as_the_annotations_segmentation(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    assert size_of(core, uid) == (24, 16)
    # The whole image in COCO's compressed form: a run of 0 pixels that are not it, and one of 384 that are.
    body = {"size": [16, 24], "counts": "0P<"}
    suggest(core, teacher, {uid: [BOX | {"mask": body}]})
    (found,) = said_of(core, uid)
    assert found.labels[0]["segmentation"] == body


def test_images_that_people_labelled_are_left_alone_unless_asked(core: Core, teacher: Model) -> None:
    mine, theirs = new_image(core, "1"), new_image(core, "2")
    core.services.annotating.register("default", label(theirs))
    body = {"model_id": teacher.id, "uids": [mine, theirs]}
    task = core.services.analysing.request_annotation("default", body)
    core.again().analysing.prepare("default", task.id)
    # the job is not even shown them
    rows = core.objects()[f"default/analyses/{task.id}/input/images.jsonl"].splitlines()
    assert [json.loads(row)["uid"] for row in rows] == [mine]
    assert core.services.tasks.read("default", task.id).context["not_used"]["counts"] == {"labelled": 1}
    asked = suggest(core, teacher, {mine: [BOX], theirs: [BOX]}, include_labelled=True)
    assert asked.result["annotations"] == 2
    assert [each.method for each in said_of(core, theirs)].count("auto") == 1


def test_a_teacher_with_nothing_left_to_say_starts_no_job(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    core.services.annotating.register("default", label(uid))
    task = core.services.analysing.request_annotation("default", {"model_id": teacher.id, "uids": [uid]})
    assert core.again().analysing.prepare("default", task.id) == {"has_images": False}
    result = core.services.tasks.get("default", task.id).result
    assert (result["images"], result["not_used"]["counts"]) == (0, {"labelled": 1})


def test_people_who_labelled_while_the_job_ran_are_not_spoken_over(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    task = core.services.analysing.request_annotation("default", {"model_id": teacher.id, "uids": [uid]})
    core.again().analysing.prepare("default", task.id)
    analysis_output(core, task.id, predictions={uid: [BOX]})
    core.services.annotating.register("default", label(uid))
    core.again().analysing.record("default", task.id)
    result = core.services.tasks.get("default", task.id).result
    assert (result["annotations"], result["labelled_meanwhile"]) == (0, 1)
    assert [each.method for each in said_of(core, uid)] == ["manual"]


def test_labels_of_another_task_do_not_count_as_labelled(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    scene = {"annotationType": "classification", "labelInfo": [{"label": "kitchen"}]}
    core.services.annotating.register("default", label(uid, **scene))
    assert suggest(core, teacher, {uid: [BOX]}).result["annotations"] == 1


def test_the_same_teacher_twice_says_it_once(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    first = suggest(core, teacher, {uid: [BOX]})
    core.clock.move(hours=1)
    again = suggest(core, teacher, {uid: [BOX]})
    assert len(said_of(core, uid)) == 1
    assert again.result["annotations"] == first.result["annotations"] == 1


def test_a_newer_version_of_the_teacher_replaces_its_last_word(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    suggest(core, teacher, {uid: [BOX]})
    core.clock.move(hours=1)
    version_id = str(teacher.dataset["version_id"])
    newer = core.services.tracing.model("default", trained_model(core, version_id, model_name=teacher.name))
    suggest(core, newer, {uid: [BOX | {"label": "dog"}]})
    old, new = said_of(core, uid)
    assert (new.supersedes, new.model_version) == (old.id, newer.version)
    # and one that sees nothing any more takes it back
    core.clock.move(hours=1)
    newest = core.services.tracing.model("default", trained_model(core, version_id, model_name=teacher.name))
    suggest(core, newest, {uid: []})
    last = said_of(core, uid)[-1]
    assert (last.labels, last.supersedes) == ((), new.id)


def test_another_teacher_does_not_replace_the_first(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    suggest(core, teacher, {uid: [BOX]})
    other = trained_model(core, str(teacher.dataset["version_id"]), model_name="another")
    suggest(core, core.services.tracing.model("default", other), {uid: [BOX]})
    assert [each.supersedes for each in said_of(core, uid)] == [None, None]


def test_an_image_about_which_the_teacher_says_nothing_gets_no_annotation(core: Core, teacher: Model) -> None:
    silent, below, flat = (new_image(core, name) for name in "123")
    thin = BOX | {"box": [0.5, 0.5, 0.0, 0.5]}
    found = {silent: [], below: [BOX | {"score": 0.1}], flat: [thin]}
    task = suggest(core, teacher, found, min_score=0.5)
    assert (task.result["annotations"], task.result["without_suggestion"]) == (0, 3)
    assert [said_of(core, uid) for uid in found] == [[], [], []]


def test_an_image_that_the_job_could_not_use_is_counted(core: Core, teacher: Model) -> None:
    uid = new_image(core, "1")
    task = core.services.analysing.request_annotation("default", {"model_id": teacher.id, "uids": [uid]})
    core.again().analysing.prepare("default", task.id)
    analysis_output(core, task.id, predictions={uid: []})
    key = f"default/analyses/{task.id}/output/predictions.jsonl"
    line = json.dumps({"uid": uid, "error": "cannot be decoded"}).encode()
    core.clients.s3.put_object(Bucket=core.settings.artifacts_bucket, Key=key, Body=line + b"\n")
    core.again().analysing.record("default", task.id)
    assert core.services.tasks.get("default", task.id).result["failed"] == 1


def test_a_loop_learns_from_other_teachers_and_from_its_own_model_only_if_it_asks(core: Core, teacher: Model) -> None:
    # given three loops over the same labels; the teacher is the model of two of them
    order = {"annotation_type": "detection", "thresholds": {"min_new": 1, "fraction": 0}}
    own = core.services.looping.create("default", order | {"name": "own", "dataset_name": teacher.name})
    asks = {"query": {"annotation_type": "detection", "suggestions": True}, "release_name": teacher.name}
    core.services.looping.create("default", order | {"name": "asks", "dataset_name": "b"} | asks)
    core.services.looping.create("default", order | {"name": "student", "dataset_name": "c"})
    uid = new_image(core, "1")
    # when the teacher suggests
    suggest(core, teacher, {uid: [BOX]})
    touched = core.services.looping.absorb("default", [each.id for each in said_of(core, uid)])
    # then it does not start the training of its own successor
    assert sorted(loop.name for loop in touched) == ["asks", "student"]
    assert core.services.looping.consider("default", own.id)[0].reason == "nothing new to learn"


def test_the_released_model_is_the_loops_own_whatever_it_is_called(core: Core, teacher: Model) -> None:
    release(core, teacher.id, "front")
    order = {"annotation_type": "detection", "name": "l", "dataset_name": "other", "release_name": "front"}
    core.services.looping.create("default", order | {"thresholds": {"min_new": 1, "fraction": 0}})
    uid = new_image(core, "1")
    suggest(core, teacher, {uid: [BOX]})
    assert core.services.looping.absorb("default", [each.id for each in said_of(core, uid)]) == []


def test_a_loop_of_an_earlier_release_takes_no_suggestions(core: Core) -> None:
    made = core.services.looping.create("default", {"name": "l", "dataset_name": "d"})
    item = next(item for item in core.entity("LOOP"))
    assert item["query"].pop("suggestions") is False
    names = {"#query": "query"}
    from dataloop.repositories.codec import encode_item

    value = encode_item({":query": item["query"]})
    key = encode_item({"pk": item["pk"], "sk": item["sk"]})
    core.clients.dynamodb.update_item(
        TableName=core.settings.table,
        Key=key,
        UpdateExpression="SET #query = :query",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=value,
    )
    assert core.again().looping.get("default", made.id) == replace(made)
