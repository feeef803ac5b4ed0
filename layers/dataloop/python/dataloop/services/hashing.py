"""Perceptual hashes for pictures that were registered before there were any. Asked for by a person, done by the queue."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

from dataloop.domain.errors import NotFound
from dataloop.domain.raw_data import RawData
from dataloop.domain.times import day_of, from_text, to_text
from dataloop.gateways.objects import Bucket
from dataloop.gateways.queues import Queue
from dataloop.repositories.access_keys import AccessKeyRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services import inspecting
from dataloop.services.clock import Clock
from dataloop.services.registering import HASHED_BYTES

log = logging.getLogger(__name__)

# Pictures of one message: ten messages a call with large PNGs take two minutes of the five that the function has.
BATCH_IDS = 25
_PAGE = 500


class HashService:
    """Idempotent like registration: a picture that has its hash is not read again, and its record's day stays."""

    def __init__(
        self,
        keys: AccessKeyRepository,
        raw_data: RawDataRepository,
        raw: Bucket,
        ingest_queue: Queue,
        clock: Clock,
    ) -> None:
        self._keys = keys
        self._raw_data = raw_data
        self._raw = raw
        self._ingest_queue = ingest_queue
        self._clock = clock

    def ask(self, day: str | None = None) -> dict[str, int]:
        """Put a note on the ingest queue for every 25 pictures without a hash; returns how many pictures those are.

        day: yyyymmdd, only what came last on it; None: every day since each tenant's first key.
        Cost: the list of the records, and 1 message per 25.
        """
        count = 0
        for tenant in self._keys.tenants():
            first = self._keys.of_tenant(tenant)[0].created_at
            days = [day] if day else self._days(first)
            uids = (raw.uid for today in days for raw in self._of_day(tenant, today) if _lacks_hash(raw))
            while batch := list(islice(uids, BATCH_IDS)):
                self._ingest_queue.send({"hash_again": {"tenant": tenant, "uids": batch}})
                count += len(batch)
        log.info("asked for hashes", extra={"pictures": count, "day": day})
        return {"pictures": count}

    def hash_again(self, tenant: str, uids: Sequence[str]) -> int:
        """Read these pictures and keep their hashes. Returns how many got one.

        Cost: 1 read of the records, and for each picture 1 GET and 1 DynamoDB call of 2 WRU.
        """
        count = 0
        for uid, raw in sorted(self._raw_data.get_many(tenant, uids, consistent=True).items()):
            place = raw.location
            if place is None or raw.facts is None or not _lacks_hash(raw):
                continue
            try:
                body = self._raw.get(place.key, place.version_id)
            except NotFound:
                continue
            found = inspecting.inspect(place.key, hashlib.sha256(body).hexdigest(), len(body), body, body)
            if found.sha256 == raw.facts.sha256 and found.phash:
                count += self._raw_data.put_phash(tenant, uid, found.phash)
        return count

    def _days(self, first: str) -> Iterator[str]:
        moment, last = from_text(first), day_of(self._clock.text())
        while (today := day_of(to_text(moment))) <= last:
            yield today
            moment += timedelta(days=1)

    def _of_day(self, tenant: str, day: str) -> Iterator[RawData]:
        cursor: str | None = None
        while True:
            page, cursor = self._raw_data.of_day(tenant, day, limit=_PAGE, cursor=cursor)
            yield from page
            if cursor is None:
                return


def _lacks_hash(raw: RawData) -> bool:
    """A picture that could have a hash, as far as its record tells."""
    facts, place = raw.facts, raw.location
    return (
        facts is not None
        and place is not None
        and not facts.rejected
        and facts.phash is None
        and facts.media_type in inspecting.HASHED_TYPES
        and facts.size_bytes <= HASHED_BYTES
    )
