"""Releases of models, and the loops that make new ones without being asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ankerautotrainsdk.operations.base import without_none
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import Page, Record, Task
from ankerautotrainsdk.transport import path as route


class ReleaseCalls(TaskCalls):
    """Calls about releases and loops."""

    def release(
        self,
        model_id: str,
        name: str | None = None,
        *,
        require_approval: bool | None = None,
        force: bool | None = None,
        gate: Mapping[str, Any] | None = None,
        residency: Mapping[str, Any] | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Publish a model under a release name, when it passes the gate.

        name: what devices ask for; by default decided by the service.
        require_approval: hold until somebody approves (up to 7 days); force: publish although the gate says no.
        gate: {"margin", "max_class_drop", "min_primary", "slices", …} instead of the service's own thresholds;
        docs/evaluation.md has all fields.
        residency: {"regions": […], "max_security_level": …}: refuse a model that saw other data; force does not help.
        wait: return only when it is decided. A release that needs approval waits for it. A refusal is an answer:
        result.published is False, and result.verdict.reasons says why. TaskFailed is for what could not be decided.
        Raises NotFound, Conflict, GateRefused, ResidencyViolation, Forbidden (scope `release`).
        """
        body = without_none(
            model_id=model_id, name=name, require_approval=require_approval, force=force, gate=gate, residency=residency
        )
        return self._maybe_wait(Task(self._transport.post_keyed("/releases", body)), wait, timeout_s)

    def approve(self, release_id: str, comment: str | None = None) -> Record:
        """Approve a release that waits for it. Raises NotFound, IllegalTransition."""
        return self._decide(release_id, "approve", comment)

    def reject(self, release_id: str, comment: str | None = None) -> Record:
        """Reject a release that waits for approval. Raises NotFound, IllegalTransition."""
        return self._decide(release_id, "reject", comment)

    def list_releases(
        self, name: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Record]:
        """Releases (of a name), newest first."""
        return self._page("/releases", Record, limit=limit, cursor=cursor, name=name)

    def get_current_release(self, name: str) -> Record:
        """What is published under a name now. Raises NotFound."""
        return Record(self._transport.get(f"{route('releases', name)}/current"))

    def rollback(self, name: str) -> Record:
        """Go back to the release before the current one. Raises NotFound, IllegalTransition (there is none before)."""
        # Sent twice, it would go back two releases.
        return Record(self._transport.post_once(f"{route('releases', name)}/rollback"))

    def create_loop(self, loop: Mapping[str, Any] | None = None, /, **fields: Any) -> Record:
        """Set up retraining without a call.

        Fields, in one dict or as keywords: name, dataset_name, query {annotation_type, labels, sources, regions},
        thresholds {min_new, fraction, max_age_days, cooldown_s}, training, gate {margin, max_class_drop, min_primary, …},
        release_name, require_approval.
        Raises Conflict (name taken), InvalidInput.
        """
        return Record(self._transport.post_keyed("/loops", {**(loop or {}), **fields}))

    def get_loop(self, loop_id: str) -> Record:
        """A loop with its last decisions. Raises NotFound."""
        return Record(self._transport.get(route("loops", loop_id)))

    def list_loops(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """The loops."""
        return self._page("/loops", Record, limit=limit, cursor=cursor)

    def start_loop(
        self, loop_id: str, *, force: bool = False, wait: bool = False, timeout_s: float | None = None
    ) -> Task:
        """Run a loop now; force: even when there is not enough new by its thresholds. Raises NotFound, Conflict."""
        task = Task(self._transport.post_once(f"{route('loops', loop_id)}/start", {"force": force}))
        return self._maybe_wait(task, wait, timeout_s)

    def _decide(self, release_id: str, verdict: str, comment: str | None) -> Record:
        body = without_none(comment=comment)
        return Record(self._transport.post(f"{route('releases', release_id)}/{verdict}", body) or {})
