"""The worst images and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop_inference.predictions import Prediction
from dataloop_jobs.dataset import Row, Truth
from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.evaluation.worst import MOST_IMAGES, worst_images
from tests.jobs.evaluated import LABELS, PLACE, Answers, evaluated, task


def worst(name: str, rows: list[Row], answers: Answers, threshold: float = 0.4) -> list[dict[str, Any]]:
    evidence = task(name).score(rows, answers, LABELS, threshold).evidence
    assert evidence is not None
    return worst_images(evidence, rows, answers, LABELS, threshold)


def detected(truths: list[Truth], said: list[Prediction]) -> dict[str, Any]:
    (found,) = worst("detection", [Row("u", "", 100, 100, PLACE, tuple(truths))], [said])
    return found


BOX, NEAR, HALF, FAR = (0.1, 0.1, 0.4, 0.4), (0.12, 0.1, 0.4, 0.4), (0.3, 0.1, 0.4, 0.4), (0.6, 0.6, 0.3, 0.3)


def test_a_missed_a_false_a_confused_and_a_badly_placed_object_are_told_apart() -> None:
    missed = detected([Truth(0, BOX)], [])
    assert (missed["why"], missed["loss"]) == (["missed"], 1.0)
    assert missed["faults"][0]["truth_box"] == list(BOX) and missed["faults"][0]["label"] == "car"
    false = detected([Truth(0, BOX)], [Prediction(0, 0.9, BOX), Prediction(1, 0.6, FAR)])
    assert false["why"] == ["false"] and false["faults"][0]["said"] == "dog"
    assert false["loss"] == pytest.approx(0.6 / 2)
    confused = detected([Truth(0, BOX)], [Prediction(1, 0.8, NEAR)])
    assert [(f["kind"], f["label"], f["said"]) for f in confused["faults"]] == [("confused", "car", "dog")]
    assert confused["loss"] == pytest.approx((1 + 0.8) / 2)
    shifted = detected([Truth(0, BOX)], [Prediction(0, 0.8, HALF)])
    assert [fault["kind"] for fault in shifted["faults"]] == ["low_iou"]
    assert shifted["faults"][0]["iou"] == pytest.approx(1 / 3)


def test_a_second_box_on_a_found_object_is_false() -> None:
    found = detected([Truth(0, BOX)], [Prediction(0, 0.9, BOX), Prediction(0, 0.8, NEAR)])
    assert [fault["kind"] for fault in found["faults"]] == ["false"]


def test_what_lies_below_the_threshold_was_not_said() -> None:
    found = detected([Truth(0, BOX)], [Prediction(0, 0.39, BOX)])
    assert found["why"] == ["missed"] and found["predictions"] == []


@pytest.mark.parametrize("name", TASK_TYPES)
def test_the_worst_come_first_and_images_without_a_fault_not_at_all(name: str) -> None:
    rows, answers = evaluated(name, 90, 0.3)
    found = worst(name, rows, answers)
    assert 0 < len(found) <= MOST_IMAGES
    losses = [entry["loss"] for entry in found]
    assert losses == sorted(losses, reverse=True)
    assert all(entry["faults"] and entry["why"] for entry in found)
    assert {fault["kind"] for entry in found for fault in entry["faults"]} <= {"missed", "false", "confused", "low_iou"}
    json.dumps(found, allow_nan=False)


def test_a_perfect_model_has_no_worst_image() -> None:
    rows, _ = evaluated("detection", 10, 0.5)
    perfect = [[Prediction(truth.label, 0.9, truth.box) for truth in row.truths] for row in rows]
    assert worst("detection", rows, perfect) == []


def test_a_wrong_class_says_what_it_was_taken_for() -> None:
    row = Row("u", "", 9, 9, PLACE, (Truth(0, None),))
    (found,) = worst("classification", [row], [[Prediction(2, 0.9), Prediction(0, 0.1)]])
    assert found["faults"][0] | {"kind": "confused", "label": "car", "said": "tree"} == found["faults"][0]
    assert found["loss"] == pytest.approx(2.302585)


def test_labels_of_an_image_are_missed_or_false() -> None:
    row = Row("u", "", 9, 9, PLACE, (Truth(0, None), Truth(1, None)))
    (found,) = worst("multilabel_classification", [row], [[Prediction(0, 0.9), Prediction(1, 0.2), Prediction(2, 0.7)]])
    assert [(f["kind"], f["label"], f["said"]) for f in found["faults"]] == [
        ("missed", "dog", None),
        ("false", None, "tree"),
    ]
