"""From a workspace to a model: what is frozen, what is learnt, what is refused, what a failure leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from dataloop.domain.errors import IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.domain.image_changes import NewRegion
from dataloop.domain.iterations import MAX_ITERATIONS, TrainingWish
from dataloop.domain.projects import Iteration
from dataloop.domain.terms import EVERYTHING, Term, tag_term
from tests import projects
from tests.core import Core


def rows(core: Core, iteration: Iteration) -> dict[str, list[str]]:
    """split -> the labels of each of its images, sorted."""
    version = core.services.curating.get("default", str(iteration.version_id))
    found = {}
    for split in ("train", "val", "test"):
        lines = core.objects()[f"{version.manifest_prefix}/{split}.jsonl"].splitlines()
        found[split] = sorted(
            ",".join(label["label"] for note in json.loads(line)["annotations"] for label in note["labels"])
            for line in lines
        )
    return found


# -- a whole training --------------------------------------------------------------------------------------------
def test_five_images_of_a_tag_are_enough_and_each_tag_is_tested(core: Core) -> None:
    # given the fewest images that may be trained on
    made = projects.labelled_project(core, 5)
    # when they are trained
    iteration = projects.train(core, made)
    assert (iteration.status, iteration.name, iteration.trained_at) == ("TRAINING", "Iteration 1", None)
    core.clock.move(minutes=7)
    done = projects.finish(core, made, iteration)
    # then the iteration is its model, and says when it was trained, on what, for how long
    assert (done.status, done.id, done.training_seconds) == ("COMPLETED", iteration.id, 420)
    model = core.stores.models.get("default", done.id)
    assert (model.status, model.task_type, model.dataset["version_id"]) == (
        "COMPLETED",
        "classification",
        done.version_id,
    )
    assert [(tag["name"], tag["image_count"]) for tag in done.tags] == [("cat", 5), ("dog", 5)]
    # and every tag has images in both splits
    assert rows(core, done) == {"train": ["cat"] * 4 + ["dog"] * 4, "val": [], "test": ["cat", "dog"]}
    # and the project knows its dataset, and may be trained again
    assert (
        core.services.projects.get("default", made.id).dataset_id
        == core.services.curating.get("default", str(done.version_id)).dataset_id
    )
    assert core.services.tasks.read("default", done.task_id).status == "SUCCEEDED"
    assert projects.train(core, made, force=True).name == "Iteration 2"


def test_boxes_are_learnt_in_pixels_of_the_image(core: Core) -> None:
    # given 15 images with a box each, and one with a tag but no box
    made = projects.project(core, "detection")
    cat = projects.tag(core, made, "cat")
    projects.add(core, made, projects.seeds("a", 15), cat, box=(0.25, 0.5, 0.5, 0.25))
    projects.add(core, made, ["unboxed"], cat)
    # when they are trained
    done = projects.trained(core, made)
    # then each box teaches where it is, 32 x 16 pixels, and the image without one teaches nothing
    (annotation,) = {
        json.dumps(core.services.annotating.get("default", id).labels)
        for id in core.objects()[f"default/manifests/{done.version_id}/members.txt"].decode().split()
    }
    assert json.loads(annotation) == [{"label": "cat", "bbox_xyxy": [8.0, 8.0, 24.0, 12.0]}]
    assert done.info["left_out"] == {"without a region": 1}
    split = rows(core, done)
    assert (len(split["train"]), len(split["test"])) == (12, 3)


def test_a_negative_tag_is_a_class_among_exclusive_ones_and_nothing_among_several(core: Core) -> None:
    for task_type, wanted in (("classification", ["cat", "none"]), ("multilabel_classification", ["", "cat"])):
        made = projects.project(core, task_type, name=task_type)
        projects.add(core, made, projects.seeds("a", 5), projects.tag(core, made, "cat"))
        projects.add(core, made, projects.seeds("b", 5), projects.tag(core, made, "none", "negative"))
        iteration = projects.train(core, made)
        projects.freeze(core, iteration)
        stands = core.services.iterating.get(made, iteration.id)
        annotations = core.stores.annotations.get_many(
            "default",
            [
                line
                for key, body in core.objects().items()
                if key.startswith(f"default/segments/{stands.version_id}/")
                for line in body.decode().split()
            ],
        ).values()
        assert sorted({",".join(sorted(each.label_names)) for each in annotations}) == wanted
        core.services.iterating.delete(made, iteration.id)


def test_untagged_images_are_in_the_snapshot_and_teach_nothing(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    projects.add(core, made, projects.seeds("plain", 3))
    done = projects.trained(core, made)
    source = core.again().snapshots.open(done)
    browsing = core.services.browsing
    assert browsing.count(source, EVERYTHING) == 13
    assert browsing.count(source, Term("tagged")) == sum(map(len, rows(core, done).values())) == 10


def test_what_changes_after_the_freeze_is_not_in_the_iteration(core: Core) -> None:
    # given a training whose parts are frozen
    made = projects.labelled_project(core, 5)
    cat, dog = core.services.projects.tags(made)
    iteration = projects.train(core, made)
    linked = projects.freeze(core, iteration)
    # when the workspace changes while it is built and trained
    late = projects.add(core, made, ["late"], cat)
    gone = core.services.browsing.page(
        core.services.browsing.workspace(made), replace(projects.query(), where=Term(tag_term(dog.id)))
    )
    core.services.tagging.delete_images(made, [each.id for each in gone])
    done = projects.finish_linked(core, made, iteration, linked)
    # then the iteration is as it was frozen, and the workspace as it is
    source = core.again().snapshots.open(done)
    assert len(source.bitmap(tag_term(cat.id))) == len(source.bitmap(tag_term(dog.id))) == 5
    assert source.by_ids([late[0].id]) == []
    assert {tag.name: tag.image_count for tag in core.services.projects.tags(made)} == {"cat": 6, "dog": 0}


def test_images_whose_record_has_not_come_yet_are_registered_by_the_freeze(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    for item in core.entity("RAW"):
        core.stores.table.delete(item["pk"])
    done = projects.trained(core, made)
    assert sum(map(len, rows(core, done).values())) == 10


def test_an_image_without_bytes_is_left_out_and_counted(core: Core) -> None:
    made = projects.labelled_project(core, 6)
    lost = projects.add(core, made, ["cat 0"])[0]
    core.stores.table.delete(f"default|RAW#{lost.uid}")
    core.clients.s3.delete_object(Bucket="raw-bucket", Key=lost.key, VersionId=lost.version_id)
    done = projects.trained(core, made)
    assert done.info["left_out"] == {"without a sound file": 1}
    assert sum(map(len, rows(core, done).values())) == 11


# -- again -------------------------------------------------------------------------------------------------------
def test_a_tested_image_is_never_learnt_from_later(core: Core) -> None:
    made = projects.labelled_project(core, 10)
    first = projects.trained(core, made)
    cat = core.services.projects.tags(made)[0]
    projects.add(core, made, projects.seeds("more", 30), cat)
    second = projects.trained(core, made, base=(made.id, first.id))

    def uids(iteration: Iteration, split: str) -> set[str]:
        return {
            json.loads(line)["uid"]
            for line in core.objects()[f"default/manifests/{iteration.version_id}/{split}.jsonl"].splitlines()
        }

    assert uids(first, "test") <= uids(second, "test")
    assert len(uids(second, "test")) == 10
    assert core.stores.models.get("default", second.id).parent_model_id == first.id
    assert second.info["base"] == {"project_id": made.id, "iteration_id": first.id}


def test_unchanged_images_make_no_new_annotations(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    projects.trained(core, made)
    before = len(core.entity("ANN"))
    projects.trained(core, made, force=True)
    assert before == len(core.entity("ANN")) == 10


@pytest.mark.parametrize("task_type", ["classification", "detection"])
def test_nothing_new_is_not_trained_unless_forced(core: Core, task_type: str) -> None:
    made = projects.labelled_project(core, 15, task_type=task_type)
    cat, _ = core.services.projects.tags(made)
    projects.trained(core, made)
    with pytest.raises(IllegalTransition, match="unchanged project"):
        projects.train(core, made)
    # metadata and untagged images teach nothing
    projects.add(core, made, ["untagged"])
    with pytest.raises(IllegalTransition, match="unchanged project"):
        projects.train(core, made)
    # the same images, learnt otherwise
    assert projects.train(core, made, kind="advanced", budget_hours=1).status == "TRAINING"
    core.services.iterating.delete(made, core.services.iterating.list(made)[-1].id)
    # an image more
    projects.add(core, made, ["new"], cat, box=projects.BOX if task_type == "detection" else None)
    assert projects.train(core, made).status == "TRAINING"


def test_a_moved_box_is_something_new_and_one_that_came_and_went_is_not(core: Core) -> None:
    made = projects.labelled_project(core, 15, ("cat",), task_type="detection")
    projects.trained(core, made)
    (image,) = core.services.browsing.page(core.services.browsing.workspace(made), replace(projects.query(), take=1))
    (region,) = image.regions

    def draw() -> str:
        drawn = core.services.tagging.add_regions(made, [NewRegion(image.id, region.tag_id, 0.1, 0.1, 0.2, 0.2)])
        return drawn.created[0][1].id

    core.services.tagging.delete_regions(made, [draw()])
    with pytest.raises(IllegalTransition, match="unchanged project"):
        projects.train(core, made)
    draw()
    core.services.tagging.delete_regions(made, [region.id])
    assert projects.train(core, made).status == "TRAINING"


def test_a_failed_training_may_be_repeated_as_it_is(core: Core) -> None:
    # given a training that failed
    made = projects.labelled_project(core, 5)
    iteration = projects.train(core, made)
    core.services.tasks.fail("default", iteration.task_id, "JobFailed", "the network diverged")
    # then the iteration says why
    failed = core.services.iterating.get(made, iteration.id)
    assert (failed.status, failed.error, failed.trained_at) == ("FAILED", "the network diverged", None)
    # and the same training may be asked for
    assert projects.train(core, made).name == "Iteration 2"


# -- refusals ----------------------------------------------------------------------------------------------------
def test_one_training_at_a_time(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    projects.train(core, made)
    with pytest.raises(IllegalTransition, match="running training"):
        projects.train(core, made, force=True)
    assert len(core.entity("TASK")) == 1


@pytest.mark.parametrize("is_same", [True, False])
def test_two_at_once_make_one(core: Core, is_same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a request that looked before another one began
    made = projects.labelled_project(core, 5)
    service = core.again().iterating
    begin = service._begin

    def late(*given: Any) -> Iteration:
        projects.train(core, made, **({} if is_same else {"kind": "advanced", "budget_hours": 1}))
        monkeypatch.setattr(core.stores.iterations.__class__, "running", lambda *_: (None, 0))
        return begin(*given)

    monkeypatch.setattr(service, "_begin", late)
    # when both are written
    if is_same:
        assert service.train(made, TrainingWish()).status == "TRAINING"
    else:
        with pytest.raises(IllegalTransition, match="running training"):
            service.train(made, TrainingWish())
    # then there is one iteration and one task
    assert [each.name for each in core.services.iterating.list(made)] == ["Iteration 1"]
    assert [task["status"] for task in core.entity("TASK")] == ["QUEUED"]


@pytest.mark.parametrize(
    ("task_type", "counts", "told"),
    [
        ("classification", {"cat": 5}, "needs 2 tags"),
        ("classification", {"cat": 5, "dog": 4}, "'dog' has 4"),
        ("multilabel_classification", {"cat": 4, "dog": 4}, "'cat' has 4, 'dog' has 4"),
        ("detection", {"cat": 14}, "each tag needs 15, 'cat' has 14"),
        ("detection", {}, "needs 1 tags"),
    ],
)
def test_too_few_images_are_refused_with_what_is_missing(
    core: Core, task_type: str, counts: dict[str, int], told: str
) -> None:
    made = projects.project(core, task_type)
    for name, count in counts.items():
        box = projects.BOX if task_type == "detection" else None
        projects.add(core, made, projects.seeds(name, count), projects.tag(core, made, name), box=box)
    with pytest.raises(InvalidInput, match=told) as refused:
        projects.train(core, made)
    assert refused.value.field == f"{task_type} images"
    assert core.services.iterating.list(made) == [] and core.entity("TASK") == []


def test_tags_without_images_do_not_hinder(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    empty = projects.tag(core, made, "unicorn")
    with pytest.raises(InvalidInput, match="'unicorn' has 0"):
        projects.train(core, made, tag_ids=(empty.id,))
    assert [tag["name"] for tag in projects.trained(core, made).tags] == ["cat", "dog"]


def test_only_selected_tags_are_learnt(core: Core) -> None:
    made = projects.labelled_project(core, 5, ("cat", "dog", "cow"))
    cat, _, cow = core.services.projects.tags(made)
    done = projects.trained(core, made, tag_ids=(cat.id, cow.id))
    assert set(rows(core, done)["train"]) == {"cat", "cow"}
    assert [tag["name"] for tag in done.tags] == ["cat", "cow"]
    with pytest.raises(NotFound, match="tag"):
        projects.train(core, made, tag_ids=(cat.id, made.id))


def test_an_image_with_several_tags_is_refused_where_classes_exclude_each_other(core: Core) -> None:
    made = projects.labelled_project(core, 6)
    dog = core.services.projects.tags(made)[1]
    projects.add(core, made, ["cat 0"], dog)
    with pytest.raises(InvalidInput, match="1 have several"):
        projects.train(core, made)


def test_boxes_are_not_trained_with_a_negative_tag(core: Core) -> None:
    made = projects.labelled_project(core, 15, ("cat",), task_type="detection")
    projects.add(core, made, projects.seeds("n", 15), projects.tag(core, made, "nothing", "negative"))
    with pytest.raises(InvalidInput, match="negative tag"):
        projects.train(core, made)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"kind": "advanced"}, "training budget"),
        ({"kind": "advanced", "budget_hours": 25}, "training budget"),
        ({"kind": "thorough"}, "training kind"),
        ({"email": "nobody"}, "notification address"),
        ({"email": "a b@c.de"}, "notification address"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(core: Core, wish: dict[str, object], field: str) -> None:
    made = projects.labelled_project(core, 5)
    with pytest.raises(InvalidInput) as refused:
        projects.train(core, made, **wish)
    assert refused.value.field == field


def test_an_advanced_training_gets_more_passes_within_its_hours(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    regular = core.stores.models.get("default", projects.trained(core, made).id).parameters
    advanced = core.stores.models.get("default", projects.trained(core, made, kind="advanced", budget_hours=2).id)
    assert advanced.parameters["epochs"] > regular["epochs"]
    assert (advanced.parameters["max_cpu_seconds"], "max_cpu_seconds" in regular) == (14400, False)


def test_a_base_model_must_be_trained_and_of_the_same_kind(core: Core) -> None:
    boxes = projects.labelled_project(core, 15, ("cat",), task_type="detection", name="boxes")
    base = projects.trained(core, boxes)
    made = projects.labelled_project(core, 5)
    with pytest.raises(InvalidInput, match="base model"):
        projects.train(core, made, base=(boxes.id, base.id))
    with pytest.raises(NotFound, match="iteration"):
        projects.train(core, made, base=(made.id, base.id))
    running = projects.train(core, boxes, force=True)
    with pytest.raises(IllegalTransition, match="base iteration"):
        projects.train(core, made, base=(boxes.id, running.id))


def test_a_project_has_twenty_iterations(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    for _ in range(MAX_ITERATIONS):
        iteration = projects.train(core, made)
        core.services.tasks.fail("default", iteration.task_id, "JobFailed", "because")
    with pytest.raises(LimitExceeded, match="iterations of a project"):
        projects.train(core, made)
    core.services.iterating.delete(made, iteration.id)
    assert projects.train(core, made).name == "Iteration 21"


# -- endings -----------------------------------------------------------------------------------------------------
def test_a_stopped_training_ends_its_iteration(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    iteration = projects.train(core, made)
    core.services.tasks.stop("default", iteration.task_id)
    core.services.tasks.follow("default", iteration.task_id, "ABORTED", "Stopped", "somebody asked")
    stopped = core.services.iterating.get(made, iteration.id)
    assert (stopped.status, stopped.error) == ("FAILED", "somebody asked")
    assert projects.train(core, made).status == "TRAINING"


def test_a_request_that_died_behind_its_task_is_brought_to_its_end(core: Core) -> None:
    # given a crash between the task and the iteration
    made = projects.labelled_project(core, 5)
    iteration = projects.train(core, made)
    core.stores.iterations.forget("default", made.id)
    assert core.services.iterating.list(made) == []
    # when the sweep starts the task that nobody moves
    done = projects.finish(core, made, iteration)
    # then the iteration is there, whole
    assert (done.status, done.id) == ("COMPLETED", iteration.id)


def test_an_iteration_whose_task_is_lost_does_not_block_the_next(core: Core) -> None:
    made = projects.labelled_project(core, 5)
    lost = projects.train(core, made)
    core.stores.table.delete(f"default|TASK#{lost.task_id}")
    assert projects.train(core, made).name == "Iteration 2"
    assert core.services.iterating.get(made, lost.id).status == "FAILED"
