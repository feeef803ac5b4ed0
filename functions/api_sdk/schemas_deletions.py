"""Deletions and retention policies: what clients send, what they get (pydantic; no handler imports this)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api_sdk import answers
from api_sdk.requests import Request
from api_sdk.schemas_search import Where

Json = dict[str, Any]
Spare = Literal["nothing", "released", "models", "versions"]


class DeleteImages(Request):
    """Either uids or query_id."""

    uids: list[str] | None = Field(None, min_length=1, max_length=1000)
    query_id: str | None = Field(None, description="A saved query: what it finds now.")
    reason: str = Field(min_length=1, max_length=1000, description="Goes into the receipt.")


class SavePolicy(Request):
    name: str
    where: Where | None = Field(None, description="As a search, but without first_day, last_day and near.")
    older_than_days: int = Field(ge=1, le=36500, description="Days since the file was first seen.")
    spare: Spare = Field("released", description="Files in versions that these were made of stay.")
    limit: int = Field(1000, ge=1, le=1000, description="Files that one run deletes at most.")
    enabled: bool = False
    comment: str | None = None


class ChangePolicy(Request):
    where: Where | None = None
    older_than_days: int | None = Field(None, ge=1, le=36500)
    spare: Spare | None = None
    limit: int | None = Field(None, ge=1, le=1000)
    enabled: bool | None = None
    comment: str | None = None


class Deletion(answers.Answer):
    deletion_id: str
    status: Literal["REQUESTED", "ERASING", "DONE"]
    reason: str
    requested_by: str
    created_at: str
    count: int
    task_id: str
    policy_id: str | None
    late_of: str | None
    marked_at: str | None
    finished_at: str | None
    receipt_sha256: str | None
    unknown: list[str]
    already: dict[str, str]
    summary: Json


class DeletionTask(answers.Task):
    deletion: Deletion


class DeletionPage(answers.Answer):
    items: list[Deletion]
    cursor: str | None


class DeletionWithReceipt(Deletion):
    receipt: Json | None


class PolicyRun(answers.Answer):
    at: str
    dry: bool
    matched: int
    spared: int
    is_cut: bool
    deletion_id: str | None
    scanned: int
    to_delete: int
    uids: list[str]


class Policy(answers.Answer):
    policy_id: str
    name: str
    where: Json
    older_than_days: int
    spare: Spare
    limit: int
    enabled: bool
    comment: str
    created_at: str
    updated_at: str | None
    last_run_at: str | None


class PolicyWithRuns(Policy):
    runs: list[PolicyRun]


class Policies(answers.Answer):
    items: list[Policy]


class DeletedPolicy(answers.Answer):
    policy_id: str
    deleted: bool


ROUTES: dict[tuple[str, str], tuple[type[Request] | None, type[answers.Answer] | None, int]] = {
    ("POST", "/api/v1/deletions"): (DeleteImages, DeletionTask, 202),
    ("GET", "/api/v1/deletions"): (None, DeletionPage, 200),
    ("GET", "/api/v1/deletions/<deletion_id>"): (None, DeletionWithReceipt, 200),
    ("POST", "/api/v1/retention"): (SavePolicy, Policy, 201),
    ("GET", "/api/v1/retention"): (None, Policies, 200),
    ("GET", "/api/v1/retention/<policy_id>"): (None, PolicyWithRuns, 200),
    ("PUT", "/api/v1/retention/<policy_id>"): (ChangePolicy, Policy, 200),
    ("DELETE", "/api/v1/retention/<policy_id>"): (None, DeletedPolicy, 200),
    ("POST", "/api/v1/retention/<policy_id>/dry-run"): (None, PolicyRun, 200),
}
