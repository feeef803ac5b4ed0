"""The dataset channel: what cannot be used is named by file, uid, annotation and value."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dataloop_inference.masks import decode, encode
from dataloop_jobs.dataset import read_dataset, read_images_only
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.faults import BadDataset
from tests.jobs.job_folder import SIZE, JobFolder

BOX = (0.1, 0.2, 0.3, 0.4)


def detection_row(job: JobFolder) -> dict[str, Any]:
    return job.add("train", b"pixels", [("0", BOX)])


def test_rows_labels_places_and_attributes_are_read(job: JobFolder) -> None:
    job.add("train", b"one", [("1", BOX), ("0", (0, 0, 1, 1))], region="CN")
    job.add("test", b"two", [])
    dataset = read_dataset(job.write().dataset, needs="box")
    (row,) = dataset.train
    assert [truth.label for truth in row.truths] == [1, 0]
    assert row.attributes == {"region": "CN"}
    assert row.place.key == job.objects[0]["key"]
    assert dataset.test[0].truths == ()
    assert dataset.val == ()
    assert dataset.spec["model_id"] == job.spec["model_id"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda label: label.update(label="zebra"), "label 'zebra' is not in label_map.json"),
        (lambda label: label.update(box=None), "has no box"),
        (lambda label: label.update(box=[0.5, 0.5, 0.0, 0.2]), "has no area"),
        (lambda label: label.update(box=[0.5, 0.5, 9, 0.2]), "leaves the image"),
        (lambda label: label.update(box=[0.5, 0.5, float("nan"), 0.2]), "four finite numbers"),
        (lambda label: label.update(box=[0.5, 0.5, 0.2]), "four finite numbers"),
        (lambda label: label.update(box="left"), "four finite numbers"),
    ],
)
def test_a_label_that_cannot_be_used_is_named(job: JobFolder, change: Any, message: str) -> None:
    row = detection_row(job)
    change(row["annotations"][0]["labels"][0])
    with pytest.raises(BadDataset) as caught:
        read_dataset(job.write().dataset, needs="box")
    assert message in str(caught.value)
    assert f"train.jsonl, uid {row['uid']}, annotation {row['annotations'][0]['id']}" in str(caught.value)


SQUARE = [0.1, 0.1, 0.5, 0.1, 0.5, 0.5, 0.1, 0.5]


def test_polygons_and_masks_are_read_with_their_extent(job: JobFolder) -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[8:16, 4:20] = True
    labels = detection_row(job)["annotations"][0]["labels"]
    labels[0].update(box=None, polygons=[SQUARE, [0.6, 0.6, 0.9, 0.6, 0.9, 1.005]])
    labels.append({"label": "1", "box": [0.0625, 0.125, 0.25, 0.125], "mask": rle(mask)})
    first, second = read_dataset(job.write().dataset, needs="mask").train[0].truths
    assert first.polygons is not None
    assert first.polygons[0] == tuple(SQUARE)
    assert first.polygons[1][-1] == 1.0  # cut to the image
    assert first.box == pytest.approx((0.1, 0.1, 0.8, 0.9))
    assert second.mask is not None
    assert np.array_equal(decode(second.mask), mask)


def rle(mask: np.ndarray, **changed: Any) -> dict[str, Any]:
    encoded = encode(mask)
    return {"size": [encoded.height, encoded.width], "counts": encoded.counts, **changed}


FULL = np.ones((SIZE, SIZE), bool)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "has no mask"),
        ({"polygons": []}, "at least one"),
        ({"polygons": "left"}, "must be a list of"),
        ({"polygons": [SQUARE, [0.1, 0.2]]}, "polygon 1: 2 numbers"),
        ({"polygons": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]]}, "7 numbers"),
        ({"polygons": [[0.1, 0.2, 0.3, None, 0.5, 0.6]]}, "must be finite numbers"),
        ({"polygons": [[0.1, 0.2, 0.3, 1e999, 0.5, 0.6]]}, "must be finite numbers"),
        ({"polygons": [[1.0, 2.0, 30.0, 4.0, 5.0, 60.0]]}, "leaves the image"),
        ({"polygons": [[0.1, 0.2, 0.1, 0.4, 0.1, 0.6]]}, "has no area"),
        ({"mask": "o"}, 'must be {"size": [height, width]'),
        ({"mask": {"size": [SIZE, SIZE]}}, 'must be {"size": [height, width]'),
        (
            {"mask": rle(np.ones((SIZE, SIZE + 1), bool))},
            f"size [{SIZE}, {SIZE + 1}] is not the image's [{SIZE}, {SIZE}]",
        ),
        ({"mask": rle(np.ones((8, 8), bool), size=[SIZE, SIZE])}, f"runs add up to 64 pixels; the image has {SIZE**2}"),
        ({"mask": rle(FULL, counts="~~~")}, "character '~'"),
        ({"mask": rle(~FULL)}, "the mask is empty"),
        ({"mask": rle(FULL), "polygons": [SQUARE]}, "both polygons and a mask"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(job: JobFolder, change: dict[str, Any], message: str) -> None:
    row = detection_row(job)
    row["annotations"][0]["labels"][0].update(change)
    with pytest.raises(BadDataset) as caught:
        read_dataset(job.write().dataset, needs="mask")
    assert message in str(caught.value)
    assert f"train.jsonl, uid {row['uid']}, annotation {row['annotations'][0]['id']}" in str(caught.value)


@pytest.mark.parametrize("name", ["uid", "sha256", "width", "height"])
def test_a_row_without_what_every_row_has_is_named(job: JobFolder, name: str) -> None:
    detection_row(job)[name] = None
    with pytest.raises(BadDataset, match=f"{name} is None"):
        read_dataset(job.write().dataset, needs="box")


def test_an_image_without_a_place_is_named(job: JobFolder) -> None:
    row = detection_row(job)
    job.objects.clear()
    with pytest.raises(BadDataset, match=row["uid"]):
        read_dataset(job.write().dataset, needs="box")


def test_broken_files_are_named(job: JobFolder) -> None:
    detection_row(job)
    folder = job.write().dataset
    (folder / "train.jsonl").write_text('{"uid": "a"}\n{oops\n')
    with pytest.raises(BadDataset, match=r"train\.jsonl"):
        read_dataset(folder, needs="box")
    (folder / "label_map.json").write_text("{}")
    with pytest.raises(BadDataset, match=r"label_map\.json"):
        read_dataset(folder, needs="box")
    (folder / "label_map.json").write_text(json.dumps({"labels": []}))
    with pytest.raises(BadDataset, match="holds no label"):
        read_dataset(folder, needs="box")
    (folder / "label_map.json").unlink()
    with pytest.raises(BadDataset, match=r"label_map\.json is missing"):
        read_dataset(folder, needs="box")


def test_a_persons_word_beats_a_models_suggestion_and_repeats_count_once(job: JobFolder) -> None:
    row = detection_row(job)
    first = row["annotations"][0]
    row["annotations"] = [
        {**first, "method": "auto", "labels": [{"label": "1", "box": list(BOX)}]},
        first,
        {**first, "method": "manual"},
    ]
    job.add("train", b"suggested only", [("2", BOX)], method="auto")
    by_uid = {row.uid: row for row in read_dataset(job.write().dataset, needs="box").train}
    assert [truth.label for truth in by_uid[row["uid"]].truths] == [0]
    assert sorted(truth.label for row in by_uid.values() for truth in row.truths) == [0, 2]


def test_a_frozen_test_set_may_know_labels_that_the_model_does_not(job: JobFolder) -> None:
    detection_row(job)
    job.add("test", b"old", [("removed", BOX), ("0", BOX)])
    dataset = read_dataset(job.write().dataset, needs="box")
    assert dataset.unknown_labels == ("removed",)
    assert [truth.label for truth in dataset.test[0].truths] == [3, 0]


def test_images_to_verify_on_come_from_test_first_and_need_no_labels(job: JobFolder) -> None:
    detection_row(job)["annotations"][0]["labels"][0]["label"] = "zebra"
    assert len(read_images_only(job.write().dataset, 5)) == 1
    wanted = job.add("test", b"t", [("0", BOX)])
    assert [row.uid for row in read_images_only(job.write().dataset, 5)] == [wanted["uid"]]


@pytest.mark.parametrize(
    ("task_type", "labels", "rows", "message"),
    [
        ("detection", ("0",), [], "train split is empty"),
        ("detection", ("0",), [[]], "has a box"),
        ("instance_segmentation", ("0",), [], "train split is empty"),
        ("instance_segmentation", ("0",), [[]], "has a mask"),
        ("semantic_segmentation", ("0",), [], "train split is empty"),
        ("semantic_segmentation", ("0",), [[]], "has a mask"),
        ("multilabel_classification", ("0",), [], "train split is empty"),
        ("multilabel_classification", ("0",), [[], []], "on all or none of the 2 training images"),
        ("multilabel_classification", ("0",), [[("0", None)]], "on all or none of the 1 training images"),
        ("classification", ("0", "1"), [], "train split is empty"),
        ("classification", ("0",), [[("0", None)]], "at least two labels; label_map.json has one: '0'"),
        ("classification", ("0", "1"), [[("1", None)], [("1", None)]], r"fewer than two labels \('1'\)"),
        ("classification", ("0", "1"), [[("1", None), ("0", None)]], "several labels"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_is_refused(
    job: JobFolder, task_type: str, labels: tuple[str, ...], rows: list[Any], message: str
) -> None:
    job.labels = labels
    for number, row in enumerate(rows):
        job.add("train", bytes([number]), row)
    task = TASK_TYPES[task_type].load().IMPLEMENTATION
    dataset = read_dataset(job.write().dataset, needs=task.needs)
    with pytest.raises(BadDataset, match=message):
        task.check(dataset)


def test_an_image_may_have_many_labels_or_none_for_multilabel_classification(job: JobFolder) -> None:
    job.add("train", b"both", [("0", None), ("1", None)])
    job.add("train", b"none", [])
    task = TASK_TYPES["multilabel_classification"].load().IMPLEMENTATION
    dataset = read_dataset(job.write().dataset, needs=task.needs)
    task.check(dataset)
    assert sorted(len(row.truths) for row in task.usable(dataset.train)) == [0, 2]


def test_one_class_is_enough_for_detection(job: JobFolder) -> None:
    job.labels = ("0",)
    detection_row(job)
    TASK_TYPES["detection"].load().IMPLEMENTATION.check(read_dataset(job.write().dataset, needs="box"))
