"""Deletion of images: what is asked for, what it touched, what follows from it, and the receipt (docs/deletion.md)."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.canonical import digest
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.ids import check_uid, derived_uuid
from dataloop.domain.models import Model

# Ours: a request of this size is done within minutes, and its receipt still fits into a page of a person's time.
MAX_UIDS = 1_000
MAX_REASON = 1_000
# An HTTP request that looked before the mark has ended by then (API Gateway, HTTP API quotas: 30 s).
QUIET_S = 30
RECEIPT_FORMAT = 1
# What no deletion can reach at once: (what, why, until when).
REMAINS = (
    ("tombstones", "uid and SHA-256 of the row, so that the version's digest can still be checked", "for good"),
    ("the mark on the record", "uid and the time of erasure, so that late copies are refused", "for good"),
    ("ids of removed annotations in member lists", "a hash of a statement that is gone", "for good"),
    ("point-in-time recovery of the table", "DynamoDB keeps it and lets nobody edit it", "35 days"),
    ("records in the table's stream", "DynamoDB keeps them", "24 hours"),
    ("logs", "may name uids and file names", "as long as the stack keeps logs (30 days by default)"),
    ("idempotency records", "ids and hashes only", "hours"),
    ("weights of models that learnt from it", "see `models`: roll back or train again", "until you delete the model"),
    ("label files in the raw bucket", "may name the image's file; they are not read again", "yours to remove"),
    ("copies outside of this service", "downloads, links that were followed, subscribers of events", "yours to remove"),
)


@dataclass(frozen=True, slots=True)
class Deletion:
    """One request to erase. Its list of uids is in S3 (`prefix`/request.json): a thousand are too many for an item.

    status: REQUESTED | ERASING | DONE | FAILED. unknown: uids that nobody knows; already: uids erased before.
    late_of: the deletion that this one completes, after an older copy turned up.
    """

    tenant: str
    id: str
    status: str
    reason: str
    requested_by: str
    created_at: str
    count: int
    task_id: str
    attempt: int = 1
    policy_id: str | None = None
    late_of: str | None = None
    unknown: tuple[str, ...] = ()
    already: Mapping[str, str] = field(default_factory=dict)
    marked_at: str | None = None
    swept_at: str | None = None
    finished_at: str | None = None
    receipt_sha256: str | None = None
    receipt_key: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    updated_at: str | None = None

    @property
    def prefix(self) -> str:
        """Where its files lie in the artifacts bucket."""
        return f"{self.tenant}/deletions/{self.id}"


def check_uids(value: object) -> list[str]:
    """Distinct uids in order. Raises InvalidInput(uids), LimitExceeded."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise InvalidInput("uids", "must be a non-empty list of uids", value)
    if len(value) > MAX_UIDS:
        raise LimitExceeded("uids", MAX_UIDS, len(value))
    return sorted({check_uid(entry, "uids") for entry in value})


def check_reason(value: object) -> str:
    """Raises InvalidInput(reason), LimitExceeded: a receipt without a reason convinces nobody."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("reason", "must say in a few words why these images are deleted", value)
    if len(value) > MAX_REASON:
        raise LimitExceeded("reason: characters", MAX_REASON, len(value))
    return value


def deletion_id(uids: Iterable[str], generations: Mapping[str, str]) -> str:
    """The same images in the same life have one deletion; after a new upload it is another one.

    generations: by uid when it was uploaded again after an erasure, if ever.
    """
    return derived_uuid(0, "deletion", sorted(uids), sorted(generations.items()))


@dataclass(frozen=True, slots=True)
class Touch:
    """A model that saw erased images: how, and through which version. splits: how many images in each split."""

    model: Model
    how: str  # learnt | judged | inherited
    version_id: str
    splits: Mapping[str, int]


def touched_models(models: Iterable[Model], erased: Mapping[str, Mapping[str, int]]) -> list[Touch]:
    """Which models the erased images went into.

    erased: by version id the number of erased images by split. A model learnt from train and val of its dataset version,
    and was judged by test; whoever began with the weights of a model that learnt from them inherited it.
    """
    found: dict[str, Touch] = {}
    known = {model.id: model for model in models}
    for model in known.values():
        learnt, judged = _splits(model.dataset, erased), _splits(model.test, erased)
        seen = {split: count for split, count in learnt.items() if split != "test" and count}
        if seen:
            found[model.id] = Touch(model, "learnt", str(model.dataset["version_id"]), seen)
        elif judged.get("test"):
            found[model.id] = Touch(model, "judged", str(model.test["version_id"]), {"test": judged["test"]})
    pending = [touch.model.id for touch in found.values() if touch.how == "learnt"]
    children: dict[str, list[Model]] = {}
    for model in known.values():
        if model.parent_model_id:
            children.setdefault(model.parent_model_id, []).append(model)
    while pending:
        parent_id = pending.pop()
        for child in children.get(parent_id, []):
            if child.id not in found or found[child.id].how == "judged":
                found[child.id] = Touch(child, "inherited", found[parent_id].version_id, found[parent_id].splits)
                pending.append(child.id)
    return [found[id] for id in sorted(found)]


def _splits(named: Mapping[str, Any], erased: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
    return erased.get(str(named.get("version_id")), {})


def train_command(touch: Touch) -> str:
    """The command that trains such a model again, on the cleaned version."""
    model = touch.model
    words = [f"dataloop train {model.dataset['version_id']}", f"--task-type {model.task_type}"]
    words.append(f"--architecture {model.architecture}")
    words += [f"-p {shlex.quote(f'{name}={value}')}" for name, value in sorted(model.parameters.items())]
    return " ".join(words)


def sealed(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt with its own digest: SHA-256 of its canonical JSON without the field `sha256`."""
    body = {name: value for name, value in receipt.items() if name != "sha256"}
    return {**body, "sha256": digest(body)}


def is_sealed(receipt: Mapping[str, Any]) -> bool:
    """Is the receipt as it was issued?"""
    return bool(sealed(receipt)["sha256"] == receipt.get("sha256"))
