"""When a loop starts: the promises of the policy over all facts (design §6.4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.errors import InvalidInput
from dataloop.domain.retraining import FAILURE_BACKOFF_S, Evidence, Thresholds, decide, make_query, make_thresholds

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
past = st.none() | st.integers(0, 90 * 86_400).map(lambda seconds: NOW - timedelta(seconds=seconds))
evidence = st.builds(
    Evidence,
    new_labelled=st.integers(0, 5_000),
    last_train_size=st.integers(0, 20_000),
    oldest_unlearnt=past,
    last_start=past,
    active_loop=st.booleans(),
    failures=st.integers(0, 20),
)
thresholds = st.builds(
    Thresholds,
    min_new=st.integers(0, 1_000),
    fraction=st.floats(0, 1),
    max_age_days=st.floats(0, 60),
    min_new_by_age=st.integers(0, 100),
    cooldown_s=st.integers(0, 86_400),
)
READY = Evidence(1_000, 0, NOW, None, False)


@given(thresholds, evidence, st.booleans())
def test_it_never_starts_beside_a_run_nor_with_nothing_new(policy: Thresholds, facts: Evidence, forced: bool) -> None:
    decision = decide(NOW, policy, facts, forced)
    if facts.active_loop or facts.new_labelled == 0:
        assert not decision.start
    assert decision.reason


@given(thresholds, evidence, st.integers(1, 1_000))
def test_more_new_labels_never_turn_a_start_into_a_wait(policy: Thresholds, facts: Evidence, more: int) -> None:
    if decide(NOW, policy, facts).start:
        assert decide(NOW, policy, replace(facts, new_labelled=facts.new_labelled + more)).start


@given(thresholds, evidence)
def test_forcing_overrides_thresholds_and_cool_down_and_nothing_else(policy: Thresholds, facts: Evidence) -> None:
    assert decide(NOW, policy, facts, forced=True).start == (not facts.active_loop and facts.new_labelled > 0)


@given(thresholds, evidence)
def test_looking_again_at_the_named_time_is_not_told_the_same_reason(policy: Thresholds, facts: Evidence) -> None:
    decision = decide(NOW, policy, facts)
    if decision.look_again is not None:
        assert not decision.start
        assert decision.look_again > NOW
        later = decide(decision.look_again, policy, facts)
        assert later.start or "cooling down" not in later.reason


@given(st.integers(1, 30))
def test_each_failure_doubles_the_wait_up_to_a_limit(failures: int) -> None:
    facts = replace(READY, last_start=NOW, failures=failures)
    wait = timedelta(seconds=FAILURE_BACKOFF_S * 2 ** min(failures - 1, 6))
    policy = Thresholds(cooldown_s=0)
    assert not decide(NOW + wait - timedelta(seconds=1), policy, facts).start
    assert decide(NOW + wait, policy, facts).start


def test_enough_new_labels_start_at_the_count_and_not_before() -> None:
    assert decide(NOW, Thresholds(min_new=1_000), READY).start
    assert not decide(NOW, Thresholds(min_new=1_001), READY).start
    assert not decide(NOW, Thresholds(min_new=1), replace(READY, last_train_size=10_010)).start


def test_old_labels_start_with_fewer() -> None:
    facts = replace(READY, new_labelled=20, oldest_unlearnt=NOW - timedelta(days=14))
    assert decide(NOW, Thresholds(), facts).start
    assert not decide(NOW, Thresholds(), replace(facts, new_labelled=19)).start
    young = replace(facts, oldest_unlearnt=NOW - timedelta(days=13))
    assert decide(NOW, Thresholds(), young).look_again == NOW + timedelta(days=1)


def test_the_cool_down_ends_when_it_says() -> None:
    facts = replace(READY, last_start=NOW - timedelta(hours=5))
    decision = decide(NOW, Thresholds(), facts)
    assert (decision.start, decision.look_again) == (False, NOW + timedelta(hours=1))
    assert decide(NOW + timedelta(hours=1), Thresholds(), facts).start


@pytest.mark.parametrize(
    "value", [1, {"min_nwe": 1}, {"min_new": -1}, {"min_new": float("nan")}, {"min_new": "5"}, {"min_new": 1e10}]
)
def test_thresholds_that_cannot_be_meant_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        make_thresholds(value, Thresholds())


@pytest.mark.parametrize("value", [1, {"label": []}, {"labels": "cat"}, {"labels": [1]}, {"annotation_type": 1}])
def test_a_query_that_cannot_be_meant_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        make_query(value)
