"""Models, their evaluations and releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Model:
    """One trained model. `dataset` names the version (id, name, version, digest) it learnt from: the root of lineage.

    holdings: the regions and security levels of all images it and its parents saw (domain/residency.py).
    touched_by: deletions of images that it learnt from or was judged by: {"deletion_id", "how", "splits", "at"}.
    """

    tenant: str
    id: str
    name: str
    version: str
    status: str
    task_type: str
    architecture: str
    dataset: Mapping[str, Any]
    test: Mapping[str, Any]
    task_id: str
    created_at: str
    prefix: str = ""
    report_prefix: str = ""
    labels: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    artifacts: tuple[Mapping[str, Any], ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model_package_arn: str | None = None
    parent_model_id: str | None = None
    updated_at: str | None = None
    holdings: Mapping[str, Any] = field(default_factory=dict)
    touched_by: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's numbers on the frozen test set of one dataset version."""

    tenant: str
    model_id: str
    version_id: str
    test_digest: str
    metrics: Mapping[str, Any]
    prefix: str
    created_at: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Release:
    """A model offered under a release name, with the verdict of its gate. residency: what its model may have seen.

    touched_by: as of its model.
    """

    tenant: str
    id: str
    name: str
    model_id: str
    status: str
    created_at: str
    task_id: str
    number: int = 0
    gate: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    require_approval: bool = False
    approval_token: str | None = None
    comment: str = ""
    previous_release_id: str | None = None
    updated_at: str | None = None
    residency: Mapping[str, Any] = field(default_factory=dict)
    touched_by: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ReleasePointer:
    """What a release name stands for now. `revision` grows with each move and guards the next one.

    moved_by and left_release_id: the request that rolled back to here, and from what; a repeat of it is known by them.
    """

    tenant: str
    name: str
    release_id: str
    model_id: str
    previous_release_id: str | None
    revision: int
    updated_at: str
    moved_by: str | None = None
    left_release_id: str | None = None
