"""The search finds exactly what comparing all pairs finds, also where very many hashes are alike."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop.domain.near_duplicates import DISTANCE, FARTHEST_BITS, Components, NearIndex, NearSearch

distances = st.integers(0, FARTHEST_BITS)


@st.composite
def alike(draw: st.DrawFn) -> list[int]:
    """Hashes around a few centres, so that all distances from 0 on occur."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    found = []
    for _ in range(draw(st.integers(1, 40))):
        flips = draw(st.lists(st.integers(0, 63), max_size=FARTHEST_BITS + 2))
        value = draw(st.sampled_from(centres))
        for bit in flips:
            value ^= 1 << bit
        found.append(value)
    return found


def searched(hashes: Sequence[int], kinds: Sequence[int], distance: int) -> tuple[list[int], list[int]]:
    """(name of the component, bits of the kinds nearby) of each position."""
    components, touched = Components(len(hashes)), bytearray(len(hashes))
    NearSearch(hashes, range(len(hashes)), kinds, distance).run(components, touched)
    return [components.find(position) for position in range(len(hashes))], list(touched)


def compared(hashes: Sequence[int], kinds: Sequence[int], distance: int) -> tuple[list[int], list[int]]:
    """The same by all pairs."""
    components, touched = Components(len(hashes)), [0] * len(hashes)
    for first, second in combinations(range(len(hashes)), 2):
        if (hashes[first] ^ hashes[second]).bit_count() <= distance:
            if not kinds[first] and not kinds[second]:
                components.unite(first, second)
            touched[first] |= 1 << kinds[second] if kinds[second] else 0
            touched[second] |= 1 << kinds[first] if kinds[first] else 0
    return [components.find(position) for position in range(len(hashes))], touched


def other_kinds(touched: Iterable[int], kinds: Sequence[int]) -> list[int]:
    """An image of a kind may or may not be told of its own kind: nobody needs it."""
    return [near & ~(1 << kind) if kind else near for near, kind in zip(touched, kinds, strict=True)]


@settings(max_examples=150, deadline=None)
@given(alike(), distances, st.data(), st.booleans())
def test_it_finds_what_all_pairs_find(hashes: list[int], distance: int, data: st.DataObject, is_dense: bool) -> None:
    kinds = data.draw(st.lists(st.integers(0, 3), min_size=len(hashes), max_size=len(hashes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NearSearch, "_is_dense", lambda *_: is_dense)
        names, touched = searched(hashes, kinds, distance)
    expected, expected_touched = compared(hashes, kinds, distance)
    assert names == expected
    assert other_kinds(touched, kinds) == other_kinds(expected_touched, kinds)


@settings(max_examples=60, deadline=None)
@given(alike(), st.integers(0, 2**64 - 1), distances)
def test_a_single_question_has_the_same_answer(hashes: list[int], value: int, distance: int) -> None:
    for asked in (value, hashes[0] ^ 0b1011):
        near = any((asked ^ other).bit_count() <= distance for other in hashes)
        assert NearIndex(hashes, distance).is_near(asked) == near


def test_nothing_is_near_nothing() -> None:
    assert not NearIndex([], DISTANCE).is_near(0)
    assert searched([], [], DISTANCE) == ([], [])


def test_frames_of_fixed_cameras_are_two_pictures() -> None:
    # given 20,000 frames of two cameras whose hashes differ in a few bits only: 200 million pairs, nearly all of them near
    generator = random.Random(0)
    centres = [generator.getrandbits(64) for _ in range(2)]
    bits = [1 << bit for bit in range(64)]
    hashes = [centres[number % 2] ^ sum(generator.sample(bits, 3)) for number in range(20_000)]
    names, _ = searched(hashes, bytearray(len(hashes)), DISTANCE)
    assert set(names) == {0, 1}
