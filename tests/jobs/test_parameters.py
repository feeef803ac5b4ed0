"""Hyperparameters: every wrong one is named with its value."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dataloop_jobs.contract import TrainingFolders
from dataloop_jobs.faults import BadParameter
from dataloop_jobs.parameters import Parameters, Rule


def test_defaults_fill_in_what_is_not_given() -> None:
    parameters = Parameters.decode({"task_type": "detection", "epochs": 3})
    assert (parameters.epochs, parameters.architecture, parameters.image_size) == (3, "efficientnet_lite0", 192)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"learning_rat": 0.1}, ["learning_rat=0.1", "unknown", "learning_rate"]),
        ({"task_type": "poetry"}, ["task_type='poetry'", "classification, detection"]),
        ({"architecture": "resnet"}, ["architecture='resnet'", "efficientnet_lite0"]),
        ({"epochs": 0}, ["epochs=0", "from 1 to"]),
        ({"epochs": "many"}, ["epochs='many'", "whole number"]),
        ({"epochs": 2.5}, ["epochs=2.5", "whole number"]),
        ({"epochs": True}, ["epochs=True", "whole number"]),
        ({"image_size": 100}, ["image_size=100", "multiple of 32"]),
        ({"learning_rate": float("nan")}, ["learning_rate=nan", "must be a number"]),
        ({"learning_rate": -1}, ["learning_rate=-1"]),
        ({"learning_rate": None}, ["learning_rate=None"]),
        ({"augment": "mixup"}, ["augment='mixup'", "flip, light, none"]),
        ({"batch_size": [8]}, ["batch_size=[8]"]),
        ({"precision": "float8"}, ["precision='float8'", "bfloat16, float16, float32"]),
        ({"compile": 1}, ["compile=1", "true or false"]),
        ({"tensorboard": "yes"}, ["tensorboard='yes'", "true or false"]),
        ({"milestones": 0.5}, ["milestones=0.5", "list of numbers"]),
        ({"milestones": [0.5, "x"]}, ["milestones='x'", "must be a number"]),
        ({"milestones": [0.8, 0.5]}, ["milestones=[0.8, 0.5]", "must rise"]),
        ({"milestones": [30, 60]}, ["milestones=30", "from 0 to 1"]),
        ({"mixup": 0.2}, ["mixup=0.2", "not used by task_type detection", "classification"]),
        ({"class_balance": "loss"}, ["class_balance='loss'", "use sampling"]),
    ],
)
def test_a_wrong_value_is_refused_by_name(given: dict[str, object], parts: list[str]) -> None:
    with pytest.raises(BadParameter) as caught:
        Parameters.decode({"task_type": "detection", **given})
    for part in parts:
        assert part in str(caught.value)


def test_mosaic_is_for_task_types_with_objects() -> None:
    assert Parameters.decode({"task_type": "detection", "mosaic": 0.5}).mosaic == 0.5
    with pytest.raises(BadParameter, match=r"mosaic=0\.5: not used by task_type classification; only by detection"):
        Parameters.decode({"task_type": "classification", "mosaic": 0.5})
    assert Parameters.decode({"task_type": "classification", "mosaic": 0}).mosaic == 0


def test_milestones_are_shares_in_order() -> None:
    assert Parameters.decode({"task_type": "detection", "milestones": [0, 0.5, 1]}).milestones == (0.0, 0.5, 1.0)


def test_what_is_saved_can_be_read_again() -> None:
    parameters = Parameters.decode({"task_type": "detection", "milestones": [0.4], "compile": True})
    assert Parameters.decode(json.loads(json.dumps(parameters.to_dict()))) == parameters


def test_the_task_type_must_be_said() -> None:
    with pytest.raises(BadParameter, match="task_type"):
        Parameters.decode({})


def test_every_parameter_has_a_text_and_a_default_within_its_own_rule() -> None:
    for field in dataclasses.fields(Parameters):
        rule: Rule = field.metadata["rule"]
        assert rule.text, field.name
        if field.name != "task_type":
            Parameters.decode({"task_type": "detection", field.name: field.default})


def test_values_come_as_json_text_and_the_toolkits_own_names_are_passed_over(tmp_path: Path) -> None:
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    given = {"epochs": "4", "task_type": '"detection"', "augment": "none", "sagemaker_program": '"x.py"'}
    (config / "hyperparameters.json").write_text(json.dumps(given))
    assert TrainingFolders(tmp_path).hyperparameters() == {"epochs": 4, "task_type": "detection", "augment": "none"}
