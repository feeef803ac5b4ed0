"""Idempotency keys: a client that repeats a request because the answer was lost gets the entity of the first try."""

from __future__ import annotations

from dataloop.domain.canonical import digest
from dataloop.domain.errors import InvalidInput
from dataloop.repositories.once import OnceRepository
from dataloop.services.clock import Clock

# A client's retries are over long before; the table's TTL removes the claim afterwards.
KEEP_SECONDS = 24 * 3600


class ClaimService:
    """The id of the entity is claimed before the entity is made, and making it twice under one id makes one."""

    def __init__(self, once: OnceRepository, clock: Clock) -> None:
        self._once = once
        self._clock = clock

    def id_for(self, tenant: str, operation: str, key: str | None, request: object) -> str:
        """The id to give what the request makes. Without a key: a new one. 1 call with a key.

        Raises InvalidInput when the key came before with another request.
        """
        fresh = self._clock.new_id()
        if not key:
            return fresh
        if len(key) > 200 or not key.isascii() or not key.isprintable():
            raise InvalidInput("Idempotency-Key", "must be at most 200 printable ASCII characters")
        expires_at = int(self._clock.now().timestamp()) + KEEP_SECONDS
        fingerprint = digest(request)
        id, first = self._once.claim(f"{tenant}|{operation}|{key}", fresh, fingerprint, expires_at)
        if first != fingerprint:
            raise InvalidInput("Idempotency-Key", "came before with another request", key)
        return id
