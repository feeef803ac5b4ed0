"""Values come back from the table as they went in; an image is found in a version exactly when it is there."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataloop.domain.canonical import check_storable
from dataloop.domain.errors import InvalidInput
from dataloop.domain.uid_index import FANOUT_BYTES, block_of, header, holds
from dataloop.repositories.codec import decode, decode_item, encode, encode_item

numbers = st.integers(-(10**37), 10**37) | st.floats(
    allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100
)
texts = st.text(st.characters(codec="utf-8"))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers.filter(lambda n: n == 0 or abs(n) > 1e-120) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
uids = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")


@given(values)
def test_json_comes_back_equal(value: Any) -> None:
    assert decode(encode(value)) == value


@given(st.dictionaries(texts, values, max_size=5))
def test_an_item_leaves_out_what_is_none(item: dict[str, Any]) -> None:
    assert decode_item(encode_item(item)) == {name: value for name, value in item.items() if value is not None}


@given(st.dictionaries(texts.filter(bool), values, max_size=5) | values)
def test_every_value_is_either_storable_or_refused_by_name(value: Any) -> None:
    try:
        check_storable({"v": value}, "f")
    except InvalidInput as refused:
        assert refused.field.startswith("f")


@given(st.sets(uids, max_size=40), uids)
def test_an_image_is_found_exactly_when_it_is_there(members: set[str], other: str) -> None:
    counts = [0] * 256
    for uid in members:
        counts[int(uid[:2], 16)] += 1
    file = header(counts) + b"".join(bytes.fromhex(uid) for uid in sorted(members))
    for uid in members | {other}:
        start, length = block_of(file[:FANOUT_BYTES], uid)
        assert (length > 0 and holds(file[start : start + length], uid)) == (uid in members)
