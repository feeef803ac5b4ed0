"""Where the surface is, whatever version and spelling a client was generated with, and who may come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.surfaces.customvision.gateway import Gateway

VERSIONS = ("v3.0", "v3.1", "v3.2", "v3.3", "v3.4", "v3.4-preview", "V3.3")


def ask(gateway: Gateway, path: str, **headers: str) -> tuple[int, Any]:
    status, _, body = gateway.call("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})
    return status, json.loads(body)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["training", "Training", "TRAINING"])
def test_every_spelling_leads_to_the_same_answer(gateway: Gateway, training_key: str, version: str, word: str) -> None:
    status, domains = ask(gateway, f"/customvision/{version}/{word}/domains", Training_Key=training_key)

    assert status == 200
    assert {domain["type"] for domain in domains} == {"Classification", "ObjectDetection"}


@pytest.mark.parametrize("header", ["Training-Key", "Training-key", "training-key", "TRAINING-KEY"])
def test_the_key_comes_in_any_case(gateway: Gateway, training_key: str, header: str) -> None:
    status, _, _ = gateway.call("GET", "/customvision/v3.3/training/projects", {header: training_key})

    assert status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/customvision/v2.2/Training/projects",
        "/customvision/v3.5/training/projects",
        "/customvision/v3.4-preview/teaching/projects",
        "/customvision/v3.4-preview/training/project",
        "/customvision/v3.4-preview/training/projects/../projects",
        "/customvision/v3.1/prediction/projects",
    ],
)
def test_what_is_not_there_is_not_found(gateway: Gateway, training_key: str, path: str) -> None:
    status, body = ask(gateway, path, Training_Key=training_key, Prediction_Key=training_key)

    assert (status, body["code"]) == (404, "NotFound")
    assert set(body) == {"code", "message"}


def test_no_key_and_a_wrong_key_are_401(gateway: Gateway) -> None:
    for headers in ({}, {"Training_Key": "dl_wrong"}, {"Training_Key": ""}, {"Authorization": "Bearer x"}):
        status, body = ask(gateway, "/customvision/v3.3/training/projects", **headers)

        assert (status, body["code"]) == (401, "401")
        assert set(body) == {"code", "message"}


def test_a_prediction_key_does_not_train(gateway: Gateway, prediction_key: str) -> None:
    as_training = ask(gateway, "/customvision/v3.3/training/projects", Training_Key=prediction_key)
    as_prediction = ask(gateway, "/customvision/v3.3/training/projects", Prediction_Key=prediction_key)

    assert (as_training[0], as_training[1]["code"]) == (403, "ForbiddenUserInsufficientCapability")
    assert (as_prediction[0], as_prediction[1]["code"]) == (401, "401")
