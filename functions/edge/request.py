"""Reading requests: bodies, query strings, headers; every malformed one is an InvalidInput or a LimitExceeded."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.api_gateway import Router

from dataloop.domain.errors import InvalidInput, LimitExceeded

# Lambda takes 6 MB per invocation (AWS: Lambda quotas); the same limit holds on one machine, so that nothing works
# there that would fail in the cloud. Custom Vision's uploads have their own: its clients send more at once.
MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_PAGE = 1000
DEFAULT_PAGE = 100


def raw_body(router: Router) -> bytes:
    """The body's bytes as the client sent them. Raises InvalidInput("body")."""
    event = router.current_event
    raw = event.body or ""
    if not event.get("isBase64Encoded"):
        return raw.encode(errors="surrogatepass")
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("body", "is not valid base64") from error


def json_body(router: Router, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The body as a JSON object. Raises InvalidInput("body"), LimitExceeded.

    NaN, infinities, lone surrogates and endless nesting are refused here: none of them can be stored.
    """
    raw = raw_body(router)
    if len(raw) > max_bytes:
        raise LimitExceeded("body: bytes", max_bytes, len(raw))
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
        # Re-encoding finds lone surrogates, which JSON can spell and UTF-8 cannot, and 1e999, which reads as infinity.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise InvalidInput("body", "is nested too deeply") from error
    except ValueError as error:
        raise InvalidInput("body", f"is not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise InvalidInput("body", "must be a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def query(router: Router, name: str) -> str | None:
    """One query parameter; the last of several."""
    value = (router.current_event.query_string_parameters or {}).get(name)
    return str(value) if value else None


def page(router: Router) -> tuple[int, str | None]:
    """(limit, cursor) of a list request. Raises InvalidInput(limit)."""
    text = query(router, "limit")
    if text is None:
        return DEFAULT_PAGE, query(router, "cursor")
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MAX_PAGE:
        raise InvalidInput("limit", f"must be a whole number from 1 to {MAX_PAGE}", text)
    return int(text), query(router, "cursor")


def header(router: Router, name: str) -> str | None:
    """A header, whatever its case."""
    headers: Mapping[str, str] = router.current_event.headers or {}
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def path_text(value: str) -> str:
    """A path parameter that carries a name: percent-decoded."""
    return unquote(value)


def base_url(router: Router) -> str:
    """https://host as the client sees it."""
    host = header(router, "x-forwarded-host") or header(router, "host") or ""
    scheme = header(router, "x-forwarded-proto") or "https"
    return f"{scheme}://{host}"
