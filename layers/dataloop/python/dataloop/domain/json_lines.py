"""JSON for the millions of small values of a build: orjson where it is installed, the standard library where it is not.

Both write the bytes of `canonical_json`, because digests are made of them. orjson spells the exponents
of floats differently (1e-05 as 1e-5) and knows no whole number above 64 bits: such values are left to the standard
library. Values must not hold NaN or an infinity, which orjson would write as null; what comes from the table or from
our own files never does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dataloop.domain.canonical import canonical_json

try:
    import orjson
except ImportError:  # a job's container need not have it
    orjson = None  # type: ignore[assignment]


def parse(text: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError.

    Whole numbers beyond 64 bits may come back as floats: what clients sent and what is written again is for `json`.
    """
    return json.loads(text) if orjson is None else orjson.loads(text)


def canonical(value: object) -> bytes:
    """The bytes of canonical_json(value); value: JSON without NaN."""
    if orjson is None:
        return canonical_json(value)
    try:
        text: bytes = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return canonical_json(value)
    return canonical_json(value) if _may_have_exponent(text) else text


def exact(value: object) -> bytes:
    """The bytes of canonical_json(value); value: JSON without any float, so that there is nothing to look after."""
    return canonical_json(value) if orjson is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def canonical_sorted(values: Iterable[object]) -> bytes:
    """The canonical JSON of each value, sorted by these bytes and joined by commas: an array without its brackets."""
    rows = list(values)
    if orjson is not None:
        try:
            text = b",".join(sorted([orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for value in rows]))
        except TypeError:
            text = b"0.0000"
        if not _may_have_exponent(text):
            return text
    return b",".join(sorted(map(canonical_json, rows)))


def _may_have_exponent(text: bytes) -> bool:
    """False when no number of the text is spelt with an exponent by either; True where a text only looks like one."""
    if b"0.0000" in text:
        return True
    for sign in (b"e-", b"e+"):
        if sign in text:
            at = text.find(sign)
            while at > 0:
                if text[at - 1] in b"0123456789":
                    return True
                at = text.find(sign, at + 1)
    return False
