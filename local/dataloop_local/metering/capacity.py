"""DynamoDB read and write units, by AWS's rules (developer guide, "DynamoDB item sizes and formats" and "Read and write
operations"). The emulator's own figures are flat for GetItem."""

from __future__ import annotations

import math
from typing import Any

Item = dict[str, dict[str, Any]]

_WRITE_UNIT_BYTES = 1024
_READ_UNIT_BYTES = 4096
# One byte for each nested element, three for the container itself.
_CONTAINER_BYTES = 3
_ELEMENT_BYTES = 1


def item_bytes(item: Item | None) -> int:
    """Size of an item as DynamoDB bills it: attribute names plus values."""
    if not item:
        return 0
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def value_bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return _number_bytes(content)
    if kind == "B":
        # Base64 text in the JSON protocol; DynamoDB counts the bytes it stands for.
        return len(content.rstrip("=")) * 3 // 4
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in ("SS", "NS", "BS"):
        return sum(value_bytes({kind[0]: member}) for member in content)
    if kind == "L":
        return _CONTAINER_BYTES + sum(_ELEMENT_BYTES + value_bytes(member) for member in content)
    return _CONTAINER_BYTES + sum(
        _ELEMENT_BYTES + len(name.encode()) + value_bytes(member) for name, member in content.items()
    )


def _number_bytes(text: str) -> int:
    """About one byte per two significant digits, plus one (and one for the sign of a negative number)."""
    digits = text.lstrip("+-").lower().partition("e")[0].replace(".", "").strip("0")
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")


def write_units(bytes_written: int) -> int:
    return max(1, math.ceil(bytes_written / _WRITE_UNIT_BYTES))


def read_units(bytes_read: int, *, strong: bool = False, transactional: bool = False) -> float:
    """Units of one read: half for eventually consistent, double in a transaction; at least one block."""
    blocks = max(1, math.ceil(bytes_read / _READ_UNIT_BYTES))
    return blocks * (2.0 if transactional else 1.0 if strong else 0.5)


def item_write_units(table: dict[str, Any], old: Item | None, new: Item | None, *, transactional: bool = False) -> int:
    """Units of one item's change: the table (double in a transaction) and every index entry it touches (single)."""
    base = write_units(max(item_bytes(old), item_bytes(new)))
    indexes = [*(table.get("GlobalSecondaryIndexes") or []), *(table.get("LocalSecondaryIndexes") or [])]
    return base * (2 if transactional else 1) + sum(_index_units(table, index, old, new) for index in indexes)


def _index_units(table: dict[str, Any], index: dict[str, Any], old: Item | None, new: Item | None) -> int:
    before, after = index_entry(table, index, old), index_entry(table, index, new)
    if before == after:
        return 0
    if before is None or after is None:
        return write_units(item_bytes(before or after))
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    if any(before[key] != after[key] for key in keys):
        # A changed index key is a delete and a put.
        return write_units(item_bytes(before)) + write_units(item_bytes(after))
    return write_units(max(item_bytes(before), item_bytes(after)))


def index_entry(table: dict[str, Any], index: dict[str, Any], item: Item | None) -> Item | None:
    """What the index holds of an item; None when the item lacks a key of the index (sparse)."""
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    if item is None or any(key not in item for key in keys):
        return None
    projection = index.get("Projection") or {}
    if projection.get("ProjectionType", "ALL") == "ALL":
        return item
    table_keys = [name for name in (table.get("pk_name"), table.get("sk_name")) if name]
    kept = {*keys, *table_keys, *(projection.get("NonKeyAttributes") or [])}
    return {name: value for name, value in item.items() if name in kept}
