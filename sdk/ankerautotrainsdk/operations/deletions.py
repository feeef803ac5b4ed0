"""Deletion of images for good, and retention policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ankerautotrainsdk.operations.base import checked_dict, without_none
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import Page, Record, Task
from ankerautotrainsdk.transport import path as route


class DeletionCalls(TaskCalls):
    """Calls that delete; all need the scope `admin`."""

    def delete_images(
        self,
        uids: Sequence[str] | None = None,
        reason: str = "",
        *,
        query_id: str | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Delete up to 1,000 images for good, with their annotations, from every version and everything made of them.

        uids, or query_id: what a saved query finds now. reason: why; it goes into the receipt. Without wait the
        answer's `deletion` has deletion_id, and names uids that are unknown or were deleted before; a finished task has
        deletion_id in its result, and get_deletion says the rest. The same images again are the same deletion.
        Raises InvalidInput, NotFound (none of them is known), LimitExceeded.
        """
        body = without_none(uids=uids and list(uids), query_id=query_id) | {"reason": reason}
        return self._maybe_wait(self._start("/deletions", body), wait, timeout_s)

    def list_deletions(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """Deletions, newest first, without their receipts."""
        return self._page("/deletions", Record, limit=limit, cursor=cursor)

    def get_deletion(self, deletion_id: str) -> Record:
        """One deletion; `receipt` says what was removed and verified, and is None until it is done. Raises NotFound."""
        return Record(self._transport.get(route("deletions", deletion_id)))

    def save_retention_policy(
        self,
        name: str,
        older_than_days: int,
        *,
        where: Mapping[str, Any] | None = None,
        spare: str | None = None,
        limit: int | None = None,
        enabled: bool | None = None,
        comment: str | None = None,
    ) -> Record:
        """Delete files by themselves: those that match `where` (as a search) and were first seen so long ago.

        spare: nothing, released (the default), models or versions: files that those were made of stay. limit: files that
        one run deletes at most. It runs once a day from when it is enabled. Raises InvalidInput, Conflict, LimitExceeded.
        """
        body = without_none(
            name=name,
            older_than_days=older_than_days,
            where=where and checked_dict(where, "where"),
            spare=spare,
            limit=limit,
            enabled=enabled,
            comment=comment,
        )
        return Record(self._transport.post_keyed("/retention", body))

    def list_retention_policies(self) -> list[Record]:
        """All policies, newest first."""
        return [Record(each) for each in self._transport.get("/retention")["items"]]

    def get_retention_policy(self, policy_id: str) -> Record:
        """One policy; `runs` has what its last runs did. Raises NotFound."""
        return Record(self._transport.get(route("retention", policy_id)))

    def change_retention_policy(self, policy_id: str, **changes: Any) -> Record:
        """Change where, older_than_days, spare, limit, enabled or comment. Raises NotFound, InvalidInput."""
        return Record(self._transport.put(route("retention", policy_id), changes))

    def delete_retention_policy(self, policy_id: str) -> None:
        """Forget a policy; what it deleted stays deleted. Raises NotFound."""
        self._transport.delete(route("retention", policy_id))

    def try_retention_policy(self, policy_id: str) -> Record:
        """What the policy would delete now: matched, spared, to_delete, uids. Deletes nothing. Raises NotFound."""
        return Record(self._transport.post(route("retention", policy_id, "dry-run"), {}))
