"""Performance of iterations, and what was trained on, through Microsoft's client while the workspace goes on changing."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from azure.cognitiveservices.vision.customvision.training.models import CustomVisionErrorException

from dataloop.domain.projects import Iteration
from tests import projects
from tests.actions import archive
from tests.core import ARTIFACTS, Core
from tests.surfaces.customvision.coverage import covers

Said = list[dict[str, Any]]
NOBODY = str(uuid.UUID(int=7))


def trained(core: Core, project: Any, say: Callable[[str, int], Said] | None) -> Iteration:
    """A COMPLETED iteration. say: label and number of a test image of this label → what the model says of it.

    None: no image was tested.
    """

    def job(core: Core, prepared: dict[str, Any]) -> str:
        train_id = prepared["job_name"].removeprefix("train-")
        left = projects.job_output(core, train_id)
        key = left.removeprefix(f"s3://{ARTIFACTS}/").replace("model.tar.gz", "output.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(core.objects()[key]), mode="r:gz") as packed:
            files = {each.name: packed.extractfile(each).read() for each in packed.getmembers()}  # type: ignore[union-attr]
        lines = [json.loads(line) for line in files["predictions.jsonl"].splitlines()] if say else []
        seen: dict[str, int] = {}
        for line in sorted(lines, key=lambda line: str(line["uid"])):
            label = line["truth"][0]["label"]
            line["predictions"] = say(label, seen.setdefault(label, 0)) if say else []
            seen[label] += 1
        files["predictions.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        core.stores.artifacts.put(key, archive(files))
        return left

    owner = core.services.projects.get("default", project.id)
    return projects.finish(core, owner, projects.train(core, owner), job)


def said(**scores: float) -> Said:
    return [
        {"label": label, "score": score, "box": None}
        for label, score in sorted(scores.items(), key=lambda pair: -pair[1])
    ]


def fill(core: Core, training: Any, project: Any, count: int = 25, box: bool = False) -> dict[str, Any]:
    """So many images of a cat and of a dog each; the tags by name."""
    owner = core.services.projects.get("default", project.id)
    tags = {}
    for name in ("cat", "dog"):
        tags[name] = training.create_tag(project.id, name)
        tag = core.services.projects.tag(owner, tags[name].id)
        projects.add(core, owner, projects.seeds(name, count), tag, box=projects.BOX if box else None)
    return tags


def refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(CustomVisionErrorException) as caught:
        call(*arguments, **named)
    return caught.value.response.status_code, caught.value.error.code


def of_cats_and_dogs(label: str, number: int) -> Said:
    """Five cats: four found, the last taken for a dog. Five dogs: three found, two too unsure."""
    if label == "cat":
        return said(cat=0.9, dog=0.1) if number < 4 else said(dog=0.8, cat=0.2)
    return said(dog=0.95, cat=0.05) if number < 3 else said(dog=0.45, cat=0.4)


@covers("get_iteration_performance")
def test_precision_and_recall_follow_the_threshold(core: Core, training: Any, project: Any) -> None:
    tags = fill(core, training, project)
    iteration = trained(core, project, of_cats_and_dogs)

    # Without a threshold it is one half
    found = training.get_iteration_performance(project.id, iteration.id)
    per_tag = {each.name: each for each in found.per_tag_performance}
    assert {name: each.id for name, each in per_tag.items()} == {name: each.id for name, each in tags.items()}
    assert (per_tag["cat"].precision, per_tag["cat"].recall) == (1, 0.8)
    assert (per_tag["dog"].precision, per_tag["dog"].recall) == (0.75, 0.6)
    assert (found.precision, found.recall) == (7 / 8, 0.7)
    # Of exclusive tags each image says one: its part of p (1 - p) / n is what a tag's precision scatters by
    assert per_tag["dog"].precision_std_deviation == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert per_tag["cat"].recall_std_deviation == pytest.approx((0.8 * 0.2 / 5) ** 0.5)
    assert found.precision_std_deviation > 0
    assert found.recall_std_deviation > 0
    # The average precision is that of the whole ranking, whatever the threshold
    # cats: 4 found first, then 2 dogs of 0.4, and the last cat of 0.2 is seventh
    assert per_tag["cat"].average_precision == pytest.approx((4 * 1 + 5 / 7) / 5)
    # dogs: 3, then a cat of 0.8, then 2 dogs of 0.45
    assert per_tag["dog"].average_precision == pytest.approx((3 + 2 * 5 / 6) / 5)
    assert found.average_precision == pytest.approx(
        (per_tag["cat"].average_precision + per_tag["dog"].average_precision) / 2
    )

    lower = training.get_iteration_performance(project.id, iteration.id, threshold=0.45)
    assert {each.name: each.recall for each in lower.per_tag_performance} == {"cat": 0.8, "dog": 1}
    higher = training.get_iteration_performance(project.id, iteration.id, threshold=0.99)
    assert (higher.precision, higher.recall, higher.average_precision) == (0, 0, found.average_precision)


@covers("get_iteration_performance")
def test_boxes_are_right_from_the_overlap_threshold_on(core: Core, training: Any, detection_project: Any) -> None:
    fill(core, training, detection_project, 25, box=True)
    left, top, width, height = projects.BOX

    def say(label: str, number: int) -> Said:
        # An overlap of 0.8 with the truth, and one beside it
        near = {"label": label, "score": 0.9, "box": [left, top, width * 0.8, height]}
        beside = {"label": label, "score": 0.6, "box": [0.0, 0.0, 0.1, 0.1]}
        return [near, beside]

    iteration = trained(core, detection_project, say)
    ask = training.get_iteration_performance

    found = ask(detection_project.id, iteration.id, threshold=0.5, overlap_threshold=0.75)
    assert (found.precision, found.recall, found.average_precision) == (0.5, 1, 1)
    assert found.precision_std_deviation == 0  # every image is right in one of two
    assert ask(detection_project.id, iteration.id, threshold=0.7, overlap_threshold=0.75).precision == 1
    strict = ask(detection_project.id, iteration.id, threshold=0.5, overlap_threshold=0.85)
    assert (strict.precision, strict.recall, strict.average_precision) == (0, 0, 0)


@covers("get_image_performances", "get_image_performance_count")
def test_test_images_come_with_what_was_said_of_them(core: Core, training: Any, detection_project: Any) -> None:
    project = detection_project.id
    tags = fill(core, training, detection_project, 25, box=True)
    iteration = trained(
        core,
        detection_project,
        lambda label, number: [{"label": label, "score": 0.75, "box": [0.25, 0.25, 0.5, 0.4]}],
    )

    found = training.get_image_performances(project, iteration.id)
    assert len(found) == training.get_image_performance_count(project, iteration.id) == 10
    # Newest first, as the images came
    everyone = [each.id for each in training.get_images(project, take=256)]
    assert [each.id for each in found] == [id for id in everyone if id in {each.id for each in found}]
    for each in found:
        (said_of_it,) = each.predictions
        assert (said_of_it.probability, said_of_it.tag_type) == (0.75, "Regular")
        assert [said_of_it.tag_name] == [tag.tag_name for tag in each.tags] == [each.regions[0].tag_name]
        box = said_of_it.bounding_box
        assert (box.left, box.top, box.width, box.height) == (0.25, 0.25, 0.5, 0.4)
        assert (each.regions[0].width, each.width, each.height) == (0.5, 32, 16)
        assert each.created is not None

    cats = training.get_image_performances(project, iteration.id, tag_ids=[tags["cat"].id])
    assert {each.tags[0].tag_name for each in cats} == {"cat"}
    assert training.get_image_performance_count(project, iteration.id, tag_ids=[tags["cat"].id]) == len(cats) == 5
    both = [tags["cat"].id, tags["dog"].id]
    assert training.get_image_performance_count(project, iteration.id, tag_ids=both) == 10
    oldest = training.get_image_performances(project, iteration.id, order_by="Oldest", take=4, skip=3)
    assert [each.id for each in oldest] == [each.id for each in found][::-1][3:7]
    assert training.get_image_performances(project, iteration.id, skip=10) == []
    # Links open without a key
    request = urllib.request.Request(found[0].image_uri)
    assert request.full_url.startswith("http")
    assert "X-Amz-Signature" in found[0].image_uri
    assert "X-Amz-Signature" in found[0].thumbnail_uri


@covers(
    "get_images",
    "get_image_count",
    "get_images_by_ids",
    "get_tagged_images",
    "get_tagged_image_count",
    "get_untagged_images",
    "get_untagged_image_count",
    "get_tags",
    "get_tag",
)
def test_an_iteration_answers_from_what_it_was_trained_on(core: Core, training: Any, project: Any) -> None:
    # Given a training on tagged images, two of them without a tag
    tags = fill(core, training, project, 5)
    owner = core.services.projects.get("default", project.id)
    untagged = projects.add(core, owner, ["nobody", "nothing"])
    training.update_image_metadata(project.id, [untagged[0].id], {"camera": "left"})
    iteration = trained(core, project, of_cats_and_dogs)

    def shown(image: Any) -> tuple[Any, ...]:
        return image.id, sorted(tag.tag_name for tag in image.tags or ()), dict(image.metadata or {})

    def everything() -> dict[str, Any]:
        of = {"iteration_id": iteration.id}
        cat = [tags["cat"].id]
        return {
            "images": [shown(each) for each in training.get_images(project.id, take=256, **of)],
            "some": [shown(each) for each in training.get_images(project.id, take=3, skip=2, order_by="Oldest", **of)],
            "of a tag": [shown(each) for each in training.get_images(project.id, tag_ids=cat, **of)],
            "count": training.get_image_count(project.id, **of),
            "with metadata": training.get_image_count(project.id, filter="camera eq 'left'", **of),
            "tagged": [shown(each) for each in training.get_tagged_images(project.id, take=256, **of)],
            "tagged cats": training.get_tagged_image_count(project.id, tag_ids=cat, **of),
            "untagged": [shown(each) for each in training.get_untagged_images(project.id, **of)],
            "untagged count": training.get_untagged_image_count(project.id, **of),
            "by id": [shown(each) for each in training.get_images_by_ids(project.id, [untagged[1].id, cats[0]], **of)],
            "tags": [(each.name, each.image_count) for each in training.get_tags(project.id, **of)],
            "tag": training.get_tag(project.id, tags["cat"].id, **of).image_count,
        }

    cats = [each.id for each in training.get_images(project.id, tag_ids=[tags["cat"].id])]
    before = everything()
    assert (before["count"], before["tagged cats"], before["untagged count"], before["with metadata"]) == (12, 5, 2, 1)
    assert sorted(before["tags"]) == [("cat", 5), ("dog", 5)]

    # When the workspace goes on: images go, come, change, and a tag is deleted
    training.delete_images(project.id, image_ids=cats[:2])
    training.delete_image_tags(project.id, cats[2:3], [tags["cat"].id])
    training.update_image_metadata(project.id, [untagged[1].id], {"camera": "left"})
    projects.add(core, owner, ["another cat"], core.services.projects.tag(owner, tags["cat"].id))
    training.delete_tag(project.id, tags["dog"].id)
    training.create_tag(project.id, "bird")
    assert training.get_image_count(project.id) == 11

    # Then the iteration has not changed
    assert everything() == before


@covers("get_iteration_performance", "get_image_performances", "get_image_performance_count")
def test_what_cannot_be_answered_is_refused(core: Core, training: Any, project: Any) -> None:
    tags = fill(core, training, project, 5)
    operations = (
        training.get_iteration_performance,
        training.get_image_performances,
        training.get_image_performance_count,
    )
    owner = core.services.projects.get("default", project.id)
    running = projects.train(core, owner)
    for operation in operations:
        assert refused(operation, project.id, NOBODY) == (404, "NotFoundIteration")
        assert refused(operation, project.id, "no-guid") == (400, "BadRequestInvalidIds")
        assert refused(operation, NOBODY, running.id) == (404, "NotFoundProject")
        assert refused(operation, project.id, running.id) == (400, "BadRequestIterationIsNotTrained")
    projects.finish(core, owner, running)

    for name in ("threshold", "overlap_threshold"):
        for value in (1.01, -0.01, float("nan"), float("inf")):
            assert refused(operations[0], project.id, running.id, **{name: value}) == (400, "BadRequest")
    for operation in operations[1:]:
        assert refused(operation, project.id, running.id, tag_ids=[NOBODY]) == (404, "NotFoundTag")
    pages = {"take": 257}, {"take": -1}, {"skip": -1}
    for page in pages:
        with pytest.raises(Exception, match=r"(?i)take|skip"):
            training.get_image_performances(project.id, running.id, **page)
    assert training.get_image_performance_count(project.id, running.id, tag_ids=[tags["cat"].id]) == 1


def test_an_iteration_without_test_images_has_no_performance(core: Core, training: Any, project: Any) -> None:
    fill(core, training, project, 5)
    iteration = trained(core, project, None)
    refusal = refused(training.get_iteration_performance, project.id, iteration.id)
    assert refusal == (404, "NotFoundIterationPerformance")
    assert training.get_image_performances(project.id, iteration.id) == []
    assert training.get_image_performance_count(project.id, iteration.id) == 0
