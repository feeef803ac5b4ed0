"""Retention policies: which files are deleted by themselves, after how long, and what spares them (docs/deletion.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from dataloop.domain.datasets import check_name
from dataloop.domain.erasure import MAX_UIDS
from dataloop.domain.errors import InvalidInput
from dataloop.domain.search import Where, make_where
from dataloop.domain.times import to_text

MAX_DAYS = 36_500
# Policies of one tenant: each is a search over all its files once a day.
MAX_POLICIES = 50
# What is spared although it matches: files in versions that a released model, any model, or any version was made of.
SPARES = ("nothing", "released", "models", "versions")
# Ages are counted by the policy itself, and nobody can say what a deleted file looked like.
_NOT_IN_POLICIES = ("first_day", "last_day", "near", "distance")


@dataclass(frozen=True, slots=True)
class Policy:
    """`where`: as a search has it. older_than_days: since the file was first seen. limit: deleted by one run at most.

    A policy that is not enabled only runs when somebody asks for a dry run.
    """

    tenant: str
    id: str
    name: str
    where: Mapping[str, Any]
    older_than_days: int
    created_at: str
    spare: str = "released"
    limit: int = MAX_UIDS
    enabled: bool = False
    comment: str = ""
    updated_at: str | None = None
    last_run_at: str | None = None

    def cutoff(self, now: datetime) -> str:
        """Files first seen before this time are old enough."""
        return to_text(now - timedelta(days=self.older_than_days))


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """What one run of a policy found and did. dry: it only looked. uids: the first hundred of what it deletes."""

    tenant: str
    policy_id: str
    at: str
    dry: bool
    matched: int
    spared: int
    uids: tuple[str, ...]
    is_cut: bool
    deletion_id: str | None = None
    scanned: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_policy(tenant: str, id: str, at: str, body: object) -> Policy:
    """Read a client's policy. Raises InvalidInput(field)."""
    if not isinstance(body, Mapping):
        raise InvalidInput("policy", "must be an object", body)
    made = Policy(tenant, id, check_name(body.get("name"), "name"), {}, 0, at)
    return changed_policy(made, {"where": None, "older_than_days": None, **body})


def changed_policy(policy: Policy, body: object) -> Policy:
    """With the fields that the body names changed; the name stays. Raises InvalidInput(field)."""
    if not isinstance(body, Mapping):
        raise InvalidInput("policy", "must be an object", body)
    read: dict[str, Any] = {}
    if "where" in body:
        read["where"] = _where(body["where"]).to_json()
    if "older_than_days" in body:
        read["older_than_days"] = _whole(body["older_than_days"], "older_than_days", 1, MAX_DAYS)
    if body.get("limit") is not None:
        read["limit"] = _whole(body["limit"], "limit", 1, MAX_UIDS)
    if body.get("spare") is not None:
        if body["spare"] not in SPARES:
            raise InvalidInput("spare", f"must be one of {', '.join(SPARES)}", body["spare"])
        read["spare"] = body["spare"]
    if body.get("enabled") is not None:
        if not isinstance(body["enabled"], bool):
            raise InvalidInput("enabled", "must be true or false", body["enabled"])
        read["enabled"] = body["enabled"]
    if body.get("comment") is not None:
        if not isinstance(body["comment"], str) or len(body["comment"]) > 1_000:
            raise InvalidInput("comment", "must be a text of at most 1,000 characters", body["comment"])
        read["comment"] = body["comment"]
    return replace(policy, **read)


def _where(value: object) -> Where:
    where = make_where(value)
    given = where.to_json()
    for name in _NOT_IN_POLICIES:
        if name in given and name != "distance":
            raise InvalidInput(f"where.{name}", "cannot be part of a policy: the age is older_than_days", given[name])
    return where


def _whole(value: object, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(name, f"must be a whole number from {least} to {most}", value)
    return value
