"""What a schedule puts right: halves that never met, events that never came, tasks that nobody moves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote_plus

from dataloop.domain.raw_data import Location, is_annotation_file, split_key
from dataloop.domain.tasks import MACHINES
from dataloop.domain.times import day_of, from_text, to_text
from dataloop.gateways.objects import Bucket, ListedVersion
from dataloop.gateways.queues import Queue
from dataloop.repositories.access_keys import AccessKeyRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.looping import LoopService
from dataloop.services.tracking import TaskService

log = logging.getLogger(__name__)

# A scheduled sweep looks this far back for lost events; `full` looks at everything.
WINDOW_DAYS = 2
# An event may still be on its way: younger objects and tasks are left alone.
GRACE_S = 300
ORPHAN_WINDOW_DAYS = 30


class SweepService:
    """Every repair goes through the ordinary, idempotent paths; a sweep that runs twice changes nothing."""

    def __init__(
        self,
        keys: AccessKeyRepository,
        raw_data: RawDataRepository,
        raw: Bucket,
        ingest_queue: Queue,
        tasks: TaskService,
        looping: LoopService,
        clock: Clock,
        orphan_after_days: int,
    ) -> None:
        self._keys = keys
        self._raw_data = raw_data
        self._raw = raw
        self._ingest_queue = ingest_queue
        self._tasks = tasks
        self._looping = looping
        self._clock = clock
        self._orphan_after_days = orphan_after_days

    def sweep(self, *, full: bool, grace_s: int = GRACE_S) -> dict[str, int]:
        """All repairs for all tenants; returns how many of each were made."""
        counts = {"objects": 0, "removals": 0, "orphans": 0, "tasks": 0, "runs": 0}
        self._compare(full, grace_s, counts)
        for tenant in self._keys.tenants():
            counts["orphans"] += self._mark_orphans(tenant)
            counts["tasks"] += self._resume_tasks(tenant, grace_s)
            counts["runs"] += sum(decision.start for _, decision in self._looping.wake(tenant))
        log.info("swept", extra={"counts": counts, "full": full})
        return counts

    def _compare(self, full: bool, grace_s: int, counts: dict[str, int]) -> None:
        """Records against the bucket: an object without record is announced again, a record without object loses it."""
        now = self._clock.now()
        since = None if full else to_text(now - timedelta(days=WINDOW_DAYS))
        young = to_text(now - timedelta(seconds=grace_s))
        latest: dict[str, ListedVersion] = {}
        existing: set[tuple[str, str]] = set()
        for entry in self._raw.versions():
            if not entry.is_marker:
                existing.add((entry.key, entry.version_id))
            if entry.is_latest:
                latest[entry.key] = entry
        earliest = min((day_of(to_text(from_text(entry.modified))) for entry in latest.values()), default=None)
        first = day_of(since) if since else earliest
        known: set[tuple[str, str]] = set()
        for tenant in {split_key(key)[0] for key in latest} | set(self._keys.tenants()):
            for day in self._days(first):
                for uid, location in self._locations(tenant, day):
                    known.add((location.key, location.version_id))
                    if self._is_lost(location, latest, existing):
                        counts["removals"] += self._forget(tenant, uid, location)
        for entry in latest.values():
            is_in_window = since is None or entry.modified >= since
            is_settled = to_text(from_text(entry.modified)) <= young
            is_raw = not (entry.is_marker or entry.key.endswith("/") or is_annotation_file(split_key(entry.key)[1]))
            if is_raw and is_in_window and is_settled and (entry.key, entry.version_id) not in known:
                self._announce(entry)
                counts["objects"] += 1

    def _days(self, first: str | None) -> Iterator[str]:
        """yyyymmdd from the first day to today."""
        if first is None:
            return
        day = from_text(f"{first[:4]}-{first[4:6]}-{first[6:]}T00:00:00.000Z")
        while day <= self._clock.now():
            yield day_of(to_text(day))
            day += timedelta(days=1)

    def _locations(self, tenant: str, day: str) -> Iterator[tuple[str, Location]]:
        cursor: str | None = None
        while True:
            page, cursor = self._raw_data.of_day(tenant, day, limit=500, cursor=cursor)
            for raw in page:
                for location in raw.live_locations:
                    yield raw.uid, location
            if cursor is None:
                return

    @staticmethod
    def _is_lost(location: Location, latest: dict[str, ListedVersion], existing: set[tuple[str, str]]) -> bool:
        """The version is gone for good, or the key's newest version is a delete marker."""
        newest = latest.get(location.key)
        return (location.key, location.version_id) not in existing or newest is None or newest.is_marker

    def _forget(self, tenant: str, uid: str, location: Location) -> int:
        """One character behind the known sequencer: after what we know, before anything S3 sends next."""
        gone = replace(location, sequencer=location.sequencer + "0", is_removed=True)
        return int(self._raw_data.remove_location(tenant, uid, gone))

    def _announce(self, entry: ListedVersion) -> None:
        """The event that was lost, in S3's own shape; sequencer 0 gives way to any real event."""
        record = {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Reconcile",
            "eventTime": entry.modified,
            "s3": {
                "bucket": {"name": self._raw.name},
                "object": {"key": _quoted(entry.key), "versionId": entry.version_id, "sequencer": "0"},
            },
        }
        self._ingest_queue.send({"Records": [record]})

    def _mark_orphans(self, tenant: str) -> int:
        """Metadata that waited longer than the policy for its object."""
        count = 0
        now = self._clock.now()
        for age in range(self._orphan_after_days, self._orphan_after_days + ORPHAN_WINDOW_DAYS):
            for raw in self._raw_data.waiting(tenant, day_of(to_text(now - timedelta(days=age)))):
                if raw.orphaned_at is None:
                    self._raw_data.mark_orphaned(tenant, raw.uid, to_text(now))
                    count += 1
        return count

    def _resume_tasks(self, tenant: str, grace_s: int) -> int:
        """Tasks without an execution are started, tasks whose execution ended are ended: no task runs for ever."""
        count = 0
        quiet_since = to_text(self._clock.now() - timedelta(seconds=grace_s))
        for kind in MACHINES:
            for task in self._tasks.unended(tenant, kind):
                if task.updated_at <= quiet_since:
                    done = self._tasks.resume(task)
                    log.info("task looked after", extra={"task_id": task.id, "kind": kind, "done": done})
                    count += done not in ("is running", "waits for its run")
        return count


def _quoted(key: str) -> str:
    return quote_plus(key, safe="/")
