"""Leak-safe splits: neighbours never lie in different splits, and growth moves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop.domain.errors import InvalidInput
from dataloop.domain.splits import SPLITS, SplitPolicy, make_split_policy
from dataloop.manifests.assignment import SplitAssignment, listed, listing, placements_in

GROUPS = ["extra.device", "extra.video"]
CAREFUL = make_split_policy(
    {"train": 6, "val": 2, "test": 2, "group": GROUPS, "near_duplicates": True, "mode": "hash"}, salt="d"
)
modes = st.sampled_from(["hash", "balanced", "stratified"])
CENTRES = (0x0F0F_3355_00FF_A5C3, 0x7E81_0000_FFFF_1234, 0x1111_2222_4444_8888)


@dataclass(frozen=True)
class Picture:
    uid: str
    extra: Mapping[str, str]
    phash: int | None = None
    labels: Mapping[str, int] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        return {"extra": dict(self.extra)}


@st.composite
def pictures(draw: st.DrawFn, named: bool = False) -> list[Picture]:
    """Images with up to two group values, some of which look alike; some name a split."""
    found = []
    for number in draw(st.lists(st.integers(0, 2**128 - 1), unique=True, min_size=1, max_size=25)):
        extra = {}
        for name, values in (("device", "abcdef"), ("video", "123456")):
            value = draw(st.sampled_from([None, None, *values]))
            if value is not None:
                extra[name] = value
        if named and draw(st.integers(0, 3)) == 0:
            extra["split"] = draw(st.sampled_from(SPLITS))
        phash = draw(st.sampled_from([None, *CENTRES, None]))
        for bit in draw(st.lists(st.integers(0, 63), max_size=12)) if phash is not None else ():
            phash = phash ^ 1 << bit
        labels = draw(st.dictionaries(st.sampled_from(["cat", "dog", "ü"]), st.integers(1, 4), max_size=3))
        found.append(Picture(f"{number:032x}", extra, phash, labels))
    return sorted(found, key=lambda picture: picture.uid)


def place(
    found: Iterable[Picture],
    policy: SplitPolicy,
    anchor: Mapping[str, str] | None = None,
    lists: Mapping[str, str] | None = None,
) -> tuple[dict[str, str | None], dict[str, Any]]:
    """uid → split, and how; through the files that a build uses."""
    lines = (b'{"split":"%b","uid":"%b"}' % (v.encode(), k.encode()) for k, v in sorted((anchor or {}).items()))
    assignment = SplitAssignment(policy, anchor=placements_in(lines), lists=listed(listing(lists or {}).splitlines()))
    for one in sorted(found, key=lambda picture: picture.uid):
        assignment.add(one.uid, one.meta, one.labels, None if one.phash is None else f"{one.phash:016x}")
    how = assignment.decide()
    return dict(assignment.placements()), how


def are_neighbours(one: Picture, other: Picture, policy: SplitPolicy) -> bool:
    ours, theirs = policy.group_values(one.meta), policy.group_values(other.meta)
    if any(ours[path] == theirs.get(path) for path in ours):
        return True
    if policy.near_duplicates is None or one.phash is None or other.phash is None:
        return False
    return (one.phash ^ other.phash).bit_count() <= policy.near_duplicates


def leaks(found: Sequence[Picture], placed: Mapping[str, str | None], policy: SplitPolicy) -> list[tuple[str, str]]:
    """All pairs of neighbours in different splits."""
    return [
        (one.uid, other.uid)
        for one, other in combinations(found, 2)
        if placed[one.uid]
        and placed[other.uid]
        and placed[one.uid] != placed[other.uid]
        and are_neighbours(one, other, policy)
    ]


def where(placed: Mapping[str, str | None]) -> dict[str, str]:
    """What a version's objects.jsonl says: the images that are in it."""
    return {uid: split for uid, split in placed.items() if split}


@settings(max_examples=150, deadline=None)
@given(pictures(named=True), modes, st.sampled_from([None, 0, 4, 8]))
def test_neighbours_are_never_apart(found: list[Picture], mode: Any, distance: int | None) -> None:
    policy = replace(CAREFUL, mode=mode, near_duplicates=distance)
    placed, how = place(found, policy)
    assert leaks(found, placed, policy) == []
    assert how["leaks"]["images"] == 0
    assert sum(how["images"].values()) + how["conflicts"] == len(found)
    # only an image that somebody named can be left out of a first version: the others go where their neighbours go
    assert {one.uid for one in found if placed[one.uid] is None} <= {one.uid for one in found if "split" in one.extra}


@settings(max_examples=150, deadline=None)
@given(pictures(named=True), modes, st.data())
def test_growth_moves_nothing_and_leaks_nothing(found: list[Picture], mode: Any, data: st.DataObject) -> None:
    policy = replace(CAREFUL, mode=mode)
    batches = data.draw(st.lists(st.integers(0, 3), min_size=len(found), max_size=len(found)))
    anchor: dict[str, str] = {}
    for last in range(4):
        members = [one for one, batch in zip(found, batches, strict=True) if batch <= last]
        placed, how = place(members, policy, anchor)
        assert {uid: placed[uid] for uid in anchor} == anchor
        assert leaks(members, placed, policy) == []
        assert how["anchored"] == len(anchor)
        anchor = where(placed)


@settings(max_examples=100, deadline=None)
@given(pictures(), modes, st.data())
def test_only_an_image_between_two_splits_is_left_out(found: list[Picture], mode: Any, data: st.DataObject) -> None:
    policy = replace(CAREFUL, mode=mode)
    is_old = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    old = [one for one, flag in zip(found, is_old, strict=True) if flag]
    anchor = where(place(old, policy)[0])
    placed, how = place(found, policy, anchor)
    for one in found:
        near = {anchor[other.uid] for other in old if other.uid != one.uid and are_neighbours(one, other, policy)}
        if one.uid not in anchor and len(near) == 1 and placed[one.uid] is None:
            # it would follow its neighbours, but other new images tie it to another split
            reached, rest = {one.uid}, [other for other in found if other.uid not in anchor and other != one]
            chain = [one]
            while chain:
                current = chain.pop()
                for other in rest:
                    if other.uid not in reached and are_neighbours(current, other, policy):
                        reached.add(other.uid)
                        chain.append(other)
            all_near = {
                anchor[other.uid]
                for member in found
                if member.uid in reached
                for other in old
                if are_neighbours(member, other, policy)
            }
            assert len(all_near) > 1
        if one.uid not in anchor and len(near) > 1:
            assert placed[one.uid] is None
        if one.uid not in anchor and not near:
            assert placed[one.uid] is not None
    assert how["conflicts"] == list(placed.values()).count(None)


def test_a_bridge_is_left_out_and_poisons_nobody() -> None:
    # given a device in train and a device in test
    def of(number: int, device: str, **more: Any) -> Picture:
        return Picture(f"{number:032x}", {"device": device}, **more)

    old = [of(1, "a", phash=CENTRES[0]), of(2, "b", phash=CENTRES[1])]
    anchor = {old[0].uid: "train", old[1].uid: "test"}
    # when a picture of one looks like a picture of the other, and both send more
    bridge = of(3, "a", phash=CENTRES[1] ^ 1)
    more = [of(4, "a"), of(5, "b"), of(6, "c", phash=CENTRES[1] ^ 2), of(7, "c")]
    placed, how = place([*old, bridge, *more], CAREFUL, anchor)
    # then only that picture is left out, and the others go where their devices are
    assert [placed[one.uid] for one in [bridge, *more]] == [None, "train", "test", "test", "test"]
    assert how["conflicts"] == 1


@given(pictures(named=True), st.one_of(st.none(), st.just("extra.device")))
def test_a_plain_policy_is_what_it_always_was(found: list[Picture], group: str | None) -> None:
    policy = make_split_policy({"group": group} if group else None, salt="d")
    assert policy.is_plain
    placed, how = place(found, policy, {found[0].uid: "test"})  # an anchor does not matter
    assert placed == {one.uid: policy.split_of(one.uid, one.meta)[0] for one in found}
    # but what rule 1 tears apart is now reported
    assert (how["leaks"]["images"] > 0) == bool(leaks(found, placed, policy))


@settings(max_examples=60, deadline=None)
@given(pictures(named=True), st.sampled_from(["keep", "refuse"]))
def test_a_leak_that_somebody_wants_is_reported_or_refused(found: list[Picture], word: Any) -> None:
    policy = replace(CAREFUL, leaks=word)
    kept, how = place(found, replace(policy, leaks="keep"))
    torn = leaks(found, kept, policy)
    assert (how["leaks"]["images"] > 0) == bool(torn)
    assert set(how["leaks"]["examples"]) == {uid for pair in torn for uid in pair}
    assert all(kept[one.uid] == one.extra["split"] for one in found if "split" in one.extra)
    if word == "refuse" and torn:
        with pytest.raises(InvalidInput, match="neighbours in another split"):
            place(found, policy)


def test_what_a_version_left_out_stays_out_when_it_is_built_again() -> None:
    # given a picture that was left out between two splits, one side of which was deleted since
    old = [Picture(f"{n:032x}", {"device": device}) for n, device in ((1, "a"), (2, "b"))]
    bridge = Picture("3".zfill(32), {"device": "a", "video": "1"})
    anchor, again = {old[0].uid: "train"}, SplitAssignment(CAREFUL, anchor=[(old[0].uid, "train")], is_rebuild=True)
    for one in (old[0], bridge):
        again.add(one.uid, one.meta)
    again.decide()
    assert dict(again.placements()) == anchor | {bridge.uid: None}


def test_lists_win_over_metadata_and_take_their_groups_along() -> None:
    found = [Picture(f"{n:032x}", {"device": "ab"[n % 2], "split": "train"}) for n in range(6)]
    found += [Picture(f"{n:032x}", {"device": "a"}) for n in (6, 8)]
    policy = make_split_policy({"group": GROUPS, "lists": {"test": [found[0].uid]}}, salt="d")
    plain = [Picture(one.uid, {"device": one.extra["device"]}) for one in found]
    placed, how = place(plain, policy, lists={found[0].uid: "test"})
    assert {placed[one.uid] for one in plain if one.extra["device"] == "a"} == {"test"}
    assert how["named"] == 1
    # an image that its metadata wants elsewhere is left out; most of its group decides
    placed, how = place(found, policy, lists={found[0].uid: "test"})
    assert placed[found[0].uid] is None
    assert placed[found[2].uid] == placed[found[6].uid] == "train"


def test_what_was_placed_before_wins_over_what_somebody_names_now() -> None:
    one = Picture("0" * 32, {"split": "test"})
    placed, how = place([one], CAREFUL, {one.uid: "train"})
    assert (placed[one.uid], how["overruled"]) == ("train", 1)
    again, _ = place([one], replace(CAREFUL, stable=False), {one.uid: "train"})
    assert again[one.uid] == "test"


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.sampled_from(["balanced", "stratified"]), st.integers(0, 2**32))
def test_no_split_is_empty_where_there_are_groups_enough(count: int, mode: Any, salt: int) -> None:
    found = [Picture(f"{number:032x}", {"device": str(number // 2)}) for number in range(2 * count)]
    policy = replace(CAREFUL, mode=mode, train=0.9, val=0.05, test=0.05, salt=str(salt))
    _, how = place(found, policy)
    assert all(how["images"].values()), how["images"]
    assert how["components"] == count


def test_two_groups_are_train_and_test() -> None:
    found = [Picture(f"{number:032x}", {"device": str(number % 2)}) for number in range(10)]
    assert place(found, replace(CAREFUL, mode="balanced"))[1]["images"] == {"train": 5, "val": 0, "test": 5}


def test_balanced_reaches_the_shares_and_hash_only_about() -> None:
    found = [Picture(f"{n * 7919:032x}", {"device": str(n // (1 + n % 13))}) for n in range(3000)]
    balanced = place(found, replace(CAREFUL, mode="balanced"))[1]
    assert balanced["reached"] == pytest.approx({"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.001)


def test_stratified_brings_the_share_of_every_label_close() -> None:
    # given 400 groups of 5 images; a rare label in one of 20 groups, others in bunches
    found = []
    for number in range(2000):
        scene = number // 5
        labels = (
            {"common": 1 + number % 3} | ({"rare": 2} if scene % 20 == 0 else {}) | ({"mid": 1} if scene % 3 else {})
        )
        found.append(Picture(f"{number * 104729:032x}", {"device": str(scene)}, labels=labels))
    worst = {}
    for mode in ("hash", "stratified"):
        placed, how = place(found, replace(CAREFUL, mode=mode))  # type: ignore[arg-type]
        held: dict[str, Counter[str]] = {}
        for one in found:
            for label, count in (one.labels or {}).items():
                held.setdefault(label, Counter())[str(placed[one.uid])] += count
        shares = {"train": 0.6, "val": 0.2, "test": 0.2}
        worst[mode] = max(
            abs(counts[split] / counts.total() - share) for counts in held.values() for split, share in shares.items()
        )
    # then no label's share of a split is off by more than a group of the rarest one, 5 %
    assert worst["stratified"] <= 0.05 < worst["hash"]
    assert how["reached"] == pytest.approx(shares, abs=0.01)


def test_order_and_doubles_are_refused() -> None:
    assignment = SplitAssignment(CAREFUL)
    assignment.add("b" * 32, {})
    for uid in ("a" * 32, "b" * 32):
        with pytest.raises(ValueError, match="does not come after"):
            assignment.add(uid, {})


def test_an_image_that_was_never_added_is_nowhere() -> None:
    assignment = SplitAssignment(CAREFUL)
    for number in range(5):
        assignment.add(f"{number:032x}", {})
    assignment.decide()
    assert [assignment.split_of(f"{number:032x}") in SPLITS for number in (3, 0, 4, 4)] == [True] * 4
    with pytest.raises(KeyError):
        assignment.split_of("f" * 32)
