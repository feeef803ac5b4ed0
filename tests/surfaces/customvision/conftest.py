"""Microsoft's own clients over the two functions in this process, and projects to work in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.core import Core, account
from tests.surfaces.customvision.clients import prediction_client, training_client
from tests.surfaces.customvision.gateway import Gateway, serving


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as made:
        yield made


@pytest.fixture
def gateway(core: Core) -> Iterator[Gateway]:
    with serving(core) as running:
        yield running


@pytest.fixture
def training_key(core: Core) -> str:
    """May do everything that a training key of Azure may."""
    return core.services.keyring.create("default", "training", ["read", "write", "train"])[1]


@pytest.fixture
def prediction_key(core: Core) -> str:
    return core.services.keyring.create("default", "prediction", ["predict"])[1]


@pytest.fixture
def training(gateway: Gateway, training_key: str) -> Iterator[Any]:
    """The real CustomVisionTrainingClient."""
    with training_client(gateway.url, training_key) as client:
        yield client


@pytest.fixture
def prediction(gateway: Gateway, prediction_key: str) -> Iterator[Any]:
    """The real CustomVisionPredictionClient."""
    with prediction_client(gateway.url, prediction_key) as client:
        yield client


@pytest.fixture
def project(training: Any) -> Any:
    """A multiclass classification project."""
    return training.create_project("animals", classification_type="Multiclass")


@pytest.fixture
def multilabel_project(training: Any) -> Any:
    """A classification project whose images have several tags."""
    return training.create_project("scenes", classification_type="Multilabel")


@pytest.fixture
def detection_project(training: Any) -> Any:
    """A detection project."""
    domain = next(each for each in training.get_domains() if each.type == "ObjectDetection")
    return training.create_project("objects", domain_id=domain.id)
