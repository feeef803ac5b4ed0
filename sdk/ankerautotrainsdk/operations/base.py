"""What every group of calls stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ankerautotrainsdk.errors import InvalidInput
from ankerautotrainsdk.results import Page, Record
from ankerautotrainsdk.transport import Transport

R = TypeVar("R", bound=Record)


class Calls:
    """Holds the transport; the groups of calls inherit it and add methods, never state."""

    _transport: Transport
    _progress: bool | None

    def _page(
        self,
        route: str,
        make: Callable[[Mapping[str, Any]], R],
        *,
        limit: int | None,
        cursor: str | None,
        **query: Any,
    ) -> Page[R]:
        answer = self._transport.get(route, {**query, "limit": limit, "cursor": cursor})
        # Short lists are answered without paging, as a bare list.
        if isinstance(answer, list):
            return Page((make(each) for each in answer), None)
        return Page((make(each) for each in answer["items"]), answer.get("cursor"))


def every(fetch: Callable[[str | None], Page[R]]) -> Iterator[R]:
    """All records of a paged list, page by page, fetched as they are consumed."""
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield from page
        cursor = page.cursor
        if not cursor:
            return


def without_none(**fields: Any) -> dict[str, Any]:
    """The fields that were given: what is left out is the service's to decide."""
    return {name: value for name, value in fields.items() if value is not None}


def checked_dict(value: object, name: str) -> dict[str, Any]:
    """The argument as a plain dict; InvalidInput, with the field's name, when it is none."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} must be a dict, not {type(value).__name__}", details={"field": name})
    return dict(value)
