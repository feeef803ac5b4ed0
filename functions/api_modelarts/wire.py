"""Reading query strings and bodies: every wrong value is an InvalidInput that names the field and what it may be."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aws_lambda_powertools.event_handler import Response

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.raw_data import is_key

Json = Mapping[str, Any]

MAX_DESCRIPTION = 256  # "长度为0-256": descriptions of datasets, versions and workers
MAX_LABELS = 1_000  # ours: names, colours and attributes of a dataset lie in one record
MAX_ENTRIES = 100  # ours: schema columns, schema maps, attributes, values, workers
MAX_TEXT = 1_024
# Lambda answers at most 6 MB, the HTTP answer as a JSON text in it; a little is left for headers.
MAX_ANSWER_BYTES = 6_000_000
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_BOOLEANS = {"true": True, "false": False}


# -- answers -----------------------------------------------------------------------------------------------------
def sized(answer: Json) -> Response[str]:
    """A list's answer. Raises LimitExceeded for one that Lambda could not pass on, which a smaller page avoids."""
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    size = len(body.encode()) + body.count('"') + body.count("\\")
    if size > MAX_ANSWER_BYTES:
        raise LimitExceeded("answer: bytes (ask for a smaller limit)", MAX_ANSWER_BYTES, size)
    return Response(status_code=200, content_type="application/json", body=body)


# -- the query string --------------------------------------------------------------------------------------------
def query_integer(query: Json, name: str, low: int, high: int, default: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise InvalidInput(name, f"must be a whole number from {low} to {high}", text)
    return int(text)


def query_choice(query: Json, name: str, choices: Collection[int]) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not _INTEGER.fullmatch(text) or int(text) not in choices:
        raise InvalidInput(name, f"must be one of {', '.join(map(str, choices))}", text)
    return int(text)


def query_word(query: Json, name: str, words: Sequence[str]) -> str:
    """One of some words; the first is the default."""
    text = query.get(name) or words[0]
    if text not in words:
        raise InvalidInput(name, f"must be one of {', '.join(words)}", text)
    return str(text)


def query_boolean(query: Json, name: str) -> bool | None:
    """true and false in any case: Python clients send True."""
    text = query.get(name)
    if not text:
        return None
    if text.lower() not in _BOOLEANS:
        raise InvalidInput(name, "must be true or false", text)
    return _BOOLEANS[text.lower()]


def query_ratios(query: Json, name: str) -> tuple[float, float] | None:
    """ "0.0,1.0": the smallest and the largest share of the training split."""
    text = query.get(name)
    if not text:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not 0 <= low <= high <= 1:
        raise InvalidInput(name, "must be two numbers from 0 to 1 with a comma, the smaller first", text)
    return low, high


# -- bodies ------------------------------------------------------------------------------------------------------
def text(body: Json, name: str, most: int = MAX_TEXT, default: str = "") -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > most:
        raise InvalidInput(name, f"must be a text of at most {most} characters", value)
    return value


def plain_text(body: Json, name: str, forbidden: str) -> str:
    """A description: no letter of some that the documentation forbids."""
    value = text(body, name, MAX_DESCRIPTION)
    found = next((letter for letter in value if letter in forbidden or ord(letter) < 32), None)
    if found is not None:
        raise InvalidInput(name, f"must not hold any of {forbidden} nor control characters", found)
    return value


def name_of(body: Json, name: str, most: int) -> str | None:
    """Letters, digits, underscores and hyphens."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{most}}}", value):
        raise InvalidInput(name, f"must be 1 to {most} letters, digits, underscores or hyphens", value)
    return value


def boolean(body: Json, name: str, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidInput(name, "must be true or false", value)
    return value


def choice(body: Json, name: str, choices: Collection[int], default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value not in choices:
        raise InvalidInput(name, f"must be one of {', '.join(map(str, choices))}", value)
    return value


def word(body: Json, name: str, words: Sequence[str]) -> str:
    """One of some words; the first is the default."""
    value = body.get(name)
    if value is None:
        return words[0]
    if not isinstance(value, str) or value not in words:
        raise InvalidInput(name, f"must be one of {', '.join(words)}", value)
    return value


def objects(body: Json, name: str, most: int = MAX_ENTRIES) -> list[Json]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise InvalidInput(name, "must be a list of objects", value)
    if len(value) > most:
        raise LimitExceeded(name, most, len(value))
    return value


def an_object(body: Json, name: str) -> Json:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(name, "must be an object", value)
    return value


def path(value: object, name: str) -> tuple[str, str]:
    """(bucket, folder) of /bucket/folder/. Raises InvalidInput: 3 to 700 characters, and never a bucket alone."""
    if not isinstance(value, str) or not 3 <= len(value) <= 700 or not value.startswith("/"):
        raise InvalidInput(name, "must be a path /bucket/folder/ of 3 to 700 characters", value)
    bucket, _, folder = value[1:].partition("/")
    parts = folder.rstrip("/").split("/")
    if not bucket or not is_key(folder or "/") or any(part in ("", ".", "..") for part in parts):
        raise InvalidInput(name, "must be a path /bucket/folder/, with a folder and without . or .. in it", value)
    return bucket, folder.rstrip("/") + "/"
