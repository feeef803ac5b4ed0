"""What a schedule puts right: halves that never met, events that never came, tasks that nobody moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote_plus

from dataloop.domain.errors import NotFound
from dataloop.domain.raw_data import Location, is_annotation_file, is_import_source, split_key
from dataloop.domain.tasks import MACHINES, Task
from dataloop.domain.times import day_of, from_text, to_text
from dataloop.gateways.objects import Bucket, ListedVersion
from dataloop.gateways.queues import Queue
from dataloop.repositories.access_keys import AccessKeyRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.importing import import_task_id, waits_for_files
from dataloop.services.looping import LoopService
from dataloop.services.project_batches import ProjectDeletions
from dataloop.services.removing import RemovalService
from dataloop.services.retaining import RetentionService
from dataloop.services.tracking import TaskService

log = logging.getLogger(__name__)

# The bucket is listed once a day, in this hour (UTC), for what changed in the window; a full sweep looks at everything.
COMPARE_HOUR = 3
WINDOW_DAYS = 2
# An event may still be on its way: younger objects and tasks are left alone.
GRACE_S = 300
# An import that waits for files looks again within 15 minutes; one that was quiet for longer has lost its note.
IMPORT_QUIET_S = 3600
ORPHAN_WINDOW_DAYS = 30
# What a sweep counts.
REPAIRS = ("objects", "removals", "imports", "orphans", "versions", "projects", "policies", "tasks")
# (tenant, uid, location) of a record, by the key and version it points to.
Known = dict[tuple[str, str], tuple[str, str, Location]]


class SweepFailed(Exception):
    """Some repairs failed; the others were made. `failures` counts them."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        super().__init__(f"{failures} repairs failed; the log has each")


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
        removing: RemovalService,
        project_deletions: ProjectDeletions,
        retaining: RetentionService,
        clock: Clock,
        orphan_after_days: int,
    ) -> None:
        self._keys = keys
        self._raw_data = raw_data
        self._raw = raw
        self._ingest_queue = ingest_queue
        self._tasks = tasks
        self._looping = looping
        self._removing = removing
        self._project_deletions = project_deletions
        self._retaining = retaining
        self._clock = clock
        self._orphan_after_days = orphan_after_days
        self._failures = 0

    def sweep(self, *, full: bool, grace_s: int = GRACE_S) -> dict[str, int]:
        """All repairs for all tenants; returns how many of each were made. One that fails does not stop the others.

        Raises SweepFailed at the end when any failed.
        """
        self._failures = 0
        counts = dict.fromkeys(REPAIRS, 0)
        tenants = self._keys.tenants()
        if full or self._clock.now().hour == COMPARE_HOUR:
            self._try(lambda: self._compare(tenants, full, grace_s, counts))
        for tenant in tenants:
            self._try(lambda tenant=tenant: self._mark_orphans(tenant, counts))  # type: ignore[misc]
            self._try(lambda tenant=tenant: self._finish_removals(tenant, counts))  # type: ignore[misc]
            self._try(lambda tenant=tenant: self._finish_projects(tenant, counts))  # type: ignore[misc]
            self._try(lambda tenant=tenant: self._retain(tenant, counts))  # type: ignore[misc]
            self._resume_tasks(tenant, grace_s, counts)
        if full:
            self._wake(tenants)
        log.info("swept", extra={"counts": counts, "full": full, "failures": self._failures})
        self._raise_failures()
        return counts

    def wake_all(self) -> None:
        """Consider every loop of every tenant. Raises SweepFailed at the end when any could not be."""
        self._failures = 0
        self._wake(self._keys.tenants())
        self._raise_failures()

    def _wake(self, tenants: list[str]) -> None:
        for tenant in tenants:
            for loop in self._looping.of_tenant(tenant):
                self._try(lambda loop=loop: self._looping.consider(loop.tenant, loop.id))  # type: ignore[misc]

    def _try(self, repair: Callable[[], object]) -> None:
        try:
            repair()
        except Exception:
            log.exception("a repair failed")
            self._failures += 1

    def _raise_failures(self) -> None:
        if self._failures:
            raise SweepFailed(self._failures)

    def _compare(self, tenants: list[str], full: bool, grace_s: int, counts: dict[str, int]) -> None:
        """Records against the bucket: an object without record is announced again, a record without object loses it.

        Memory holds the records of the days looked at; the bucket's listing is streamed.
        """
        now = self._clock.now()
        since = "" if full else to_text(now - timedelta(days=WINDOW_DAYS))
        young = to_text(now - timedelta(seconds=grace_s))
        known, newest_known = self._records(tenants, day_of(since) if since else None)
        registered = set(known)
        for newest, versions in self._by_key():
            if not newest.is_marker:
                for version in versions:
                    known.pop((version.key, version.version_id), None)
            modified = to_text(from_text(newest.modified))
            is_due = not newest.is_marker and since <= modified <= young and not newest.key.endswith("/")
            name = split_key(newest.key)[1]
            if not is_due or is_import_source(name) or (newest.key, newest.version_id) in registered:
                continue
            if is_annotation_file(name):
                if self._is_unheard(newest):
                    self._announce(newest, "")
                    counts["imports"] += 1
            else:
                self._announce(newest, newest_known.get(newest.key, ""))
                counts["objects"] += 1
        for tenant, uid, location in known.values():
            counts["removals"] += self._forget(tenant, uid, location)

    def _records(self, tenants: list[str], first_day: str | None) -> tuple[Known, dict[str, str]]:
        """Live locations of the records from a day on (None: from the tenant's first key on).

        And by key the newest sequencer that any record knows, of removed places too.
        """
        found: Known = {}
        newest: dict[str, str] = {}
        for tenant in tenants:
            day = first_day or self._first_day(tenant)
            for today in self._days(day):
                for uid, location in self._locations(tenant, today):
                    newest[location.key] = max(newest.get(location.key, ""), location.sequencer)
                    if not location.is_removed:
                        found[location.key, location.version_id] = (tenant, uid, location)
        return found, newest

    def _first_day(self, tenant: str) -> str:
        """The day of the tenant's first key (without any: of the oldest object): no record is older."""
        keys = self._keys.of_tenant(tenant)
        if keys:
            return day_of(keys[0].created_at)
        return min((day_of(entry.modified) for entry in self._raw.versions()), default=day_of(self._clock.text()))

    def _by_key(self) -> Iterator[tuple[ListedVersion, list[ListedVersion]]]:
        """(newest entry, all object versions) of each key, in key order, from a streamed listing."""
        entries: list[ListedVersion] = []
        for entry in self._raw.versions():
            if entries and entry.key != entries[0].key:
                yield from self._group(entries)
                entries = []
            entries.append(entry)
        yield from self._group(entries)

    @staticmethod
    def _group(entries: list[ListedVersion]) -> Iterator[tuple[ListedVersion, list[ListedVersion]]]:
        newest = next((entry for entry in entries if entry.is_latest), None)
        if newest is not None:
            yield newest, [entry for entry in entries if not entry.is_marker]

    def _is_unheard(self, entry: ListedVersion) -> bool:
        """No import of this file version ended, and none was at it lately."""
        tenant, _ = split_key(entry.key)
        try:
            task = self._tasks.read(tenant, import_task_id(entry.key, entry.version_id))
        except NotFound:
            return True
        quiet_since = to_text(self._clock.now() - timedelta(seconds=IMPORT_QUIET_S))
        return not task.is_ended and task.updated_at <= quiet_since

    def _days(self, first: str) -> Iterator[str]:
        """yyyymmdd from the first day to today."""
        day = from_text(f"{first[:4]}-{first[4:6]}-{first[6:]}T00:00:00.000Z")
        while day <= self._clock.now():
            yield day_of(to_text(day))
            day += timedelta(days=1)

    def _locations(self, tenant: str, day: str) -> Iterator[tuple[str, Location]]:
        cursor: str | None = None
        while True:
            page, cursor = self._raw_data.of_day(tenant, day, limit=500, cursor=cursor)
            for raw in page:
                for location in raw.locations:
                    yield raw.uid, location
            if cursor is None:
                return

    def _forget(self, tenant: str, uid: str, location: Location) -> int:
        """One character behind the known sequencer: after what we know, before anything S3 sends next."""
        gone = replace(location, sequencer=location.sequencer + "0", is_removed=True)
        return int(self._raw_data.remove_location(tenant, uid, gone))

    def _announce(self, entry: ListedVersion, after: str) -> None:
        """The event that was lost, in S3's own shape: just behind what is known of its key, before any real event."""
        record = {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Reconcile",
            "eventTime": entry.modified,
            "s3": {
                "bucket": {"name": self._raw.name},
                "object": {
                    "key": quote_plus(entry.key, safe="/"),
                    "versionId": entry.version_id,
                    "sequencer": f"{after}1",
                },
            },
        }
        self._ingest_queue.send({"Records": [record]})

    def _retain(self, tenant: str, counts: dict[str, int]) -> None:
        """Retention policies that are due delete what they say, as a deletion that anybody can look at."""
        counts["policies"] += self._retaining.run_due(tenant)

    def _mark_orphans(self, tenant: str, counts: dict[str, int]) -> None:
        """Metadata that waited longer than the policy for its object."""
        now = self._clock.now()
        for age in range(self._orphan_after_days, self._orphan_after_days + ORPHAN_WINDOW_DAYS):
            for raw in self._raw_data.waiting(tenant, day_of(to_text(now - timedelta(days=age)))):
                if raw.orphaned_at is None:
                    self._raw_data.mark_orphaned(tenant, raw.uid, to_text(now))
                    counts["orphans"] += 1

    def _finish_removals(self, tenant: str, counts: dict[str, int]) -> None:
        """Datasets and versions whose deletion was begun."""
        counts["versions"] += self._removing.sweep(tenant)

    def _finish_projects(self, tenant: str, counts: dict[str, int]) -> None:
        """Projects and tags whose deletion was begun."""
        counts["projects"] += self._project_deletions.sweep(tenant)

    def _resume_tasks(self, tenant: str, grace_s: int, counts: dict[str, int]) -> None:
        """Tasks without an execution are started, tasks whose execution ended are ended: no task runs for ever."""
        now = self._clock.now()
        for kind in MACHINES:
            for task in self._tasks.unended(tenant, kind):
                # An import that waits for files has no execution; it is looked after when its note must be lost.
                grace = max(grace_s, IMPORT_QUIET_S) if waits_for_files(task) else grace_s
                if task.updated_at <= to_text(now - timedelta(seconds=grace)):
                    self._try(lambda task=task: self._resume(task, counts))  # type: ignore[misc]

    def _resume(self, task: Task, counts: dict[str, int]) -> None:
        done = self._tasks.resume(task)
        log.info("task looked after", extra={"task_id": task.id, "kind": task.kind, "done": done})
        counts["tasks"] += done not in ("is running", "waits for its run")
