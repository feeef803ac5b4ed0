"""Plain values to DynamoDB attributes and back.

boto3's own serializer refuses floats and answers Decimals; ours keeps int and float, which JSON-shaped records need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Item = dict[str, Any]
Attributes = dict[str, dict[str, Any]]


def encode(value: Any) -> dict[str, Any]:
    """One value as a DynamoDB attribute. Raises ValueError for NaN, TypeError for anything that is not JSON or bytes."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        # DynamoDB holds 38 digits; a larger whole number from a client's free-form metadata is kept as text.
        return {"N": str(value)} if abs(value) < 10**38 else {"S": str(value)}
    if isinstance(value, float):
        return {"N": _number(value)}
    if isinstance(value, Mapping):
        return {"M": {str(name): encode(entry) for name, entry in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [encode(entry) for entry in value]}
    if isinstance(value, bytes):
        return {"B": value}
    raise TypeError(f"cannot store a {type(value).__name__}")


def _number(value: float) -> str:
    """A float always carries a point or an exponent, so that it comes back as a float.

    DynamoDB normalises 1.0 to 1: whole floats come back as int, which compares equal and serialises without the .0.
    """
    if not math.isfinite(value):
        raise ValueError("NaN and infinity cannot be stored")
    # DynamoDB's magnitude range is 1e-130 to 9.99e125: what is smaller is zero for every purpose here.
    return "0" if abs(value) < 1e-130 else repr(value)


def decode(attribute: Mapping[str, Any]) -> Any:
    """The inverse of `encode`."""
    ((kind, value),) = attribute.items()
    if kind == "S":  # first: most attributes are texts
        return value
    if kind == "N":
        return int(value) if value.lstrip("-").isdigit() else float(value)
    if kind == "M":
        return decode_item(value)
    if kind == "L":
        return [decode(entry) for entry in value]
    if kind == "NULL":
        return None
    if kind == "SS":
        return set(value)
    return value


def encode_item(item: Mapping[str, Any]) -> Attributes:
    """An item without its None values: absent is how this table says nothing."""
    return {name: encode(value) for name, value in item.items() if value is not None}


def decode_item(attributes: Mapping[str, Mapping[str, Any]]) -> Item:
    return {name: value["S"] if "S" in value else decode(value) for name, value in attributes.items()}
