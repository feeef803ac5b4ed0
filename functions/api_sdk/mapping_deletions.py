"""Pure translation between deletions, retention policies and the SDK's JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from api_sdk import mapping

if TYPE_CHECKING:
    from dataloop.domain.erasure import Deletion
    from dataloop.domain.retention import Policy, PolicyRun
    from dataloop.domain.tasks import Task

Json = dict[str, Any]
_DELETION = (
    "status",
    "reason",
    "requested_by",
    "created_at",
    "count",
    "task_id",
    "policy_id",
    "late_of",
    "marked_at",
    "finished_at",
    "receipt_sha256",
)


def deletion(found: Deletion) -> Json:
    return {
        "deletion_id": found.id,
        **{name: getattr(found, name) for name in _DELETION},
        "unknown": list(found.unknown),
        "already": dict(found.already),
        "summary": dict(found.summary),
    }


def requested(found: Deletion, task: Task) -> Json:
    """The task, as every other request that takes a while answers, and the deletion beside it."""
    return mapping.task(task) | {"deletion": deletion(found)}


def policy(found: Policy) -> Json:
    body = {name: value for name, value in asdict(found).items() if name not in ("tenant", "id")}
    return {"policy_id": found.id, **body}


def run(found: PolicyRun) -> Json:
    names = ("at", "dry", "matched", "spared", "is_cut", "deletion_id", "scanned")
    return {name: getattr(found, name) for name in names} | {
        "to_delete": found.facts.get("to_delete", 0),
        "uids": list(found.uids),
    }
