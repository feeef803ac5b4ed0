"""`$filter`, without a service: the expressions mean what a plain reading of them means, and errors say where they are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_customvision.faults import Refused
from api_customvision.filters import MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, parse
from dataloop.domain.projects import Image
from dataloop.domain.terms import evaluate

VALUES = ("a", "b", "it's", "")
IMAGES = [
    {},
    {"k": "a"},
    {"k": "b"},
    {"k": "it's"},
    {"k": ""},
    {"k": "a", "l": "b"},
    {"k": "b", "l": "b"},
    {"l": "a"},
    {"two words": "x", "k": "a"},
    {"a=b": "c"},
    {"a": "b=c"},
]


def image(number: int) -> Image:
    at = "2026-11-22T12:00:00.000Z"
    return Image("t", "p", f"image-{number}", number, "", "", "", 1, 1, at, metadata=IMAGES[number])


def found(expression: str) -> list[int]:
    """The images of IMAGES that an expression lets through, by their terms."""
    terms = [image(number).terms for number in range(len(IMAGES))]

    def read(term: str) -> set[int]:
        return {number for number, those in enumerate(terms) if term in those}

    return sorted(evaluate(parse(expression), read))


def every(rule: object) -> list[int]:
    return [number for number, metadata in enumerate(IMAGES) if rule(metadata)]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ("k eq 'a'", lambda m: m.get("k") == "a"),
        ("k ne 'a'", lambda m: m.get("k") != "a"),
        ("K eq 'a'", lambda m: m.get("K") == "a"),
        ("k EQ 'a' AND l Eq 'b'", lambda m: m.get("k") == "a" and m.get("l") == "b"),
        ("k eq 'a' or k eq 'b'", lambda m: m.get("k") in ("a", "b")),
        ("k eq 'b' or k eq 'a' and l eq 'b'", lambda m: m.get("k") == "b" or (m.get("k") == "a" and m.get("l") == "b")),
        ("(k eq 'b' or k eq 'a') and l eq 'b'", lambda m: m.get("k") in ("a", "b") and m.get("l") == "b"),
        ("not k eq 'a'", lambda m: m.get("k") != "a"),
        ("not (k eq 'a' or l eq 'b')", lambda m: not (m.get("k") == "a" or m.get("l") == "b")),
        ("not not k eq 'a'", lambda m: m.get("k") == "a"),
        ("k eq 'it''s'", lambda m: m.get("k") == "it's"),
        ("k eq ''", lambda m: m.get("k") == ""),
        ("'two words' eq 'x'", lambda m: m.get("two words") == "x"),
        ("'a=b' eq 'c'", lambda m: m.get("a=b") == "c"),
        ("a eq 'b=c'", lambda m: m.get("a") == "b=c"),
        ("metadata=k eq 'a' and l ne 'b'", lambda m: m.get("k") == "a" and m.get("l") != "b"),
        ("  ( ( k eq'a' ) )  ", lambda m: m.get("k") == "a"),
        ("missing eq 'a'", lambda m: False),
    ],
)
def test_an_expression_lets_through_what_it_says(expression: str, rule: object) -> None:
    assert found(expression) == every(rule)


@pytest.mark.parametrize(
    ("expression", "at", "wanted"),
    [
        (" ", 2, "a key"),
        ("k", 2, "eq or ne"),
        ("k eq", 5, "a value in single quotes"),
        ("k eq a", 6, "a value in single quotes"),
        ("k = 'a'", 3, "a key, a quoted value"),
        ("k gt 'a'", 3, "eq or ne"),
        ("k eq 'a' and", 13, "a key"),
        ("k eq 'a' l eq 'b'", 10, "and, or, or the end"),
        ("(k eq 'a'", 10, "a closing parenthesis"),
        ("k eq 'a')", 9, "and, or, or the end"),
        ("k eq 'a", 6, "a key, a quoted value"),
        ("eq eq 'a'", 1, "a key"),
        ("and", 1, "a key"),
        ("k eq 'a' or or k eq 'b'", 13, "a key"),
        ('k eq "a"', 6, "a key, a quoted value"),
        ("metadata=", 10, "a key"),
        ("()", 2, "a key"),
    ],
)
def test_a_mistake_is_shown_where_it_is(expression: str, at: int, wanted: str) -> None:
    with pytest.raises(Refused, match=re.escape(wanted)) as caught:
        parse(expression)

    assert caught.value.code == "BadRequest"
    assert f"character {at}," in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("k eq 'a' or " * MAX_COMPARISONS + "k eq 'a'", f"at most {MAX_COMPARISONS} comparisons"),
        ("(" * (MAX_DEPTH + 1) + "k eq 'a'" + ")" * (MAX_DEPTH + 1), f"at most {MAX_DEPTH} parentheses"),
        ("not " * (MAX_DEPTH + 1) + "k eq 'a'", f"at most {MAX_DEPTH} parentheses"),
        ("k eq '" + "x" * MAX_LENGTH + "'", f"at most {MAX_LENGTH} characters"),
        ("k eq '" + "x" * 257 + "'", "more than 256 characters"),
        ("x" * 129 + " eq 'a'", "more than 128 characters"),
    ],
)
def test_an_endless_expression_is_refused(expression: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        parse(expression)


def comparisons() -> st.SearchStrategy[tuple[str, object]]:
    def make(key: str, is_same: bool, value: str) -> tuple[str, object]:
        text = f"{key} {'eq' if is_same else 'ne'} '{value.replace(chr(39), chr(39) * 2)}'"
        return text, lambda m: (m.get(key) == value) == is_same

    return st.builds(make, st.sampled_from(("k", "l")), st.booleans(), st.sampled_from(VALUES))


def joined(parts: list[tuple[str, object]], word: str) -> tuple[str, object]:
    rules = [rule for _, rule in parts]
    together = all if word == "and" else any
    return f" {word} ".join(f"({text})" for text, _ in parts), lambda m: together(rule(m) for rule in rules)  # type: ignore[operator]


EXPRESSIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.builds(joined, st.lists(inner, min_size=1, max_size=3), st.sampled_from(("and", "or"))),
        inner.map(lambda part: (f"not ({part[0]})", lambda m: not part[1](m))),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_any_expression_means_what_it_says(expression: tuple[str, object]) -> None:
    text, rule = expression

    assert found(text) == every(rule)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except Refused as refusal:
        assert str(refusal).startswith("filter: ")
