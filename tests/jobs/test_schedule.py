"""Learning rate over the steps."""

from __future__ import annotations

import pytest

from dataloop_jobs.schedule import rate


def rates(**settings: object) -> list[float]:
    return [rate(step, 100, **{"warmup": 0.1, **settings}) for step in range(100)]  # type: ignore[arg-type]


def test_cosine_rises_then_falls_to_almost_nothing() -> None:
    found = rates()
    assert found[9] == max(found) == 1
    assert found[:10] == sorted(found[:10])
    assert found[9:] == sorted(found[9:], reverse=True)
    assert found[-1] < 0.001
    assert found[55] == pytest.approx(0.5)


def test_step_falls_at_each_milestone_and_nowhere_else() -> None:
    found = rates(schedule="step", milestones=(0.5, 0.8), gamma=0.1)
    assert found[:10] == [pytest.approx((step + 1) / 10) for step in range(10)]
    assert found[10:50] == [1.0] * 40
    assert found[50:80] == pytest.approx([0.1] * 30)
    assert found[80:] == pytest.approx([0.01] * 20)


def test_constant_stays_after_the_warm_up() -> None:
    assert rates(schedule="constant")[9:] == [1.0] * 91


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_a_single_step_has_the_whole_rate(schedule: str) -> None:
    assert rate(0, 1, warmup=0.0, schedule=schedule, milestones=(0.6,), gamma=0.1) == 1
