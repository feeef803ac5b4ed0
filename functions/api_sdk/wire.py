"""What requests look like on the wire, where a route needs more than one field of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.services.uploading import MAX_FILES, UploadRequest
from edge.request import DEFAULT_PAGE, MAX_PAGE

# Ours: a batch of a hundred stays far below Lambda's 6 MB and DynamoDB's burst.
MAX_BATCH = 100


def upload_requests(body: Mapping[str, Any]) -> list[UploadRequest]:
    """{"files": [{file_name, directory, size_bytes, sha256, content_type?}]}. Raises InvalidInput, LimitExceeded."""
    files = _list(body, "files", MAX_FILES)
    requests = []
    for index, entry in enumerate(files):
        if not isinstance(entry, Mapping):
            raise InvalidInput(f"files[{index}]", "must be an object")
        requests.append(
            UploadRequest(
                file_name=entry.get("file_name"),
                directory=entry.get("directory"),
                size_bytes=entry.get("size_bytes"),
                sha256=entry.get("sha256"),
                content_type=entry.get("content_type"),
            )
        )
    return requests


def batch(body: Mapping[str, Any]) -> Sequence[object]:
    """{"items": […≤100]}. Raises InvalidInput, LimitExceeded."""
    return _list(body, "items", MAX_BATCH)


def page_of(body: Mapping[str, Any]) -> tuple[int, str | None]:
    """(limit, cursor) of a search. Raises InvalidInput."""
    limit, cursor = body.get("limit", DEFAULT_PAGE), body.get("cursor")
    if type(limit) is not int or not 1 <= limit <= MAX_PAGE:
        raise InvalidInput("limit", f"must be a whole number from 1 to {MAX_PAGE}", limit)
    if not isinstance(cursor, str | None):
        raise InvalidInput("cursor", "must be a text", cursor)
    return limit, cursor


def _list(body: Mapping[str, Any], name: str, limit: int) -> list[Any]:
    entries = body.get(name)
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(name, "must be a non-empty list")
    if len(entries) > limit:
        raise LimitExceeded(name, limit, len(entries))
    return entries


def text(body: Mapping[str, Any], name: str) -> str:
    """A required text field. Raises InvalidInput."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(name, "must be a non-empty text", value)
    return value
