"""Workspaces for the suites of projects: images without bytes, tagged and boxed, and tasks run to their end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dataloop.domain.projects import Image, Iteration, Project, Region, Tag, numbered_id
from dataloop.domain.terms import Term
from dataloop.services.snapshots import prefix_of
from tests.core import Core

MOST_STEPS = 200


def make(core: Core, name: str = "animals", task_type: str = "multilabel_classification", **more: Any) -> Project:
    made: Project = core.services.projects.create("default", name, task_type=task_type, **more)
    return made


def fill(
    core: Core, project: Project, count: int, tags: Mapping[int, list[Tag]] | None = None, boxed: Tag | None = None
) -> list[Image]:
    """So many images whose content is their number; tags: number modulo two → tags; boxed: a box of it in each."""
    found: list[Image] = []
    for start in range(0, count, 256):
        size = min(256, count - start)
        first = core.stores.images.reserve(project.tenant, project.id, size)
        images = [_image(core, project, first + number, tags or {}, boxed) for number in range(size)]
        found += [stored.image for stored in core.services.tagging.store(project, images)]
    return found


def _image(core: Core, project: Project, ordinal: int, tags: Mapping[int, list[Tag]], boxed: Tag | None) -> Image:
    at, uid = core.clock.text(), hashlib.sha256(str(ordinal).encode()).hexdigest()[:32]
    moment = int(core.clock.now().timestamp() * 1000)
    regions = () if boxed is None else (Region(core.clock.new_id(), boxed.id, 0.1, 0.2, 0.3, 0.4, at),)
    return Image(
        tenant=project.tenant,
        project_id=project.id,
        id=numbered_id(moment, ordinal, core.clock.random(6)),
        ordinal=ordinal,
        uid=uid,
        key=f"projects/{uid}.jpg",
        version_id="v1",
        width=40,
        height=30,
        created_at=at,
        tags={tag.id: at for tag in tags.get(ordinal % 2, [])},
        regions=regions,
        metadata={"site": "north" if ordinal % 2 else "south"},
    )


def run_batch(core: Core, task_id: str) -> int:
    """The machine's loop; returns how many steps it took."""
    for count in range(1, MOST_STEPS):
        if core.again().project_batches.step("default", task_id)["is_done"]:
            return count
    raise AssertionError("the steps do not come to an end")


def count(core: Core, project: Project, term: str = "all") -> int:
    """How many images have a term, by the index."""
    browsing = core.services.browsing
    found: int = browsing.count(browsing.workspace(project), Term(term))
    return found


def traces(core: Core, project_id: str) -> list[str]:
    """The keys of every item that names a project, without its tasks."""
    return [
        f"{item['pk']} {item['sk']}"
        for item in core.items()
        if project_id in f"{item['pk']} {item['sk']}" and "|TASK#" not in item["pk"]
    ]


def freeze(core: Core, project: Project, number: int = 1, name: str = "") -> Iteration:
    """A COMPLETED iteration that was trained on the workspace as it is, published when it has a name; no model."""
    at, id = core.clock.text(), core.clock.new_id()
    tags = tuple(asdict(tag) for tag in core.services.projects.tags(project))
    prefix = prefix_of(project.tenant, project.id, id)
    images = core.stores.images
    rows = [row for block in range(4) for row in images.block(project.tenant, project.id, block)]
    core.services.snapshots.write_part(prefix, 0, rows)
    core.services.snapshots.finish(prefix, 1)
    begun = core.stores.iterations.begin(
        Iteration(
            project.tenant,
            id,
            project.id,
            f"Iteration {number}",
            number,
            "TRAINING",
            id,
            at,
            at,
            tags=tags,
            snapshot=prefix,
            info=dict(project.info),
        )
    )
    ended: Iteration = core.stores.iterations.end(begun, "COMPLETED", at, trained_at=at)
    if not name:
        return ended
    published: Iteration = core.services.iterating.publish(project, id, name, "/subscriptions/s/prediction", False)
    return published
