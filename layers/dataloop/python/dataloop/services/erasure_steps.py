"""The steps of the machine `erasure`: plan (mark first), erase part by part, settle, verify part by part, mark.

Two passes over the same parts. The first removes what is there; then everything that was under way is waited for; the
second removes what came out of that, and looks again for all that was found. Every step may be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.erasure import QUIET_S, Deletion
from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.tasks import KINDS
from dataloop.domain.times import from_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.deletions import DeletionRepository
from dataloop.repositories.erasures import ErasureRepository
from dataloop.services.clock import Clock
from dataloop.services.erasure_projects import ProjectEraser
from dataloop.services.erasure_receipts import ReceiptWriter
from dataloop.services.erasure_records import RecordEraser
from dataloop.services.erasure_sweep import FOLDERS, SPLIT_LISTS, TASKS, VERSIONS, CopySweeper
from dataloop.services.gathering import chunks
from dataloop.services.tracking import TaskService

RECORDS, PROJECTS = "records", "projects"
# Sizes of parts, so that each is done within a child's two minutes: an image costs some ten calls, a version that holds
# one of them is read and written whole, and one that does not costs two calls.
UIDS_A_PART, VERSIONS_A_PART, FOLDERS_A_PART = 25, 50, 25
Part = Mapping[str, Any]


class StillInUse(Unavailable):
    """Something that began before the deletion is still under way; the machine asks again until it has ended."""


class ErasureSteps:
    """Files of a deletion, below {tenant}/deletions/{id}/: request.json, parts/, found/ (what was there, written before it
    goes), done/ (what each part did), receipt.json."""

    def __init__(
        self,
        deletions: DeletionRepository,
        erasures: ErasureRepository,
        tasks: TaskService,
        records: RecordEraser,
        projects: ProjectEraser,
        copies: CopySweeper,
        receipts: ReceiptWriter,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._deletions = deletions
        self._erasures = erasures
        self._tasks = tasks
        self._records = records
        self._projects = projects
        self._copies = copies
        self._receipts = receipts
        self._artifacts = artifacts
        self._clock = clock

    def plan(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Mark every image as erased, tell running builds, and write the parts of the first pass.

        From the mark on nobody reads, labels, finds or builds with these images.
        """
        deletion = self._begin(tenant, task_id, "plan")
        if deletion.marked_at is None:
            now = self._clock.text()
            deletion = self._deletions.note(deletion, now, status="ERASING", marked_at=now)
        uids = self._uids(deletion)
        if deletion.late_of is None:
            for uid in uids:
                self._erasures.mark(tenant, uid, deletion.id, str(deletion.marked_at))
        self._copies.note_builds(deletion)
        return self._write_parts(deletion, task_id, 1, uids)

    def erase(self, tenant: str, task_id: str, part_key: str) -> dict[str, Any]:
        """One part of either pass. What it did is written beside the parts of its pass."""
        deletion = self._of_task(tenant, task_id)
        part = json.loads(self._artifacts.get(part_key))
        uids = frozenset(self._uids(deletion))
        name = f"{part['pass']}/{part_key.rpartition('/')[2]}"
        done = self._done(deletion, part, uids)
        if part["pass"] == 2:
            done["verified"] = self._verify(deletion, part, uids, done)
        self._artifacts.put(f"{deletion.prefix}/done/{name}", canonical_json(done))
        return {"part": name}

    def settle(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Wait for what began before the first pass ended, then write the parts of the second.

        Raises StillInUse: requests that looked before the mark may write until QUIET_S after it; jobs have copies of the
        images until they end, and leave reports.
        """
        deletion = self._begin(tenant, task_id, "settle")
        now = self._clock.now()
        quiet_at = from_text(str(deletion.marked_at)) + timedelta(seconds=QUIET_S)
        if now < quiet_at:
            raise StillInUse("requests that began before the deletion may still be under way")
        if deletion.swept_at is None:
            deletion = self._deletions.note(deletion, self._clock.text(), swept_at=self._clock.text())
        uids = self._uids(deletion)
        users = self._copies.users(deletion, frozenset(uids), self._touched(deletion))
        if users:
            raise StillInUse(f"waits for {len(users)} running tasks: {', '.join(users[:5])}")
        return self._write_parts(deletion, task_id, 2, uids)

    def mark(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Mark what was touched, propose what to do, issue the receipt, and end the task."""
        task = self._tasks.read(tenant, task_id)
        deletion = self._of_task(tenant, task_id)
        if deletion.status != "DONE":
            uids = self._uids(deletion)
            receipt = self._receipts.issue(deletion, uids, self._results(deletion))
            deletion = self._deletions.note(
                deletion,
                self._clock.text(),
                status="DONE",
                finished_at=receipt["finished_at"],
                receipt_sha256=receipt["sha256"],
                receipt_key=f"{deletion.prefix}/receipt.json",
                summary=self._receipts.summary(receipt),
            )
        if task.status != "SUCCEEDED":
            result = {"deletion_id": deletion.id, "receipt_sha256": deletion.receipt_sha256}
            self._tasks.succeed(task, result | dict(deletion.summary))
        return {"deletion_id": deletion.id}

    def _done(self, deletion: Deletion, part: Part, uids: frozenset[str]) -> dict[str, Any]:
        """Erase what a part is about."""
        area = part["area"]
        found_key = f"{deletion.prefix}/found/{area}"
        if area == RECORDS:
            number = part["number"]
            found = self._records.erase(deletion, part["uids"], f"{found_key}/{number:05d}.json")
            return {"area": area, "records": found}
        if area == PROJECTS:
            found_key, is_last = f"{found_key}/{part['number']:05d}.json", part["pass"] == 2
            return {"area": area, "changed": self._projects.erase(deletion, part["uids"], found_key, is_last=is_last)}
        if area == VERSIONS:
            done = (self._copies.erase_version(deletion, id, uids, f"{found_key}/{id}.json") for id in part["ids"])
            return {"area": area, "changed": [entry for entry in done if entry is not None]}
        if area == TASKS:
            queries = self._copies.erase_queries(deletion, uids)
            tasks = sum(self._copies.erase_tasks(deletion, kind, uids) for kind in part["ids"])
            return {"area": area, "tasks": tasks, "queries": queries}
        if area == SPLIT_LISTS:
            changed = self._copies.erase_split_lists(deletion, uids)
            return {"area": area, "changed": [changed] if changed else []}
        touched = self._touched(deletion) if part["pass"] == 2 else set(part["versions"])
        entries = (self._copies.erase_folder(deletion, area, id, uids, touched) for id in part["ids"])
        return {"area": area, "changed": [entry for entry in entries if entry is not None]}

    def _verify(self, deletion: Deletion, part: Part, uids: frozenset[str], done: Mapping[str, Any]) -> dict[str, int]:
        """What was looked for and is gone. Raises Unavailable when something is there again: the part is repeated."""
        if part["area"] == RECORDS:
            return self._records.verify(deletion, done["records"])
        if part["area"] == PROJECTS:
            return self._projects.verify(deletion, part["uids"])
        if part["area"] == VERSIONS:
            touched = self._touched(deletion) & set(part["ids"])
            for version_id in touched:
                self._copies.verify_version(deletion.tenant, version_id, uids)
            return {"versions": len(touched)}
        return {part["area"].replace("-", "_"): len(part["ids"])}

    def _write_parts(self, deletion: Deletion, task_id: str, number: int, uids: list[str]) -> dict[str, Any]:
        prefix = f"{deletion.prefix}/parts/{number}/"
        count = 0
        for count, part in enumerate(self._parts(deletion, uids), 1):
            name = f"{count - 1:05d}-{part['area']}.json"
            self._artifacts.put(f"{prefix}{name}", canonical_json({**part, "pass": number}))
        task = self._tasks.read(deletion.tenant, task_id)
        self._tasks.note(
            task, phase=("erase", "verify")[number - 1], progress={"done": 0, "total": count, "unit": "part"}
        )
        return {"bucket": self._artifacts.name, "parts_prefix": prefix, "parts": count}

    def _parts(self, deletion: Deletion, uids: list[str]) -> Iterator[dict[str, Any]]:
        """Records, then versions, then what jobs and people made of them. Repeated, records come in the same parts."""
        for number, chunk in enumerate(chunks(uids, UIDS_A_PART)):
            yield {"area": RECORDS, "number": number, "uids": chunk}
            yield {"area": PROJECTS, "number": number, "uids": chunk}
        tenant, wanted = deletion.tenant, frozenset(uids)
        concerned, others = set(), []
        for version_id in self._copies.ids(tenant, VERSIONS):
            if self._copies.concerns_version(tenant, version_id, wanted, deletion.id):
                concerned.add(version_id)
                yield {"area": VERSIONS, "ids": [version_id]}
            else:
                others.append(version_id)
        for chunk in chunks(others, VERSIONS_A_PART):
            yield {"area": VERSIONS, "ids": chunk}
        for area in FOLDERS:
            for chunk in chunks(self._copies.ids(tenant, area), FOLDERS_A_PART):
                yield {"area": area, "ids": chunk, "versions": sorted(concerned)}
        yield {"area": SPLIT_LISTS, "ids": []}
        yield {"area": TASKS, "ids": [kind for kind in KINDS if kind != "delete"]}

    def _touched(self, deletion: Deletion) -> set[str]:
        """Versions from which this deletion took images, as its parts say."""
        changed = (entry for done in self._results(deletion) for entry in done.get("changed", []))
        return {entry["version_id"] for entry in changed if "version_id" in entry}

    def _results(self, deletion: Deletion) -> list[dict[str, Any]]:
        keys: Iterable[str] = sorted(key for key, _ in self._artifacts.keys(f"{deletion.prefix}/done/"))
        return [json.loads(self._artifacts.get(key)) for key in keys]

    def _uids(self, deletion: Deletion) -> list[str]:
        found: list[str] = json.loads(self._artifacts.get(f"{deletion.prefix}/request.json"))["uids"]
        return found

    def _begin(self, tenant: str, task_id: str, phase: str) -> Deletion:
        self._tasks.begin(self._tasks.read(tenant, task_id), phase)
        return self._of_task(tenant, task_id)

    def _of_task(self, tenant: str, task_id: str) -> Deletion:
        task = self._tasks.read(tenant, task_id)
        if task.kind != "delete":
            raise NotFound("deletion", task_id)
        return self._deletions.get(tenant, str(task.parameters["deletion_id"]))
