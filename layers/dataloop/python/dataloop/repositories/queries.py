"""Saved queries; their names are unique within a tenant."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from dataloop.domain.errors import Conflict, NotFound
from dataloop.domain.search import SavedQuery
from dataloop.repositories import keys
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table, TransactionFailed


class QueryRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, query: SavedQuery) -> SavedQuery:
        """Write a query and its unique name. Raises Conflict(query); the same id again returns what stands. 1 call."""
        pk = keys.query(query.tenant, query.id)
        order = f"{query.created_at}#{query.id}"
        item = to_item(query, pk, keys.ROOT, g1pk=keys.queries(query.tenant), g1sk=order)
        name = {"pk": keys.unique(query.tenant, "query", query.name), "sk": keys.ROOT, "id": query.id}
        unless_exists = "attribute_not_exists(#pk)"
        try:
            self._table.transact([self._table.write("Put", item=one, condition=unless_exists) for one in (item, name)])
        except TransactionFailed as lost:
            stands = self._table.get(pk)
            if stands is None:
                raise Conflict("query", query.name) from lost
            return from_item(SavedQuery, stands)
        return query

    def get(self, tenant: str, query_id: str) -> SavedQuery:
        """S. Raises NotFound. 1 call."""
        item = self._table.get(keys.query(tenant, query_id))
        if item is None:
            raise NotFound("query", query_id)
        return from_item(SavedQuery, item)

    def page(self, tenant: str, *, limit: int, cursor: str | None) -> tuple[list[SavedQuery], str | None]:
        """E. Newest first. 1 call."""
        found = self._table.query(
            keys.queries(tenant), index=keys.BY_TIME, limit=limit, newest_first=True, cursor=cursor
        )
        return [from_item(SavedQuery, item) for item in found.items], found.cursor

    def change(self, query: SavedQuery, where: Mapping[str, Any], comment: str, at: str) -> SavedQuery:
        """Other conditions under the same name. Raises NotFound when it was removed meanwhile. 1 call."""
        try:
            item = self._table.update(
                keys.query(query.tenant, query.id),
                set={"where": dict(where), "comment": comment, "updated_at": at, "revision": query.revision + 1},
                condition="attribute_exists(#pk)",
            )
        except ConditionFailed as lost:
            raise NotFound("query", query.id) from lost
        return from_item(SavedQuery, item)

    def remove(self, query: SavedQuery) -> None:
        """Free a query's name and delete it; again is no error, and finishes what a crash left. 2 calls."""
        name = keys.unique(query.tenant, "query", query.name)
        # Another query may have the name by now.
        with contextlib.suppress(ConditionFailed):
            self._table.delete(name, condition="#id = :mine", mine=query.id)
        self._table.delete(keys.query(query.tenant, query.id))
