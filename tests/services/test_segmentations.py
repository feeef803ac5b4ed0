"""Labels with masks: from the client's words through the table or S3 into the rows of a version and its download."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from dataloop.catalog.task_types import mean_the_same, teaches
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.repositories import annotations
from dataloop.repositories.annotations import SPILL_BYTES
from dataloop.services import joining
from dataloop_jobs.dataset import read_dataset
from tests.actions import info, label, put, run_build
from tests.core import Core

# The pictures of these tests.
WIDTH, HEIGHT = 24, 16
TRIANGLE = [[2, 2, 12, 2, 2, 10.5]]
# Column 3, rows 4 and 5.
PIXELS = {"size": [HEIGHT, WIDTH], "counts": [3 * HEIGHT + 4, 2, WIDTH * HEIGHT - 3 * HEIGHT - 6]}


@pytest.fixture
def uid(core: Core) -> str:
    return registered(core, "d/one.jpg")


def registered(core: Core, key: str) -> str:
    uid, notice = put(core, key)
    core.services.registering.register_object(notice)
    return uid


def built(
    core: Core, ids: list[str], kind: str = "instance_segmentation", version: str = "1"
) -> tuple[list[dict[str, Any]], Any]:
    """The label rows of a version of these annotations, and the version."""
    made = core.services.curating.create("default", info(version=version, annotationType=kind))
    core.services.curating.link("default", made.id, ids)
    run_build(core, core.services.building.request_build("default", made.id).id)
    ready = core.services.curating.get("default", made.id)
    lines = b"".join(core.objects()[f"default/manifests/{made.id}/{name}.jsonl"] for name in ("train", "val", "test"))
    rows = [json.loads(line) for line in lines.splitlines()]
    return [found for row in rows for entry in row["annotations"] for found in entry["labels"]], ready


def said(core: Core, uid: str, *labels: dict[str, Any], kind: str = "instance_segmentation") -> str:
    body = label(uid, annotationType=kind, labelInfo=list(labels))
    return core.services.annotating.register("default", body).id


def test_polygons_become_shares_with_the_box_around_them(core: Core, uid: str) -> None:
    rows, version = built(core, [said(core, uid, {"label": "cat", "segmentation": TRIANGLE})])
    shares = [value / (HEIGHT if index % 2 else WIDTH) for index, value in enumerate(TRIANGLE[0])]
    assert rows == [
        {
            "label": "cat",
            "score": None,
            "polygons": [[round(value, 9) for value in shares]],
            "box": [round(2 / 24, 9), 0.125, round(10 / 24, 9), 0.53125],
        }
    ]
    assert version.report["report"]["counts"] == {}


def test_an_rle_is_kept_at_the_images_size_with_the_box_around_it(core: Core, uid: str) -> None:
    rows, _ = built(core, [said(core, uid, {"label": "cat", "segmentation": PIXELS, "score": 1})])
    (row,) = rows
    assert row["mask"]["size"] == [HEIGHT, WIDTH]
    assert isinstance(row["mask"]["counts"], str)
    assert row["box"] == [3 / 24, 4 / 16, round(1 / 24, 9), 2 / 16]


def test_a_box_that_was_sent_with_the_mask_stands(core: Core, uid: str) -> None:
    rows, _ = built(core, [said(core, uid, {"label": "cat", "bbox_xyxy": [0, 0, 12, 8], "segmentation": TRIANGLE})])
    assert rows[0]["box"] == [0, 0, 0.5, 0.5]


def test_a_crowd_is_marked_beside_its_mask_only(core: Core, uid: str) -> None:
    crowd = {"label": "cat", "segmentation": PIXELS, "iscrowd": 1}
    box = {"label": "dog", "bbox_xyxy": [1, 1, 5, 5], "iscrowd": 1}
    rows, _ = built(core, [said(core, uid, crowd, box, kind="detection")], "detection")
    assert [row.get("crowd") for row in sorted(rows, key=lambda row: row["label"])] == [True, None]


def test_both_spellings_of_a_mask_are_one_annotation(core: Core, uid: str) -> None:
    compressed = core.services.annotating.get("default", said(core, uid, {"label": "cat", "segmentation": PIXELS}))
    assert said(core, uid, *compressed.labels) == compressed.id
    assert len(core.entity("ANN")) == 1


@pytest.mark.parametrize(
    ("sent", "kind", "count", "notes"),
    [
        ({"segmentation": [[-5, 2, 12, 2, 2, 10]]}, "polygon", 1, {"clipped_mask": 1}),
        ({"segmentation": [[30, 2, 42, 2, 32, 10]]}, "polygon", 0, {"dropped_mask": 1}),
        ({"segmentation": [*TRIANGLE, [30, 2, 42, 2, 32, 10]]}, "polygon", 1, {"clipped_mask": 1}),
        ({"segmentation": {"size": [4, 4], "counts": [5, 11]}}, "polygon", 0, {"wrong_mask_size": 1}),
        ({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [5, 379]}}, "semantic", 0, {"wrong_mask_size": 1}),
        ({"bbox_xyxy": [1, 1, 5, 5]}, "polygon", 0, {"label_without_mask": 1}),
        ({}, "semantic_segmentation", 0, {"label_without_mask": 1}),
        # a box is enough where boxes are learnt
        (
            {"bbox_xyxy": [1, 1, 5, 5], "segmentation": [[30, 2, 42, 2, 32, 10]]},
            "detection",
            1,
            {"dropped_mask": 1},
        ),
        (
            {"bbox_xyxy": [1, 1, 5, 5], "segmentation": {"size": [4, 4], "counts": [5, 11]}},
            "detection",
            1,
            {"wrong_mask_size": 1},
        ),
        ({"segmentation": {"size": [4, 4], "counts": [5, 11]}}, "detection", 0, {"wrong_mask_size": 1}),
        ({"segmentation": TRIANGLE}, "detection", 1, {}),
        ({"bbox_xyxy": [30, 1, 35, 5], "segmentation": TRIANGLE}, "polygon", 0, {"dropped_box": 1}),
        ({}, "multilabel", 1, {}),
    ],
)
def test_what_could_not_be_used_is_reported(
    core: Core, uid: str, sent: dict[str, Any], kind: str, count: int, notes: dict[str, int]
) -> None:
    whole = said(core, registered(core, "d/whole.jpg"), {"label": "whole", "bbox_xyxy": [1, 1, 5, 5]}, kind="detection")
    rows, version = built(core, [whole, said(core, uid, {"label": "cat"} | sent, kind=kind)])
    assert len([row for row in rows if row["label"] == "cat"]) == count
    assert version.report["report"]["counts"] == notes


def test_an_image_may_have_several_labels_or_none(core: Core, uid: str) -> None:
    other = registered(core, "d/two.jpg")
    ids = [
        said(core, uid, {"label": "indoor"}, {"label": "wet"}, kind="multi_label"),
        said(core, other, kind="multi_label"),
    ]
    rows, version = built(core, ids, "multilabel_classification")
    assert [row["label"] for row in rows] == ["indoor", "wet"]
    assert sum(version.report["counts"].values()) == 2


def test_jobs_read_what_a_build_wrote(core: Core, uid: str, tmp_path: Path) -> None:
    labels = ({"label": "cat", "segmentation": TRIANGLE}, {"label": "dog", "segmentation": PIXELS})
    rows, version = built(core, [said(core, uid, *labels)])
    for name in ("train.jsonl", "val.jsonl", "test.jsonl", "objects.jsonl", "label_map.json"):
        (tmp_path / name).write_bytes(core.objects()[f"default/manifests/{version.id}/{name}"])
    dataset = read_dataset(tmp_path, needs="mask")
    ((cat, dog),) = (row.truths for split in dataset.splits.values() for row in split)
    by_label = {row["label"]: row for row in rows}
    assert cat.box == pytest.approx(by_label["cat"]["box"])
    assert [list(ring) for ring in cat.polygons or ()] == by_label["cat"]["polygons"]
    assert dog.mask is not None
    assert (dog.mask.height, dog.mask.width, dog.mask.counts) == (HEIGHT, WIDTH, by_label["dog"]["mask"]["counts"])


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("polygon", "instance_segmentation"),
        ("Instance", "instance_segmentation"),
        ("segmentation", "semantic_segmentation"),
        ("multi_label", "multilabel_classification"),
    ],
)
def test_a_version_of_masks_or_many_labels_is_trained_as_what_it_says(
    core: Core, uid: str, word: str, kind: str
) -> None:
    _, version = built(core, [said(core, uid, {"label": "cat", "segmentation": TRIANGLE}, kind=word)], word)
    task = core.services.training.request("default", version.id)
    assert task.parameters["task_type"] == kind
    # and a loop that waits for one word takes the other
    assert mean_the_same(word, kind)
    assert not mean_the_same(word, "detection")


def fine_outline(points: int) -> list[list[float]]:
    """A polygon with numbers of every length."""
    chance = random.Random(7)
    return [[chance.uniform(-3, 30) if index % 3 else chance.randrange(20) / 2 for index in range(2 * points)]]


def test_a_large_mask_goes_to_s3_and_comes_back_exactly(core: Core, uid: str) -> None:
    # given outlines of both sides of the size at which a body leaves the table
    small, large = fine_outline(200), fine_outline(5_000)
    ids = [said(core, uid, {"label": "cat", "segmentation": outline}) for outline in (small, large)]
    spilt = {item["id"]: "labels_key" in item for item in core.entity("ANN")}
    assert [spilt[id] for id in ids] == [False, True]
    assert len(core.objects()[f"default/annotations/{ids[1]}.json"]) > SPILL_BYTES
    # then both are what was sent, and said again they are the same
    for id, outline in zip(ids, (small, large), strict=True):
        stored = core.services.annotating.get("default", id).labels[0]["segmentation"]
        assert stored == outline
        assert said(core, uid, {"label": "cat", "segmentation": stored}) == id


def test_where_a_mask_was_kept_changes_no_byte_of_a_row(core: Core, uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: tuple[dict[str, Any], ...] = (
        {"label": "cat", "segmentation": [*fine_outline(50), [1.0, 2, 3.0, 4.0, 9, 0.0]]},
        {"label": "dog", "segmentation": PIXELS},
    )
    found = []
    for spill_bytes in (SPILL_BYTES, 0):
        monkeypatch.setattr("dataloop.repositories.annotations.SPILL_BYTES", spill_bytes)
        body = label(uid, annotationType="polygon", labelInfo=list(labels))
        again = core.again()
        id = again.annotating.register("default", body).id
        annotation = again.annotating.get("default", id)
        item = next(item for item in core.entity("ANN") if item["id"] == id)
        assert ("labels_key" in item) == (spill_bytes == 0)
        rows, version = built(core, [id], version=f"spilt above {spill_bytes}")
        found.append((json.dumps(rows), version.digest, [dict(entry) for entry in annotation.labels]))
        core.stores.table.delete(item["pk"], item["sk"])
    assert found[0] == found[1]


def test_a_download_carries_the_segmentation_as_it_was_sent(core: Core, uid: str) -> None:
    made = core.services.curating.create("default", info(annotationType="polygon"))
    core.services.curating.link("default", made.id, [said(core, uid, {"label": "cat", "segmentation": TRIANGLE})])
    task = core.services.building.request_download("default", made.id)
    run_build(core, task.id)
    document = json.loads(core.objects()[core.services.tasks.get("default", task.id).result["key"]])
    ((labels,),) = ([entry["labels"] for entry in item["annotations"]] for item in document["items"])
    assert labels == [{"label": "cat", "segmentation": TRIANGLE}]


def test_a_part_is_joined_in_batches_that_change_no_byte(core: Core, uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [said(core, uid, {"label": f"cat-{n}", "segmentation": TRIANGLE}) for n in range(7)] + ["f" * 24]
    found = []
    for size, run_bytes in ((100, 10**9), (3, 1000), (1, 1)):
        # pages of so many annotations, and sorted runs of so many bytes on disk
        monkeypatch.setattr(annotations, "BATCH_GET", size)
        monkeypatch.setattr(joining, "RUN_BYTES", run_bytes)
        made = core.services.curating.create("default", info(version=str(size)))
        core.services.curating.link("default", made.id, ids[:-1])
        task = core.services.building.request_download("default", made.id)
        plan = core.services.building.plan("default", task.id)
        key = f"{plan['parts_prefix']}part-00000.json"
        core.stores.artifacts.put(key, json.dumps(sorted(ids)).encode())
        assert core.services.building.join("default", task.id, key) == {"rows": 7}
        objects = core.objects()
        found.append((objects[key.replace("/parts/", "/shards/")], objects[key.replace("/parts/", "/reports/")]))
    assert found[0] == found[1] == found[2]
    assert b'"unknown_annotation":1' in found[0][1]


@pytest.mark.parametrize(
    ("segmentation", "error"),
    [
        ([[1, 2, 3, 4, float("nan"), 6]], InvalidInput),
        ([[1, 2, 3, 4, 5]], InvalidInput),
        ([], InvalidInput),
        ({"size": [4, 4], "counts": [3, 3]}, InvalidInput),
        ({"size": [4, 4], "counts": "ü"}, InvalidInput),
        ([[0.5] * 2_000_000], LimitExceeded),
        ([[0.123456] * 90_000] * 10, LimitExceeded),
    ],
)
def test_a_wrong_segmentation_writes_nothing(core: Core, segmentation: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        said(core, "ab" * 16, {"label": "cat", "segmentation": segmentation})
    assert core.items() == []
    assert core.objects() == {}


def test_outlined_objects_teach_boxes_and_areas_but_not_the_other_way() -> None:
    for wanted in ("detection", "object", "semantic_segmentation"):
        assert teaches(wanted, "polygon")
        assert not teaches("instance_segmentation", wanted)
    assert teaches("bbox", "object")
    assert not teaches("classification", "instance")
    assert not teaches("detection", "something else")
