"""Deletions as clients see them: ask for one, look at one, read its receipt. What is done is in `erasure_steps.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.erasure import Deletion, check_reason, check_uids, deletion_id
from dataloop.domain.errors import NotFound
from dataloop.domain.ids import derived_uuid
from dataloop.domain.raw_data import Location
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.deletions import DeletionRepository
from dataloop.repositories.erasures import ErasureRepository
from dataloop.services.clock import Clock
from dataloop.services.tracking import TaskService


class ErasureService:
    """A deletion is decided by its images: the same request again is the same deletion."""

    def __init__(
        self,
        deletions: DeletionRepository,
        erasures: ErasureRepository,
        tasks: TaskService,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._deletions = deletions
        self._erasures = erasures
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock

    def request(
        self, tenant: str, uids: object, reason: object, *, by: str = "", policy_id: str | None = None
    ) -> tuple[Deletion, Task]:
        """Delete images for good. uids: 1 to 1,000. Images that nobody knows, or that are erased, are named and left out.

        Raises InvalidInput, LimitExceeded; NotFound when none of the images is known.
        Cost: 1 call per 100 uids, 1 or 2 for each that has no record, and 5.
        """
        wanted, why = check_uids(uids), check_reason(reason)
        records = self._erasures.records(tenant, wanted)
        unknown = [uid for uid in wanted if uid not in records and not self._erasures.is_known(tenant, uid)]
        already = {uid: str(raw.deletion_id) for uid, raw in records.items() if raw.is_erased}
        lives = {uid: str(raw.reopened_at) for uid, raw in records.items() if raw.reopened_at and not raw.is_erased}
        before = {uid: str(raw.deletion_id) for uid, raw in records.items() if raw.is_erased}
        rest = [uid for uid in wanted if uid not in unknown and uid not in already]
        if not rest:
            return self._again(tenant, wanted, unknown, sorted(set(before.values())))
        id = deletion_id(rest, lives)
        return self._open(tenant, id, rest, why, by=by, policy_id=policy_id, unknown=tuple(unknown), already=already)

    def _again(
        self, tenant: str, wanted: Sequence[str], unknown: Sequence[str], ids: Sequence[str]
    ) -> tuple[Deletion, Task]:
        """Everything known is erased already: the deletion that did it, started again if its task had failed."""
        if not ids:
            raise NotFound("raw data", ", ".join(unknown[:5]) + ("" if len(unknown) <= 5 else ", …"))
        found = [self._deletions.get(tenant, id) for id in ids]
        newest = max(found, key=lambda deletion: (deletion.created_at, deletion.id))
        unfinished = [deletion for deletion in found if deletion.status != "DONE"]
        return self._start(unfinished[0] if unfinished else newest)

    def _open(
        self,
        tenant: str,
        id: str,
        uids: Sequence[str],
        reason: str,
        *,
        by: str = "",
        policy_id: str | None = None,
        late_of: str | None = None,
        **refused: Any,
    ) -> tuple[Deletion, Task]:
        """The list of images is durable before the deletion, and the deletion before its task."""
        deletion = Deletion(
            tenant=tenant,
            id=id,
            status="REQUESTED",
            reason=reason,
            requested_by=by,
            created_at=self._clock.text(),
            count=len(uids),
            task_id=_task_id(id, 1),
            policy_id=policy_id,
            late_of=late_of,
            **refused,
        )
        self._artifacts.put(f"{deletion.prefix}/request.json", canonical_json({"uids": list(uids)}))
        return self._start(self._deletions.create(deletion))

    def _start(self, deletion: Deletion) -> tuple[Deletion, Task]:
        """The task of a deletion; one that failed or was stopped gets another, which goes on where it ended."""
        task = self._task(deletion)
        if task.status in ("FAILED", "STOPPED") and deletion.status != "DONE":
            attempt = deletion.attempt + 1
            changes = {"attempt": attempt, "task_id": _task_id(deletion.id, attempt)}
            deletion = self._deletions.note(deletion, self._clock.text(), **changes)
            task = self._task(deletion)
        return deletion, self._tasks.start(task) if task.status == "CREATED" else task

    def _task(self, deletion: Deletion) -> Task:
        wish = {"deletion_id": deletion.id, "count": deletion.count, "reason": deletion.reason}
        target = f"Deletion#{deletion.id}"
        return self._tasks.create(deletion.tenant, "delete", target, wish, id=deletion.task_id)

    def erase_late(self, tenant: str, uid: str, location: Location) -> None:
        """An older copy of erased content turned up after its erasure: note where, and complete the deletion.

        The object's own version decides the id, so that hearing of it again is hearing of it once. Cost: 2 to 6 calls.
        """
        raw = self._erasures.records(tenant, [uid]).get(uid)
        if raw is None or raw.deletion_id is None or raw.erased_at is None:
            return
        deletion = self._deletions.find(tenant, raw.deletion_id)
        is_new = self._erasures.note_late(tenant, uid, location)
        if not is_new and deletion is not None and deletion.status != "DONE":
            return  # it is at it, and knows this place
        began = int(from_text(raw.erased_at).timestamp() * 1000)
        id = derived_uuid(began, "late", raw.deletion_id, location.bucket, location.key, location.version_id)
        reason = f"an older copy turned up after deletion {raw.deletion_id}"
        self._open(tenant, id, [uid], reason, late_of=raw.deletion_id)

    def get(self, tenant: str, deletion_id: str) -> Deletion:
        """Raises NotFound."""
        return self._deletions.get(tenant, deletion_id)

    def page(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[Deletion], str | None]:
        """Newest first."""
        return self._deletions.page(tenant, limit=limit, cursor=cursor)

    def receipt(self, deletion: Deletion) -> dict[str, Any] | None:
        """What was removed and verified; None until the deletion is DONE. 1 GET."""
        if deletion.receipt_key is None:
            return None
        receipt: dict[str, Any] = json.loads(self._artifacts.get(deletion.receipt_key))
        return receipt


def _task_id(deletion_id: str, attempt: int) -> str:
    return derived_uuid(int(deletion_id.replace("-", "")[:12], 16), "delete", deletion_id, attempt)
