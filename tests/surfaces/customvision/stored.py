"""Images in a project without their bytes: what tests of pages, counts and tags need hundreds of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from dataloop.domain.projects import Image, Iteration, Region, numbered_id
from dataloop.manifests.frozen import ROWS_A_PART
from dataloop.services.snapshots import prefix_of
from tests.core import Core


def store(
    core: Core,
    project_id: str,
    count: int,
    *,
    tags: Sequence[str] = (),
    boxes: Sequence[tuple[str, tuple[float, float, float, float]]] = (),
    metadata: Mapping[str, str] | None = None,
) -> list[str]:
    """The ids of `count` new images of a project, all with these tags, boxes and metadata; oldest first."""
    services = core.services
    project = services.projects.get("default", project_id)
    first = services.stores.images.reserve("default", project_id, count)
    images = []
    for ordinal in range(first, first + count):
        at, moment = core.clock.text(), int(core.clock.now().timestamp() * 1000)
        regions = tuple(
            Region(numbered_id(moment, ordinal, core.clock.random(6)), tag, *box, created_at=at) for tag, box in boxes
        )
        images.append(
            Image(
                tenant="default",
                project_id=project_id,
                id=numbered_id(moment, ordinal, core.clock.random(6)),
                ordinal=ordinal,
                uid=hashlib.sha256(f"{project_id} {ordinal}".encode()).hexdigest()[:32],
                key=f"tenants/default/projects/{project_id}/{ordinal}.png",
                version_id="1",
                width=640,
                height=480,
                created_at=at,
                tags=dict.fromkeys(tags, at),
                regions=regions,
                metadata=metadata or {},
            )
        )
    for start in range(0, count, 256):
        services.tagging.store(project, images[start : start + 256])
    return [image.id for image in images]


def freeze(core: Core, project_id: str, number: int = 1) -> str:
    """The id of a COMPLETED iteration that learnt from the workspace as it is: its snapshot and its tags, no model."""
    services = core.services
    project = services.projects.get("default", project_id)
    tags = tuple(
        {
            "id": each.id,
            "name": each.name,
            "kind": each.kind,
            "created_at": each.created_at,
            "image_count": each.image_count,
        }
        for each in services.projects.tags(project)
    )
    id, at = core.clock.new_id(), core.clock.text()
    prefix = prefix_of("default", project_id, id)
    parts = services.stores.images.last_ordinal("default", project_id) // ROWS_A_PART + 1
    for part in range(parts):
        blocks = range(part * ROWS_A_PART // 256, (part + 1) * ROWS_A_PART // 256)
        rows = [row for block in blocks for row in services.stores.images.block("default", project_id, block)]
        services.snapshots.write_part(prefix, part, rows)
    services.snapshots.finish(prefix, parts)
    name = f"Iteration {number}"
    begun = services.stores.iterations.begin(
        Iteration("default", id, project_id, name, number, "TRAINING", id, at, at, tags=tags, info=dict(project.info))
    )
    return services.stores.iterations.end(begun, "COMPLETED", at, trained_at=at, snapshot=prefix).id


def run_batches(core: Core) -> None:
    """What the machine project_batch does with every task that waits for it."""
    for item in core.entity("TASK"):
        task_id = str(item["id"])
        for _ in range(100):
            if core.services.project_batches.step("default", task_id)["is_done"]:
                break
