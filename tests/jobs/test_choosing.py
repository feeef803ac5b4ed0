"""Choosing images: each rule holds for any input, and the order of the input does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop_jobs.declarations import SELECTIONS
from dataloop_jobs.selection.choosing import Candidates, Wish, choose


def candidates(count: int, seed: int, order: list[int] | None = None) -> Candidates:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    doubt = rng.random(count)
    groups = [f"scene {value}" for value in rng.integers(0, max(1, count // 4), count)]
    labels = [f"label {value}" for value in rng.integers(0, 3, count)]
    order = list(range(count)) if order is None else order
    place = {old: new for new, old in enumerate(order)}
    twins = [[0, 1, 2], [3, 4]] if count > 4 else []
    return Candidates(
        uids=[f"{index:04d}" for index in order],
        groups=[groups[index] for index in order],
        features=features[order],
        doubt=doubt[order],
        labels=[labels[index] for index in order],
        twins=[[place[index] for index in group] for group in twins],
    )


def uids(given: Candidates, wish: Wish) -> list[str]:
    return [given.uids[choice.position] for choice in choose(given, wish)[0]]


@pytest.mark.parametrize("strategy", SELECTIONS)
@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 40),
    wanted=st.integers(1, 50),
    per_group=st.integers(0, 3),
    balance=st.booleans(),
    keep=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_rule_holds_and_nothing_is_lost(
    strategy: str, count: int, wanted: int, per_group: int, balance: bool, keep: bool, seed: int
) -> None:
    given_ = candidates(count, seed)
    wish = Wish(strategy, wanted, seed, per_group=per_group, balance=balance, near_duplicates=keep)
    chosen, left_out = choose(given_, wish)
    positions = [choice.position for choice in chosen]
    assert len(set(positions)) == len(positions) <= wanted
    assert len(positions) + sum(left_out.values()) == count
    groups = [given_.groups[position] for position in positions]
    assert not per_group or max(groups.count(group) for group in groups) <= per_group
    if not keep:
        assert all(len(set(positions) & set(twins)) <= 1 for twins in given_.twins)
    if not per_group and keep:
        assert len(positions) == min(wanted, count)
    shuffled = np.random.default_rng(seed).permutation(count).tolist()
    assert uids(given_, wish) == uids(candidates(count, seed, shuffled), wish)


def test_random_depends_on_the_seed_alone() -> None:
    given_ = candidates(60, 1)
    first = uids(given_, Wish("random", 10, seed=1))
    assert first == uids(given_, Wish("random", 10, seed=1))
    assert first != uids(given_, Wish("random", 10, seed=2))


def test_uncertainty_takes_the_most_doubtful_first() -> None:
    given_ = candidates(50, 2)
    assert given_.doubt is not None
    chosen, _ = choose(given_, Wish("uncertainty", 10, near_duplicates=True))
    assert [choice.position for choice in chosen] == np.argsort(-given_.doubt)[:10].tolist()


def test_diversity_starts_far_from_what_is_labelled_and_reaches_every_cluster() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.eye(6, dtype=np.float32), 20, axis=0) + rng.normal(scale=0.02, size=(120, 6))
    clusters = (clusters / np.linalg.norm(clusters, axis=1, keepdims=True)).astype(np.float32)
    names = [f"{index:03d}" for index in range(120)]
    given_ = Candidates(names, names, features=clusters, labelled=clusters[:3])
    chosen, _ = choose(given_, Wish("diversity", 5))
    assert sorted(choice.position // 20 for choice in chosen) == [1, 2, 3, 4, 5]  # the first is labelled already


def test_the_mixed_strategy_spreads_among_the_doubtful() -> None:
    given_ = candidates(200, 3)
    assert given_.doubt is not None
    assert given_.features is not None
    mixed, _ = choose(given_, Wish("uncertainty_diversity", 10, near_duplicates=True))
    sure, _ = choose(given_, Wish("uncertainty", 10, near_duplicates=True))
    pool = set(np.argsort(-given_.doubt)[:40].tolist())
    assert {choice.position for choice in mixed} <= pool

    def nearest(chosen: list[int]) -> float:
        part = given_.features[chosen]  # type: ignore[index]
        apart = 2 - 2 * part @ part.T + 4 * np.eye(len(part))
        return float(apart.min())

    assert nearest([one.position for one in mixed]) > nearest([one.position for one in sure])


def test_balance_gives_every_label_its_share() -> None:
    given_ = candidates(90, 4)
    chosen, _ = choose(given_, Wish("uncertainty", 30, balance=True, near_duplicates=True))
    labels = [given_.labels[choice.position] for choice in chosen]
    assert sorted(labels.count(label) for label in set(labels)) == [10, 10, 10]
