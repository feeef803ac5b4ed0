"""One byte form for one value; what cannot be stored is named."""

from __future__ import annotations

import pytest

from dataloop.domain.canonical import canonical_json, check_storable, digest
from dataloop.domain.errors import InvalidInput


def test_the_order_of_fields_does_not_matter() -> None:
    assert canonical_json({"b": 1, "a": [1, {"d": None, "c": "ü"}]}) == b'{"a":[1,{"c":"\xc3\xbc","d":null}],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, "\ud800"])
def test_what_json_has_no_form_for_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        canonical_json(value)


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("value", [10**400, 10**38, -(10**38), 1e126, {"": 1}, nested(30), [[nested(30)]], nested(900)])
def test_what_the_table_cannot_keep_is_refused_by_field(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_storable({"extra": value}, "raw_data")
    assert refused.value.field.startswith("raw_data")


@pytest.mark.parametrize("value", [10**37, 1e100, True, None, "text", nested(20), [1.5, {"a": []}]])
def test_ordinary_values_pass(value: object) -> None:
    check_storable(value, "raw_data")
