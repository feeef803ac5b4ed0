"""Resampling of stored evidence against scoring the resampled images from the beginning."""

from __future__ import annotations

import numpy as np
import pytest

from dataloop_jobs.declarations import TASK_TYPES
from dataloop_jobs.evaluation.bootstrap import (
    FEWEST_RESAMPLES,
    RESAMPLES,
    draws,
    interval,
    primary_interval,
    resampled,
    resamples_for,
)
from dataloop_jobs.evaluation.evidence import Evidence
from tests.jobs.evaluated import LABELS, evaluated, task

FIELDS = {
    "classification": "f1",
    "multilabel_classification": "AP",
    "detection": "AP50",
    "instance_segmentation": "mask_AP50",
    "semantic_segmentation": "iou",
}
every_task = pytest.mark.parametrize("name", TASK_TYPES)


def evidence_of(name: str, count: int = 12, quality: float = 0.6, seed: int = 0) -> Evidence:
    found = task(name).score(*evaluated(name, count, quality, seed), LABELS, 0.4).evidence
    assert found is not None
    return found


@every_task
@pytest.mark.parametrize("seed", range(3))
def test_weights_count_images_as_scoring_them_so_often_would(name: str, seed: int) -> None:
    rows, answers = evaluated(name, 12, 0.6, seed)
    evidence = evidence_of(name, 12, 0.6, seed)
    weights = np.concatenate([np.ones((1, 12)), *draws(12, evidence.size, 8, seed)])
    primary, per_class = evidence.primary(weights), evidence.per_class(weights)
    for number, counts in enumerate(weights.astype(int)):
        drawn = [index for index, times in enumerate(counts) for _ in range(times)]
        brute = task(name).score([rows[i] for i in drawn], [answers[i] for i in drawn], LABELS, 0.4)
        assert primary[number] == pytest.approx(
            np.nan if brute.primary is None else brute.primary, abs=1e-9, nan_ok=True
        )
        for position, label in enumerate(LABELS):
            entry = brute.per_class[label]
            value = entry[FIELDS[name]] if entry["support"] else None
            if value is not None:
                assert per_class[number, position] == pytest.approx(value, abs=1e-9)


@every_task
def test_a_selection_is_scored_as_those_images_alone(name: str) -> None:
    rows, answers = evaluated(name, 12, 0.6)
    members = np.array([7, 2, 9, 3])
    part = evidence_of(name).select(members)
    alone = task(name).score([rows[i] for i in members], [answers[i] for i in members], LABELS, 0.4)
    assert part.images == 4
    wanted = np.nan if alone.primary is None else alone.primary
    assert part.primary(np.ones((1, 4)))[0] == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_draws_are_resamples_that_depend_on_nothing_but_their_seed() -> None:
    blocks = list(draws(10, 500_000, 30, seed=3))
    assert len(blocks) > 1
    whole = np.concatenate(blocks)
    np.testing.assert_array_equal(whole, np.concatenate(list(draws(10, 10, 30, seed=3))))
    assert (whole.sum(axis=1) == 10).all()
    assert not np.array_equal(whole, np.concatenate(list(draws(10, 10, 30, seed=4))))


def test_the_interval_of_an_accuracy_is_that_of_the_binomial() -> None:
    """200 images, about half right: standard error sqrt(p (1 - p) / 200)."""
    evidence = evidence_of("classification", 200, 0.2)
    share = float(evidence.primary(np.ones((1, 200)))[0])
    ends = primary_interval(evidence, 1000, seed=0)
    assert ends is not None
    error = (share * (1 - share) / 200) ** 0.5
    assert ends[0] == pytest.approx(share - 1.96 * error, abs=0.015)
    assert ends[1] == pytest.approx(share + 1.96 * error, abs=0.015)


@every_task
def test_the_interval_holds_the_value_and_narrows_with_more_images(name: str) -> None:
    few, many = (evidence_of(name, count) for count in (15, 150))
    narrow, wide = primary_interval(many, 300, 0), primary_interval(few, 300, 0)
    assert narrow is not None and wide is not None
    assert narrow[0] <= many.primary(np.ones((1, 150)))[0] <= narrow[1]
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert primary_interval(many, 300, 0) == narrow


@every_task
@pytest.mark.parametrize("count", [0, 1])
def test_no_image_or_one_has_no_interval(name: str, count: int) -> None:
    assert primary_interval(evidence_of(name, count), 100, 0) is None


def test_resamples_that_cannot_be_scored_are_left_out() -> None:
    assert interval(np.array([np.nan, 0.5, 0.5])) == [0.5, 0.5]
    assert interval(np.array([np.nan])) is None
    assert resampled(evidence_of("detection", 0), lambda weights: weights, 10, 0).size == 0


def test_large_evidence_gets_fewer_resamples() -> None:
    assert resamples_for(1000) == RESAMPLES
    assert resamples_for(10**9) == FEWEST_RESAMPLES
    assert FEWEST_RESAMPLES < resamples_for(2_000_000) < RESAMPLES
