"""Images of a project as plain values, frozen without anything else of the application."""

from __future__ import annotations

import random
from collections.abc import Sequence

from dataloop.domain.projects import Image, Iteration, Region, numbered_id
from dataloop.manifests.frozen import ROWS_A_PART
from dataloop.services.snapshots import SnapshotService, prefix_of

TENANT, PROJECT, ITERATION = "default", "0192f0c0-0000-8000-8000-00000000aaaa", "0192f0c0-0000-8000-8000-00000000bbbb"
TAGS = tuple({"id": f"tag-{name}", "name": name, "kind": "regular", "created_at": "then"} for name in "abc")
AT = "2026-11-22T12:00:00.000Z"


def image(ordinal: int, tags: Sequence[str] = (), regions: Sequence[str] = (), **metadata: str) -> Image:
    """tags, regions: names out of TAGS; each region is the middle of the image."""
    id = numbered_id(1_700_000_000_000 + ordinal, ordinal, b"random")
    return Image(
        tenant=TENANT,
        project_id=PROJECT,
        id=id,
        ordinal=ordinal,
        uid=f"{ordinal:064x}",
        key=f"raw/{ordinal}.png",
        version_id="v1",
        width=640,
        height=480,
        created_at=AT,
        tags={f"tag-{name}": AT for name in tags},
        regions=tuple(
            Region(f"{id}-{number}", f"tag-{name}", 0.25, 0.25, 0.5, 0.5, AT) for number, name in enumerate(regions)
        ),
        metadata=metadata,
    )


def some_images(count: int, seed: int = 0, every: int = 1) -> list[Image]:
    """Tagged at random; every: one ordinal of so many is taken."""
    rng = random.Random(seed)
    return [
        image(
            number * every,
            tags=[name for name in "ab" if rng.random() < 0.3],
            regions=["c"] * rng.randrange(3),
            camera=rng.choice(["left", "right"]),
        )
        for number in range(count)
    ]


def iteration(status: str = "COMPLETED", number: int = 1, **changes: object) -> Iteration:
    id = ITERATION[:-1] + str(number)
    values = {
        "tenant": TENANT,
        "id": id,
        "project_id": PROJECT,
        "name": f"Iteration {number}",
        "number": number,
        "status": status,
        "task_id": "task",
        "created_at": AT,
        "updated_at": AT,
        "tags": TAGS,
        "snapshot": prefix_of(TENANT, PROJECT, id),
    }
    return Iteration(**{**values, **changes})  # type: ignore[arg-type]


def freeze(snapshots: SnapshotService, images: Sequence[Image], into: Iteration | None = None) -> Iteration:
    """All images in parts, the later ones first, as steps side by side may write them."""
    into = into or iteration()
    parts = max((each.ordinal for each in images), default=-1) // ROWS_A_PART + 1
    for part in reversed(range(parts)):
        snapshots.write_part(into.snapshot, part, [each for each in images if each.ordinal // ROWS_A_PART == part])
    snapshots.finish(into.snapshot, parts)
    return into
