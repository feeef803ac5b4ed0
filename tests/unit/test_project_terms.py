"""Ids that say an image's number, terms that cannot be mistaken, and what labels an image may have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.ids import ENTITY_ID, uuid7
from dataloop.domain.projects import MAX_ORDINAL, Tag, label_problem, numbered_id, ordinal_of
from dataloop.domain.terms import (
    ALL,
    TAGGED,
    AllOf,
    AnyOf,
    Except,
    Query,
    Term,
    evaluate,
    has_term,
    meta_term,
    tag_of,
    tag_term,
    terms_of,
)

texts = st.text(max_size=8)
names = st.sampled_from(["all", "a", "b", "c"])
queries: st.SearchStrategy[Query] = st.recursive(
    names.map(Term),
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=3).map(lambda found: AllOf(tuple(found))),
        st.lists(parts, min_size=1, max_size=3).map(lambda found: AnyOf(tuple(found))),
        parts.map(Except),
    ),
    max_leaves=6,
)


@given(st.integers(0, (1 << 48) - 1), st.integers(0, MAX_ORDINAL), st.binary(min_size=6, max_size=6))
def test_an_id_says_its_number_and_is_a_uuid(unix_ms: int, ordinal: int, random6: bytes) -> None:
    found = numbered_id(unix_ms, ordinal, random6)
    assert ENTITY_ID.fullmatch(found)
    assert ordinal_of(found) == ordinal


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_another_uuid_says_none(unix_ms: int, random10: bytes) -> None:
    assert ordinal_of(uuid7(unix_ms, random10)) is None


@pytest.mark.parametrize(
    "text", ["", "nonsense", "018BCFE5-6800-8000-8000-080000000007", "018bcfe5680080008000080000000007"]
)
def test_other_texts_say_none(text: str) -> None:
    assert ordinal_of(text) is None


def test_ids_of_a_millisecond_are_ordered_by_number() -> None:
    numbers = [0, 1, 255, 256, 65_535, 65_536, (1 << 20) - 1, 1 << 20, MAX_ORDINAL]
    ids = [numbered_id(1, number, b"\xff" * 6) for number in numbers]
    assert ids == sorted(ids)


@given(texts, texts, texts, texts)
def test_two_pairs_of_metadata_never_share_a_term(key: str, value: str, other_key: str, other_value: str) -> None:
    is_same = (key, value) == (other_key, other_value)
    assert (meta_term(key, value) == meta_term(other_key, other_value)) == is_same


def test_only_a_tags_term_names_a_tag() -> None:
    assert tag_of(tag_term("x")) == "x"
    assert [tag_of(term) for term in (ALL, TAGGED, has_term("tag:x"), meta_term("tag:x", "y"))] == [None] * 4


@given(queries, st.dictionaries(st.sampled_from("abc"), st.frozensets(st.integers(0, 9))))
def test_a_query_is_the_sets_it_names(query: Query, having: dict[str, frozenset[int]]) -> None:
    everything = frozenset(range(10))
    read: set[str] = set()

    def bitmap(name: str) -> frozenset[int]:
        read.add(name)
        return everything if name == "all" else having.get(name, frozenset())

    def holds(part: Query, number: int) -> bool:
        if isinstance(part, Term):
            return number in bitmap(part.name)
        if isinstance(part, Except):
            return not holds(part.part, number)
        found = [holds(each, number) for each in part.parts]
        return all(found) if isinstance(part, AllOf) else any(found)

    found = evaluate(query, bitmap)
    assert read <= terms_of(query)
    assert found == {number for number in everything if holds(query, number)}


TAGS = {id: Tag("default", "p", id, id, "now", kind) for id, kind in (("a", "regular"), ("n", "negative"))} | {
    f"t{number}": Tag("default", "p", f"t{number}", f"t{number}", "now") for number in range(101)
}
MANY = [f"t{number}" for number in range(101)]


@pytest.mark.parametrize(
    ("tag_ids", "regions", "problem"),
    [
        ([], 0, None),
        (["n"], 0, None),
        (["a"], 300, None),
        (MANY[:100], 0, None),
        (["a", "x"], 0, "bad_tag"),
        (["a", "n"], 0, "mixed_negative"),
        (MANY, 0, "too_many_tags"),
        (["a"], 301, "too_many_regions"),
    ],
)
def test_labels_of_an_image(tag_ids: list[str], regions: int, problem: Any) -> None:
    assert label_problem(TAGS, tag_ids, regions) == problem
