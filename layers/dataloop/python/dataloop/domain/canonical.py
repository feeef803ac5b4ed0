"""One byte form for one value: what digests and ids are computed over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from dataloop.domain.errors import InvalidInput

# DynamoDB: attributes nest 32 levels deep; the item and our own wrapping take some of them.
DEEPEST = 24
# DynamoDB: a number has at most 38 digits and a magnitude below 1e126. Whole numbers beyond a float's exact range are
# ids, not measures, and belong into texts.
LARGEST = 1e125


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys, no blanks, no NaN. Equal values give equal bytes.

    Raises ValueError for NaN and infinities: they have no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON, 64 hex characters."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def check_storable(value: object, field: str, depth: int = 0) -> None:
    """Raises InvalidInput(field) for what JSON can spell and DynamoDB cannot keep: huge numbers, endless nesting."""
    if depth > DEEPEST:
        raise InvalidInput(field, f"is nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        for name, entry in value.items():
            if not name:
                raise InvalidInput(field, "must not have a field without a name")
            check_storable(entry, f"{field}.{str(name)[:64]}" if depth < 3 else field, depth + 1)
    elif isinstance(value, list | tuple):
        for entry in value:
            check_storable(entry, field, depth + 1)
    elif isinstance(value, int | float) and not -LARGEST < value < LARGEST:
        raise InvalidInput(field, "is a number out of range", str(value)[:50])
    elif isinstance(value, int) and abs(value) >= 10**38:
        raise InvalidInput(field, "is a whole number of more than 38 digits: send it as text", str(value)[:50])
