"""Images of a project as tests make them, without the bytes: rows and terms are all that browsing and tagging know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.projects import Image, Project, Region, numbered_id
from tests.core import Core

MILLISECONDS = 1_795_000_000_000  # a day in November 2026
AT = "2026-11-22T12:00:00.000Z"
Box = tuple[float, float, float, float]


def uid_for(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()[:32]


def new_project(core: Core, name: str = "birds", task_type: str = "multilabel_classification") -> Project:
    return core.services.projects.create("default", name, task_type=task_type)


def new_tags(core: Core, project: Project, *names: str, kind: str = "regular") -> list[str]:
    return [core.services.projects.create_tag(project, name, kind=kind).id for name in names]


def images_of(
    core: Core,
    project: Project,
    contents: Sequence[object],
    tag_ids: Sequence[str] = (),
    boxes: Sequence[tuple[str, Box]] = (),
    metadata: Mapping[str, str] | None = None,
) -> list[Image]:
    """New images, numbered but not written; each content names an image of its own."""
    first = core.stores.images.reserve(project.tenant, project.id, len(contents))
    found = []
    for ordinal, content in enumerate(contents, first):
        uid = uid_for(content)
        made: dict[str, Any] = {"key": f"projects/{project.id}/{uid}.jpg", "version_id": "1", "created_at": AT}
        image_id = numbered_id(MILLISECONDS, ordinal, core.clock.random(6))
        regions = tuple(
            Region(numbered_id(MILLISECONDS, ordinal, core.clock.random(6)), tag_id, *box, created_at=AT)
            for tag_id, box in boxes
        )
        found.append(
            Image(
                project.tenant,
                project.id,
                image_id,
                ordinal,
                uid,
                **made,
                width=640,
                height=480,
                tags=dict.fromkeys(tag_ids, AT),
                regions=regions,
                metadata=dict(metadata or {}),
            )
        )
    return found


def stored(core: Core, project: Project, contents: Sequence[object], **labels: Any) -> list[Image]:
    """New images, written and indexed."""
    return [each.image for each in core.services.tagging.store(project, images_of(core, project, contents, **labels))]
