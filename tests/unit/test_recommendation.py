"""Recommended parameters: each follows from a fact and says so."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import InvalidInput
from dataloop.domain.recommendation import Facts, Recommendation, recommend, steps_per_epoch

FACTS: dict[str, Any] = {"task_type": "detection", "images": 400, "labels": {"cat": 300, "dog": 150}}


def advice(**facts: Any) -> Recommendation:
    return recommend(Facts(**{**FACTS, **facts}))


def reason(found: Recommendation, parameter: str) -> str:
    (text,) = [one.text for one in found.reasons if one.parameter == parameter]
    return text


def test_every_parameter_has_one_reason_with_its_value() -> None:
    found = advice()
    assert {one.parameter: one.value for one in found.reasons} == found.parameters
    assert len(found.reasons) == len(found.parameters)
    assert all(one.text for one in found.reasons)


def test_steps_are_images_by_batch_rounded_up() -> None:
    assert [steps_per_epoch(images, 8) for images in (1, 8, 9, 400)] == [1, 1, 2, 50]
    found = advice(batch_size=16)
    assert (found.parameters["batch_size"], found.steps_per_epoch) == (16, 25)
    assert found.steps == 25 * found.parameters["epochs"]
    with pytest.raises(InvalidInput, match="batch_size"):
        steps_per_epoch(10, 0)


@pytest.mark.parametrize(
    ("facts", "side", "said"),
    [
        ({}, 192, "defaults"),
        ({"object_side": 0.05}, 320, "0.05 of the image's side"),
        ({"object_side": 0.055}, 320, "rounded up to a multiple of 32"),
        ({"object_side": 0.01}, 640, "kept within 64 and 640"),
        ({"object_side": 0.9}, 64, "kept within"),
        ({"longest_side": 100}, 128, "the images have 100 pixels"),
        ({"object_side": 0.05, "longest_side": 256}, 256, "scaling up adds nothing"),
    ],
)
def test_the_image_size_follows_from_objects_and_images(facts: dict[str, Any], side: int, said: str) -> None:
    found = advice(**facts)
    assert found.parameters["image_size"] == side
    assert said in reason(found, "image_size")


def test_memory_and_few_images_bound_the_batch() -> None:
    assert advice().parameters["batch_size"] == 8
    assert advice(gpus=4).parameters["batch_size"] == 128
    tight = advice(memory_bytes=1_300_000_000)  # half of it less 500 MB leaves 150 MB: 3 images of 192 × 192
    assert tight.parameters["batch_size"] == 3
    assert "1.3 GB" in reason(tight, "batch_size")
    assert advice(memory_bytes=1_000_000).parameters["batch_size"] == 1
    few = advice(images=9)
    assert few.parameters["batch_size"] == 4
    assert "half of the 9" in reason(few, "batch_size")
    assert advice(images=1).parameters["batch_size"] == 1


def test_the_rate_goes_with_the_root_of_the_batch_and_is_halved_when_warm() -> None:
    assert advice().parameters["learning_rate"] == pytest.approx(0.002)
    assert advice(batch_size=32).parameters["learning_rate"] == pytest.approx(0.004)
    assert advice(is_warm=True).parameters["learning_rate"] == pytest.approx(0.001)


def test_epochs_give_about_the_same_steps_whatever_the_number_of_images() -> None:
    small, large = advice(images=80), advice(images=800)
    assert small.parameters["epochs"] > large.parameters["epochs"] >= 5
    assert small.steps == pytest.approx(large.steps, rel=0.3)
    assert advice(images=1_000_000).parameters["epochs"] == 5
    assert advice(images=2).parameters["epochs"] <= 300
    assert advice(is_warm=True).parameters["epochs"] < advice().parameters["epochs"]


def test_early_stop_needs_enough_validation_images() -> None:
    assert advice(validation_images=10).parameters["early_stop_patience"] == 0
    assert advice(validation_images=100).parameters["early_stop_patience"] >= 3


def test_rare_labels_are_balanced() -> None:
    assert advice().parameters["class_balance"] == "none"
    found = advice(labels={"cat": 300, "dog": 20, "never": 0})
    assert found.parameters["class_balance"] == "sampling"
    assert "'cat' is on 300 images, 'dog' on 20: 15.0 times as many" in reason(found, "class_balance")
    assert "class_balance" not in advice(labels={"cat": 3}).parameters


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"images": 0}, "images"),
        ({"object_side": 0}, "object_side"),
        ({"object_side": 2.0}, "object_side"),
        ({"memory_bytes": 0}, "memory_bytes"),
        ({"longest_side": -1}, "longest_side"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_a_fact_that_cannot_be_is_named(facts: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        advice(**facts)
    assert caught.value.field == named
