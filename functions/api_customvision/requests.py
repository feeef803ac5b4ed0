"""Reading paths, query strings and bodies: every wrong value has the service's code and a message that names it.

Names in the query string are matched whatever their case. A list is comma-joined, or its key is repeated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision.faults import Refused
from dataloop.domain import times
from edge.request import json_body

Json = Mapping[str, Any]

# .NET reads a GUID with or without hyphens, in any case.
_GUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")
_BOOLEANS = {"true": True, "false": False}


# -- ids ---------------------------------------------------------------------------------------------------------
def guid(value: object, name: str) -> str:
    """The canonical spelling of an id. Raises Refused(BadRequestInvalidIds)."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not _GUID.fullmatch(text):
        raise Refused("BadRequestInvalidIds", f"{name}: must be a GUID (got {str(value)[:100]!r})")
    plain = text.replace("-", "")
    return f"{plain[:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:20]}-{plain[20:]}"


def guids(values: Sequence[object], name: str, most: int, code: str = "BadRequestExceededBatchSize") -> tuple[str, ...]:
    """Ids in their order, each once. Raises Refused(BadRequestInvalidIds), Refused(code) for too many."""
    found = tuple(dict.fromkeys(guid(value, name) for value in values))
    if len(found) > most:
        raise Refused(code, f"{name}: at most {most}, got {len(found)}")
    return found


# -- the query string --------------------------------------------------------------------------------------------
def values(router: APIGatewayHttpRouter, name: str) -> list[str]:
    """Everything that the query string has under a name."""
    pairs = parse_qsl(str(router.current_event.get("rawQueryString") or ""), keep_blank_values=True)
    wanted = name.lower()
    return [value for key, value in pairs if key.lower() == wanted]


def text(router: APIGatewayHttpRouter, name: str) -> str | None:
    """One parameter, the last of several; None when it is absent or empty."""
    found = values(router, name)
    return found[-1] if found and found[-1] else None


def required(router: APIGatewayHttpRouter, name: str) -> str:
    """Raises Refused(BadRequestRequiredParamIsNull)."""
    found = text(router, name)
    if found is None:
        raise Refused("BadRequestRequiredParamIsNull", f"{name}: is needed")
    return found


def texts(router: APIGatewayHttpRouter, name: str) -> list[str]:
    """A list of plain words: ONNX,CoreML."""
    return [part.strip() for value in values(router, name) for part in value.split(",") if part.strip()]


def ids(
    router: APIGatewayHttpRouter, name: str, most: int, code: str = "BadRequestExceededBatchSize"
) -> tuple[str, ...]:
    """A list of ids, each once. Raises Refused(BadRequestInvalidIds), Refused(code) for too many."""
    return guids(texts(router, name), name, most, code)


def id(router: APIGatewayHttpRouter, name: str) -> str | None:
    """One id, or None. Raises Refused(BadRequestInvalidIds)."""
    found = text(router, name)
    return None if found is None else guid(found, name)


def integer(router: APIGatewayHttpRouter, name: str, low: int, high: int, default: int) -> int:
    """Raises Refused(BadRequest)."""
    found = text(router, name)
    if found is None:
        return default
    if not found.isascii() or not _INTEGER.fullmatch(found) or not low <= int(found) <= high:
        raise Refused("BadRequest", f"{name}: must be a whole number from {low} to {high} (got {found[:100]!r})")
    return int(found)


def number(router: APIGatewayHttpRouter, name: str, low: float, high: float) -> float | None:
    """Raises Refused(BadRequest)."""
    found = text(router, name)
    return None if found is None else _number(found, name, low, high)


def boolean(router: APIGatewayHttpRouter, name: str, default: bool) -> bool:
    """Raises Refused(BadRequest)."""
    found = text(router, name)
    if found is None:
        return default
    if found.lower() not in _BOOLEANS:
        raise Refused("BadRequest", f"{name}: must be true or false (got {found[:100]!r})")
    return _BOOLEANS[found.lower()]


def word(router: APIGatewayHttpRouter, name: str, words: Sequence[str], code: str = "BadRequest") -> str | None:
    """One of some words, whatever its case, as they are spelt in `words`; None when absent. Raises Refused(code)."""
    found = text(router, name)
    return None if found is None else _word(found, name, words, code)


# -- bodies ------------------------------------------------------------------------------------------------------
def body(router: APIGatewayHttpRouter) -> dict[str, Any]:
    """The JSON object of the body, {} without one. Raises InvalidInput(body), LimitExceeded."""
    return json_body(router)


def body_text(body: Json, name: str) -> str | None:
    """Raises Refused(BadRequest)."""
    found = body.get(name)
    if found is not None and not isinstance(found, str):
        raise Refused("BadRequest", f"{name}: must be a text (got {str(found)[:100]!r})")
    return found


def body_number(body: Json, name: str, low: float, high: float, code: str = "BadRequest") -> float | None:
    """Raises Refused(code)."""
    found = body.get(name)
    return None if found is None else _number(found, name, low, high, code)


def body_integer(body: Json, name: str, low: int, high: int, default: int) -> int:
    """Raises Refused(BadRequest)."""
    found = body.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
        raise Refused("BadRequest", f"{name}: must be a whole number from {low} to {high} (got {str(found)[:100]!r})")
    return found


def body_word(body: Json, name: str, words: Sequence[str], code: str = "BadRequest") -> str | None:
    """One of some words, whatever its case, as they are spelt in `words`; None when absent. Raises Refused(code)."""
    found = body_text(body, name)
    return None if found is None else _word(found, name, words, code)


def body_id(body: Json, name: str) -> str | None:
    """Raises Refused(BadRequestInvalidIds)."""
    found = body.get(name)
    return None if found is None else guid(found, name)


def body_ids(body: Json, name: str, most: int, code: str = "BadRequestExceededBatchSize") -> tuple[str, ...]:
    """Raises Refused(BadRequestInvalidIds), Refused(code) for too many."""
    found = body.get(name)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise Refused("BadRequest", f"{name}: must be a list (got {str(found)[:100]!r})")
    return guids(found, name, most, code)


def entries(body: Json, name: str, most: int, code: str = "BadRequestExceededBatchSize") -> list[Json]:
    """The objects of a list, at least one. Raises Refused: BadRequestRequiredParamIsNull, BadRequest, `code`."""
    found = body.get(name)
    if found is None or found == []:
        raise Refused("BadRequestRequiredParamIsNull", f"{name}: at least one is needed")
    return optional_entries(body, name, most, code)


def optional_entries(body: Json, name: str, most: int, code: str = "BadRequestExceededBatchSize") -> list[Json]:
    """The objects of a list, which may be absent. Raises Refused: BadRequest, `code`."""
    found = body.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise Refused("BadRequest", f"{name}: must be a list of objects")
    if len(found) > most:
        raise Refused(code, f"{name}: at most {most}, got {len(found)}")
    return found


def an_object(body: Json, name: str) -> Json | None:
    """Raises Refused(BadRequest)."""
    found = body.get(name)
    if found is not None and not isinstance(found, Mapping):
        raise Refused("BadRequest", f"{name}: must be an object")
    return found


def time(body: Json, name: str) -> str | None:
    """A moment as the core writes it: UTC with milliseconds and Z. Raises Refused(BadRequest)."""
    found = body_text(body, name)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found)
        return times.to_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Refused("BadRequest", f"{name}: must be an ISO 8601 time (got {found[:100]!r})") from None


def box(entry: Json, name: str) -> tuple[float, float, float, float]:
    """left, top, width, height of a region: shares of the image. Raises Refused(BadRequestImageRegions)."""
    code = "BadRequestImageRegions"
    sides = ("left", "top", "width", "height")
    if any(entry.get(side) is None for side in sides):
        raise Refused(code, f"{name}: left, top, width and height are needed")
    left, top, width, height = (_number(entry[side], f"{name}.{side}", 0, 1, code) for side in sides)
    return left, top, width, height


# -- values ------------------------------------------------------------------------------------------------------
def _number(value: object, name: str, low: float, high: float, code: str = "BadRequest") -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not low <= found <= high:
        raise Refused(code, f"{name}: must be a number from {low:g} to {high:g} (got {str(value)[:100]!r})")
    return found


def _word(value: str, name: str, words: Sequence[str], code: str) -> str:
    found = next((each for each in words if each.lower() == value.strip().lower()), None)
    if found is None:
        raise Refused(code, f"{name}: must be one of {', '.join(words)} (got {value[:100]!r})")
    return found
