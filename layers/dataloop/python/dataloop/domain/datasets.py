"""Datasets, their versions and the segments that make up a version's membership."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain.errors import InvalidInput
from dataloop.domain.splits import SplitPolicy

# 200,000 ids of 24 characters are 5 MB, below Lambda's 6 MB request limit.
MAX_LINK_IDS = 200_000
# A clear name in a key and in a file name.
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named series of versions."""

    tenant: str
    id: str
    name: str
    created_at: str
    status: str = "ACTIVE"


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One version: a draft that accepts segments, or a built set that never changes again.

    info: what the client sent besides names (annotationType, modelType, versionType, bg, owner, remark, annotationBy).
    report: counts, labels, missing and flagged annotations, once built.
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
    base_version_id: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A set of annotation ids in S3 that belongs to a version. `is_base` marks the members of the version before."""

    version_id: str
    id: str
    key: str
    count: int
    created_at: str
    is_base: bool = False


def check_name(value: object, field_name: str) -> str:
    """A name of 1 to 200 printable characters without control characters. Raises InvalidInput."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field_name, "must be a non-empty text", value)
    if len(value) > MAX_NAME:
        raise InvalidInput(field_name, f"must have at most {MAX_NAME} characters", f"{len(value)} characters")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise InvalidInput(field_name, "must not hold control characters", value)
    return value
