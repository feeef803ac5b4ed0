"""Which images a request to delete means: those it names, or those that a saved query finds now."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from dataloop.domain.erasure import MAX_UIDS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.services.searching import SearchService


class DeletionChoice:
    """A query is taken at its word when it is asked: what it finds later is not deleted."""

    def __init__(self, searching: SearchService) -> None:
        self._searching = searching

    def uids_of(self, tenant: str, body: Mapping[str, Any]) -> object:
        """`uids` as given, or the uids that `query_id` finds. Raises InvalidInput, NotFound, LimitExceeded."""
        uids, query_id = body.get("uids"), body.get("query_id")
        if (uids is None) == (query_id is None):
            raise InvalidInput("uids", "give either uids or query_id")
        if query_id is None:
            return uids
        query = self._searching.get(tenant, str(query_id))
        found = [hit.raw.uid for hit in islice(self._searching.every(tenant, dict(query.where)), MAX_UIDS + 1)]
        if len(found) > MAX_UIDS:
            raise LimitExceeded("uids", MAX_UIDS)
        if not found:
            raise InvalidInput("query_id", "finds nothing", query_id)
        return found
