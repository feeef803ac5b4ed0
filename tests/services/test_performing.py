"""What an iteration said of its test images: the numbers of the job that trained it, kept beside the frozen images."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound, Unavailable
from dataloop.domain.models import Model
from dataloop.domain.projects import Iteration
from dataloop.domain.terms import EVERYTHING, AnyOf, ImageQuery, Term, tag_term
from tests.core import Core
from tests.services.frozen import AT, TENANT, freeze, image, iteration
from tests.trained import TrainedModel

MIDDLE = [0.25, 0.25, 0.5, 0.5]
CORNER = [0.0, 0.0, 0.2, 0.2]


def said(uid: str, *answers: tuple[Any, ...], truth: tuple[str, ...] = (), box: list[float] | None = None) -> bytes:
    """A line of predictions.jsonl. answers: (label, score) or (label, score, box); box: of every truth."""
    found = [{"label": each[0], "score": each[1], "box": each[2] if len(each) > 2 else None} for each in answers]
    return json.dumps(
        {"uid": uid, "predictions": found, "truth": [{"label": label, "box": box} for label in truth]}
    ).encode()


def model_of(core: Core, kind: str, lines: list[bytes], labels: tuple[str, ...] = ("a", "b", "c")) -> Model:
    """A model whose report says this of its test images."""
    core.stores.artifacts.put("report/predictions.jsonl", b"".join(line + b"\n" for line in lines))
    return Model(
        tenant=TENANT,
        id="m",
        name="m",
        version="1",
        status="COMPLETED",
        task_type=kind,
        architecture="",
        dataset={},
        test={},
        task_id="t",
        created_at=AT,
        report_prefix="report",
        labels=labels,
    )


def recorded(core: Core, kind: str, lines: list[bytes], images: list[Any], into: Iteration | None = None) -> Iteration:
    frozen = freeze(core.services.snapshots, images, into)
    core.services.performing.record(frozen, model_of(core, kind, lines))
    return frozen


def test_exclusive_tags_are_said_by_the_likeliest_alone(core: Core) -> None:
    # given four test images: right, wrong, too unsure, and a tag that was never tested
    images = [image(number, tags="a" if number < 3 else "b") for number in range(4)]
    lines = [
        said(images[0].uid, ("a", 0.9), ("b", 0.1), truth=("a",)),
        said(images[1].uid, ("b", 0.6), ("a", 0.4), truth=("a",)),
        said(images[2].uid, ("a", 0.45), ("b", 0.3), truth=("a",)),
        said(images[3].uid, ("b", 0.8), ("a", 0.2), truth=("b",)),
    ]
    found = core.services.performing.performance(recorded(core, "classification", lines, images))
    tags = {name: measure for _, name, measure in found.tags}
    assert (tags["a"].precision, tags["a"].recall) == (1, pytest.approx(1 / 3))
    assert (tags["b"].precision, tags["b"].recall) == (0.5, 1)
    assert tags["c"] == (None, None, None, None, None, 0, 0)
    assert (found.overall.precision, found.overall.recall) == (pytest.approx(2 / 3), 0.5)
    # b's 0.3 for the third image is above the threshold, and yet not said; of several tags it would be
    lower = core.services.performing.performance(iteration(), 0.3)
    assert {name: measure.said for _, name, measure in lower.tags} == {"a": 2, "b": 2, "c": 0}


def test_boxes_are_right_from_the_overlap_that_is_asked_for(core: Core) -> None:
    # given a box that covers half of the truth, which is its overlap
    images = [image(0, regions="c")]
    half = [0.25, 0.25, 0.25, 0.5]
    frozen = recorded(core, "detection", [said(images[0].uid, ("c", 0.7, half), truth=("c",), box=MIDDLE)], images)
    measure = core.services.performing.performance
    assert measure(frozen, 0.5, 0.5).overall.average_precision == 1
    assert measure(frozen, 0.5, 0.51).overall.average_precision == 0
    assert measure(frozen, 0.71, 0.5).overall.recall == 0


def test_the_negative_tag_is_tested_but_not_measured(core: Core) -> None:
    # given an iteration with a negative tag, an image of it that is taken for an a, and one that is recognised
    tags = ({"id": "tag-a", "name": "a", "kind": "regular"}, {"id": "tag-b", "name": "none", "kind": "negative"})
    images = [image(0, tags="b"), image(1, tags="b"), image(2, tags="a")]
    lines = [
        said(images[0].uid, ("a", 0.7), ("none", 0.3), truth=("none",)),
        said(images[1].uid, ("none", 0.8), ("a", 0.2), truth=("none",)),
        said(images[2].uid, ("a", 0.9), ("none", 0.1), truth=("a",)),
    ]
    frozen = freeze(core.services.snapshots, images, iteration(tags=tags))
    core.services.performing.record(frozen, model_of(core, "classification", lines, ("a", "none")))
    found = core.services.performing.performance(frozen)
    # then only the regular tag has numbers, and the first image counts against it
    assert [name for _, name, _ in found.tags] == ["a"]
    assert (found.overall.precision, found.overall.recall, found.overall.truths) == (0.5, 1, 1)
    # and the images of the negative tag can be looked at
    assert core.services.performing.count(frozen, Term(tag_term("tag-b"))) == 2


def test_test_images_are_paged_with_what_was_said_of_them(core: Core) -> None:
    # given 700 images, every third of them tested
    images = [image(number, tags="a" if number % 2 else "b", regions="c") for number in range(700)]
    tested = images[::3]
    lines = [said(each.uid, ("a", 0.25), ("c", 0.75, CORNER), truth=("c",), box=MIDDLE) for each in reversed(tested)]
    frozen = recorded(core, "detection", lines, images)
    services = core.again()
    core.clients.calls.clear()
    found = services.performing.images(frozen, ImageQuery(skip=10, take=200))
    # then a page is three reads: where things are, which, and the images
    assert core.clients.of("s3") == {"s3.GetObject": 3}
    assert not core.clients.of("dynamodb")
    # and it holds the images as they were frozen, newest first, with the likeliest answer first
    assert [each.image for each in found] == tested[::-1][10:210]
    assert [(each.tag_id, each.probability, each.box) for each in found[0].answers] == [
        ("tag-c", 0.75, tuple(CORNER)),
        ("tag-a", 0.25, None),
    ]
    where = AnyOf((Term(tag_term("tag-a")), Term(tag_term("nobody has it"))))
    assert services.performing.count(frozen, where) == len([each for each in tested if "tag-a" in each.tags])
    assert services.performing.count(frozen, EVERYTHING) == len(tested)
    oldest = services.performing.images(frozen, ImageQuery(where, newest_first=False, take=2))
    assert [each.image for each in oldest] == [tested[1], tested[3]]


def test_an_image_keeps_its_likeliest_answers_only(core: Core) -> None:
    answers = [("c", number / 100, CORNER) for number in range(100)]
    frozen = recorded(core, "detection", [said(image(0).uid, *answers, truth=("c",), box=MIDDLE)], [image(0)])
    (found,) = core.services.performing.images(frozen, ImageQuery())
    assert [each.probability for each in found.answers] == [number / 100 for number in range(99, 35, -1)]
    # the measure knows them all
    assert core.services.performing.performance(frozen, 0.0).overall.said == 100


def test_what_was_not_trained_or_not_tested_has_no_performance(core: Core) -> None:
    performing = core.services.performing
    with pytest.raises(IllegalTransition):
        performing.performance(iteration("TRAINING"))
    with pytest.raises(NotFound) as missing:
        performing.images(iteration(), ImageQuery())
    assert missing.value.entity == "iteration performance"
    # a training whose test split is empty leaves no number, and no image
    frozen = recorded(core, "classification", [], [image(0, tags="a")])
    with pytest.raises(NotFound):
        performing.performance(frozen)
    assert performing.images(frozen, ImageQuery()) == []


@pytest.mark.parametrize(("threshold", "overlap"), [(1.01, 0.5), (-0.1, 0.5), (float("nan"), 0.5), (0.5, 2)])
def test_thresholds_are_shares(core: Core, threshold: float, overlap: float) -> None:
    with pytest.raises(InvalidInput):
        core.services.performing.performance(iteration(), threshold, overlap)


def test_images_that_are_erased_while_they_are_measured_do_not_come_back(core: Core) -> None:
    # given an erasure that goes through the snapshot after the performance has read it
    images = [image(number, tags="a") for number in range(3)]
    lines = [said(each.uid, ("a", 0.9), truth=("a",)) for each in images]
    training = freeze(core.services.snapshots, images, iteration("TRAINING"))
    performing = core.services.performing
    write = performing._files.write_part

    def written_while_erased(*given: Any) -> int:
        count = write(*given)
        if len(core.services.snapshots.open(training).bitmap("all")) == 3:
            core.services.snapshot_erasure.forget(training, [images[1].uid])
        return count

    performing._files.write_part = written_while_erased
    with pytest.raises(Unavailable):
        performing.record(training, model_of(core, "classification", lines))
    # when the step is repeated, as its machine does
    again = core.again()
    again.performing.record(training, model_of(core, "classification", lines))
    found = again.performing.images(replace(training, status="COMPLETED"), ImageQuery(newest_first=False))
    # then the image is not in it, and the numbers are those that were measured
    assert [each.image for each in found] == [images[0], images[2]]
    assert again.performing.performance(replace(training, status="COMPLETED")).overall.truths == 3


def test_a_forgotten_image_leaves_the_performance_too(core: Core) -> None:
    # given 900 images of which every third is tested, and what is said of them
    images = [image(number, tags="a") for number in range(900)]
    tested = images[::3]
    frozen = recorded(core, "classification", [said(each.uid, ("a", 0.9), truth=("a",)) for each in tested], images)
    # when two tested ones and one that is not are forgotten, one after the other
    for number, rows in ((300, 2), (301, 1), (600, 2)):
        assert core.again().snapshot_erasure.forget(frozen, [images[number].uid], [number, 899]) == rows
    # then the others are left, each with its own answers
    services = core.again()
    left = [each for each in tested if each.ordinal not in (300, 600)]
    assert services.performing.count(frozen, Term(tag_term("tag-a"))) == len(left) == 298
    pages = [
        services.performing.images(frozen, ImageQuery(newest_first=False, skip=skip, take=256)) for skip in (0, 256)
    ]
    assert [each.image for page in pages for each in page] == left
    assert services.snapshots.open(frozen).rows([299, 300, 301, 302]) == [images[299], images[302]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detection", "classification"])
def test_the_numbers_are_those_of_the_job_that_trained(core: Core, kind: str, request: pytest.FixtureRequest) -> None:
    # given a model trained by the real job, and the report it left
    trained: TrainedModel = request.getfixturevalue("detector" if kind == "detection" else "classifier")
    report = trained.job.base / "output" / "data"
    metrics = json.loads((report / "metrics.json").read_text("utf-8"))
    lines = (report / "predictions.jsonl").read_bytes().splitlines()
    labels = tuple(trained.description["labels"])
    tags = tuple({"id": f"tag-{label}", "name": label, "kind": "regular"} for label in labels)
    images = [replace(image(number), uid=json.loads(line)["uid"]) for number, line in enumerate(lines)]
    frozen = freeze(core.services.snapshots, images, iteration(tags=tags))
    core.services.performing.record(frozen, model_of(core, kind, lines, labels))
    found = core.services.performing.performance(frozen, 0.0, 0.5)
    per_class = metrics["per_class"]
    # then every number that both have is the same
    if kind == "detection":
        assert found.overall.average_precision == pytest.approx(metrics["summary"]["AP50"], abs=1e-9)
    for _, name, measure in found.tags:
        if kind == "detection":
            assert measure.average_precision == pytest.approx(per_class[name]["AP50"], abs=1e-9)
        else:
            assert (measure.precision, measure.recall) == (
                pytest.approx(per_class[name]["precision"]),
                pytest.approx(per_class[name]["recall"]),
            )
        assert measure.truths == per_class[name]["support"]
