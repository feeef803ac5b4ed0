"""What the core recommends, the jobs take: the two are separate packages and must not drift apart."""

from __future__ import annotations

import itertools

import pytest

from dataloop.catalog.task_types import TASK_TYPES
from dataloop.domain.recommendation import Facts, recommend
from dataloop_jobs.parameters import Parameters


@pytest.mark.parametrize("task_type", [entry.name for entry in TASK_TYPES])
def test_a_recommendation_is_accepted_as_hyperparameters(task_type: str) -> None:
    for images, labels, object_side, gpus in itertools.product(
        (1, 50, 10_000), ({"a": 1}, {"a": 100, "b": 2}), (None, 0.001, 1.0), (0, 8)
    ):
        facts = Facts(task_type, images, labels, 500, 4000, object_side, 4_000_000_000, gpus)
        parameters = recommend(facts).parameters
        decoded = Parameters.decode({"task_type": task_type, **parameters})
        assert {name: getattr(decoded, name) for name in parameters} == parameters
