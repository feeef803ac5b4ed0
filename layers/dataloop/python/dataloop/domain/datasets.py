"""Datasets, their versions and the segments that make up a version's membership."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.errors import InvalidInput
from dataloop.domain.splits import SplitPolicy

# 200,000 ids of 24 characters are 5 MB, below Lambda's 6 MB request limit.
MAX_LINK_IDS = 200_000
# A clear name in a key and in a file name.
MAX_NAME = 200
# Tags are for people to remember. All of one version change in one transaction, which takes 100 writes (DynamoDB).
MAX_TAGS = 50
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named series of versions.

    info: what a surface keeps of it (description, labels with properties, sources, workspace, task type, …).
    tags: tag -> id of the version it stands for now. revision grows with each change of the tags and guards the next.
    status: ACTIVE, then DELETING (its name is free, its versions go), then DELETED.
    """

    tenant: str
    id: str
    name: str
    created_at: str
    status: str = "ACTIVE"
    info: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    updated_at: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One version: a draft that accepts segments, or a built set that never changes again.

    info: what the client sent besides names (annotationType, modelType, versionType, bg, owner, remark, annotationBy).
    report: counts, labels, missing and flagged annotations, once built.
    residency: which regions and security levels it may hold (domain/residency.py); {} is all.
    anchor_id: the version whose images keep their splits in this one. tags: those of its dataset that stand for it.
    erased: how many of its images were deleted for good since it was built.
    deletion: {"at", "by", "forced", "models"} of a deleted version; its files are gone then, and manifest_prefix with
    them, while names, digest and report stay for the lineage of what learnt from it.
    """

    tenant: str
    id: str
    dataset_id: str
    name: str
    version: str
    status: str
    created_at: str
    split: SplitPolicy
    info: Mapping[str, Any] = field(default_factory=dict)
    task_id: str | None = None
    digest: str | None = None
    manifest_prefix: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    residency: Mapping[str, Any] = field(default_factory=dict)
    base_version_id: str | None = None
    updated_at: str | None = None
    anchor_id: str | None = None
    tags: tuple[str, ...] = ()
    erased: int = 0
    deletion: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Segment:
    """A set of annotation ids in S3 that belongs to a version. `is_base` marks the members of the version before."""

    version_id: str
    id: str
    key: str
    count: int
    created_at: str
    is_base: bool = False

    @property
    def owner_id(self) -> str:
        """The version below whose prefix the ids lie: another one when the members were taken over from it."""
        return self.key.split("/")[2]


def check_name(value: object, field_name: str) -> str:
    """A name of 1 to 200 printable characters without control characters. Raises InvalidInput."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field_name, "must be a non-empty text", value)
    if len(value) > MAX_NAME:
        raise InvalidInput(field_name, f"must have at most {MAX_NAME} characters", f"{len(value)} characters")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise InvalidInput(field_name, "must not hold control characters", value)
    return value


def check_tag(value: object) -> str:
    """A tag: 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit. InvalidInput."""
    if not isinstance(value, str) or not TAG.fullmatch(value):
        raise InvalidInput("tag", "must be 1 to 64 letters, digits, dots, dashes or underscores", value)
    return value
