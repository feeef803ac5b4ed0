"""The once table: who was first with a client's idempotency key. Items leave by TTL."""

from __future__ import annotations

from dataloop.repositories.table import ConditionFailed, Table


class OnceRepository:
    """pk-only table with the attribute `id`; TTL attribute `expires_at` in epoch seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def claim(self, id: str, value: str, fingerprint: str, expires_at: int) -> tuple[str, str]:
        """Claim an id for a value. Returns (value, fingerprint) of the first claim. 1 call, 1 WRU."""
        try:
            self._table.put(
                {"id": id, "value": value, "fingerprint": fingerprint, "expires_at": expires_at},
                condition="attribute_not_exists(#id)",
            )
        except ConditionFailed as lost:
            return lost.item["value"], lost.item["fingerprint"]
        return value, fingerprint
