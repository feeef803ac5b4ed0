"""What requests look like on the wire, where a route needs more than one field of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.services.uploading import MAX_FILES, UploadRequest

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
