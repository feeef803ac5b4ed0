"""Holds an answer against the documented fields and types, all the way down."""

from __future__ import annotations

from typing import Any

from api_modelarts.objects import FIELDS

_PLAIN: dict[str, type] = {"Integer": int, "Long": int, "String": str, "Boolean": bool, "Map": dict}


def check(kind: str, value: Any, seen: set[str]) -> None:
    """`value` has exactly the fields of the object, each of its type. `seen` collects the kinds that were met."""
    assert isinstance(value, dict), kind
    assert value.keys() == FIELDS[kind].keys(), f"{kind}: {sorted(value.keys() ^ FIELDS[kind].keys())}"
    seen.add(kind)
    for name, type in FIELDS[kind].items():
        _check_field(f"{kind}.{name}", type, value[name], seen)


def _check_field(where: str, type: str, value: Any, seen: set[str]) -> None:
    if type in _PLAIN:
        assert isinstance(value, _PLAIN[type]), f"{where} must be {type}: {value!r}"
        assert type not in ("Integer", "Long") or not isinstance(value, bool), where
    elif type == "Array of strings":
        assert isinstance(value, list), where
        assert all(isinstance(entry, str) for entry in value), where
    elif type.startswith("["):
        assert isinstance(value, list), where
        for entry in value:
            check(type[1:-1], entry, seen)
    else:
        check(type, value, seen)
