"""Splits: decided by the group alone, so that growth moves nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.splits import MAX_LISTED_UIDS, SPLITS, SplitPolicy, make_split_lists, make_split_policy

uids = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")
weights = st.tuples(*[st.floats(0, 100) for _ in SPLITS]).filter(lambda three: sum(three) > 0.001)


@given(weights, st.sets(uids, max_size=30), st.sets(uids, max_size=30))
def test_growth_moves_no_image(three: tuple[float, float, float], old: set[str], new: set[str]) -> None:
    policy = make_split_policy(dict(zip(SPLITS, three, strict=True)), salt="d")
    before = {uid: policy.split_of(uid, {}) for uid in old}
    after = {uid: policy.split_of(uid, {}) for uid in old | new}
    assert {uid: after[uid] for uid in old} == before


@given(st.lists(uids, min_size=2, max_size=20), st.one_of(st.text(min_size=1), st.integers()))
def test_a_group_stays_together(members: list[str], group: str | int) -> None:
    policy = SplitPolicy(group="extra.scene", salt="d")
    found = {policy.split_of(uid, {"extra": {"scene": group}}) for uid in members}
    assert len(found) == 1
    assert found.pop()[1] == str(group)


@given(uids, st.sampled_from(SPLITS))
def test_an_explicit_split_wins(uid: str, split: str) -> None:
    assert SplitPolicy().split_of(uid, {"extra": {"split": split}})[0] == split


@given(uids, st.one_of(st.none(), st.text(), st.integers(), st.dictionaries(st.text(), st.text())))
def test_any_metadata_gets_a_split(uid: str, value: object) -> None:
    for meta in ({"extra": value}, {"extra": {"split": value, "group": value}}):
        assert SplitPolicy().split_of(uid, meta)[0] in SPLITS


def test_the_shares_are_about_what_was_asked_for() -> None:
    policy = make_split_policy({"train": 8, "val": 1, "test": 1}, salt="d")
    counts = Counter(policy.split_of(f"{number:032x}", {})[0] for number in range(4000))
    assert 3100 < counts["train"] < 3300
    assert 320 < counts["val"] < 480


def test_two_datasets_split_differently() -> None:
    one, other = SplitPolicy(salt="a"), SplitPolicy(salt="b")
    assert any(one.split_of(f"{n:032x}", {})[0] != other.split_of(f"{n:032x}", {})[0] for n in range(100))


@pytest.mark.parametrize(
    "value",
    [
        1,
        [],
        {"trian": 1},
        {"train": -1},
        {"train": "1"},
        {"train": True},
        {"train": 0},
        {"train": float("nan")},
        {"train": 10**400},
        {"train": 1e308, "val": 1e308},
        {"group": 1},
        {"group": []},
        {"group": ["extra.scene", 1]},
        {"group": [f"extra.{n}" for n in range(9)]},
        {"near_duplicates": -1},
        {"near_duplicates": 13},
        {"near_duplicates": "8"},
        {"mode": "random"},
        {"leaks": True},
        {"stable": "yes"},
        {"attribute": 3},
    ],
)
def test_a_split_that_cannot_be_meant_is_refused(value: object) -> None:
    with pytest.raises((InvalidInput, LimitExceeded)) as refused:
        make_split_policy(value, salt="")
    assert str(refused.value).startswith("split")


@pytest.mark.parametrize(
    ("lists", "field"),
    [
        ([], "split.lists"),
        ({"all": []}, "split.lists"),
        ({"test": "0" * 32}, "split.lists.test"),
        ({"test": ["not a uid"]}, "split.lists.test"),
        ({"train": ["0" * 32], "test": ["0" * 32]}, "split.lists.test"),
        ({"train": [f"{n:032x}" for n in range(MAX_LISTED_UIDS + 1)]}, "split.lists"),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(lists: object, field: str) -> None:
    with pytest.raises((InvalidInput, LimitExceeded)) as refused:
        make_split_lists({"lists": lists})
    assert str(refused.value).startswith(f"{field}:")


def test_what_a_policy_leaves_out_suits_the_rest() -> None:
    plain = make_split_policy({"train": 1, "group": "extra.scene"}, salt="d")
    assert (plain.is_plain, plain.leaks, plain.stable) == (True, "keep", False)
    for word in ({"near_duplicates": True}, {"mode": "balanced"}, {"group": ["a.b"]}, {"lists": {"test": ["0" * 32]}}):
        careful = make_split_policy(word, salt="d")
        assert (careful.leaks, careful.stable, careful.is_plain) == ("leave_out", True, False)
    chosen = make_split_policy({"near_duplicates": 4, "leaks": "refuse", "stable": False}, salt="d")
    assert (chosen.near_duplicates, chosen.leaks, chosen.stable) == (4, "refuse", False)
    # and comes back from the table as it was
    assert SplitPolicy(**asdict(careful)) == careful
    assert SplitPolicy(**asdict(careful) | {"group": ["a.b"]}) == replace(careful, group=("a.b",))
