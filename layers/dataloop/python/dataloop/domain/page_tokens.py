"""Texts that lead a client from one page to the next, and that fit nothing but the query they were given out for.

The seal is a digest, no signature: it finds what was changed by accident or taken from another query. A token names a
place in the caller's own partition and nothing else, so whoever forges one can only choose where his own list goes on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import InvalidInput

_SEAL_LETTERS = 16


def seal(place: Sequence[Any], query: Sequence[Any]) -> str:
    """The token of a place in the answer to a query; both are JSON values."""
    content = canonical_json([list(place), _seal(place, query)])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def unseal(token: object, field: str, query: Sequence[Any], *kinds: type) -> list[Any]:
    """The place again, a value of each kind. Raises InvalidInput(field) for a token that this query was not given."""
    refusal = InvalidInput(field, "is not one that this query was given: leave it out, or send the token as it came")
    if not isinstance(token, str) or not token.isascii():
        raise refusal
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        place, sealed = found
        is_whole = [type(value) for value in place] == list(kinds) and sealed == _seal(place, query)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise refusal from error
    if not is_whole:
        raise refusal
    return list(place)


def _seal(place: Sequence[Any], query: Sequence[Any]) -> str:
    return hashlib.sha256(canonical_json([list(place), list(query)])).hexdigest()[:_SEAL_LETTERS]
