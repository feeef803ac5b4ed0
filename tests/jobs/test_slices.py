"""Parts of the test set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.evaluation.slices import MOST_ATTRIBUTES, MOST_VALUES, OBJECT_SIZE, groups, slices
from tests.jobs.coco_problems import LABELS as COCO_LABELS
from tests.jobs.coco_problems import generate, pycocotools_evaluation
from tests.jobs.evaluated import LABELS, evaluated, task
from tests.jobs.test_coco_parity import to_rows


@pytest.mark.parametrize("name", TASK_TYPES)
def test_each_value_is_scored_as_its_images_alone(name: str) -> None:
    rows, answers = evaluated(name, 30, 0.6)
    evidence = task(name).score(rows, answers, LABELS, 0.4).evidence
    assert evidence is not None
    found = slices(evidence, groups(rows)[0], seed=0)
    assert set(found) - {OBJECT_SIZE} == {"region", "device"}
    assert sum(entry["images"] for entry in found["device"].values()) == 30
    for value, entry in found["region"].items():
        chosen = [i for i, row in enumerate(rows) if row.attributes["region"] == value]
        alone = task(name).score([rows[i] for i in chosen], [answers[i] for i in chosen], LABELS, 0.4)
        assert entry["primary"] == pytest.approx(alone.primary, abs=1e-9)
        assert entry["images"] == len(chosen)
        assert entry["confidence"][0] <= entry["primary"] <= entry["confidence"][1]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_object_sizes_are_those_of_coco(kind: str) -> None:
    problem = generate(kind, 3, crowds=False)
    name = "detection" if kind == "bbox" else "instance_segmentation"
    evidence = task(name).score(*to_rows(problem), COCO_LABELS, 0.4).evidence
    assert evidence is not None
    found = slices(evidence, {}, seed=0)[OBJECT_SIZE]
    precision = pycocotools_evaluation(problem).eval["precision"][0, :, :, :, 2]
    limits = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
    for position, (size, (least, most)) in enumerate(limits.items(), start=1):
        known = precision[:, :, position][precision[:, :, position] > -1]
        assert found[size]["primary"] == (pytest.approx(known.mean(), abs=1e-9) if known.size else None)
        there = {t["image_id"] for t in problem.truths if least <= t["area"] < most}
        assert found[size]["images"] == len(there)


def test_attributes_that_tell_images_apart_are_left_out_with_a_reason() -> None:
    rows, _ = evaluated("classification", MOST_VALUES + 1, 0.5)
    rows = [
        replace(row, attributes={"uid": row.uid, "camera": "x" * 101 if row is rows[0] else "y", OBJECT_SIZE: "own"})
        for row in rows
    ]
    kept, left_out = groups(rows)
    assert set(kept) == {f"{OBJECT_SIZE} (attribute)"}
    assert left_out == {
        "uid": f"{MOST_VALUES + 1} values; at most {MOST_VALUES}",
        "camera": "a name or value of more than 100 characters",
    }


def test_only_so_many_attributes_are_sliced_by_those_with_few_values_first() -> None:
    rows, _ = evaluated("classification", 20, 0.5)
    rows = [
        replace(row, attributes={f"a{k:02}": str(i % (2 + k % 2)) for k in range(MOST_ATTRIBUTES + 5)})
        for i, row in enumerate(rows)
    ]
    kept, left_out = groups(rows)
    assert len(kept) == MOST_ATTRIBUTES and len(left_out) == 5
    assert all(len(kept[f"a{k:02}"]) == 2 for k in range(0, MOST_ATTRIBUTES, 2))


def test_rows_without_the_attribute_are_in_no_slice() -> None:
    rows, _ = evaluated("classification", 4, 0.5)
    rows[0] = replace(rows[0], attributes={})
    kept, _ = groups(rows)
    np.testing.assert_array_equal(kept["region"]["north"], [2])
    assert groups([]) == ({}, {})
