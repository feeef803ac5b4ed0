"""Snapshots: the images of a project as an iteration learnt from them (design §5.3, last paragraph)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.projects import Image, Iteration, Region, Tag
from dataloop.gateways.objects import Bucket
from dataloop.manifests.frozen import BLOCKS_A_PART, ROWS_A_PART
from dataloop.services.frozen_files import FrozenFiles, FrozenRow, folder_of, performance_prefix_of, prefix_of
from dataloop.services.frozen_reading import FrozenCache, FrozenSource
from dataloop.services.snapshot_erasure import SnapshotForgetter

__all__ = ["BLOCKS_A_PART", "ROWS_A_PART", "Frozen", "SnapshotService", "SnapshotSource", "folder_of", "prefix_of"]


@dataclass(frozen=True, slots=True)
class Frozen:
    """A finished snapshot. tag_counts: tag id → images that have it, for tags that any image has."""

    prefix: str
    images: int
    tag_counts: Mapping[str, int]


class SnapshotSource:
    """The images of one snapshot: services/browsing.py's ImageSource."""

    def __init__(self, frozen: FrozenSource, tenant: str, project_id: str) -> None:
        self._frozen = frozen
        self._owner = tenant, project_id

    def bitmap(self, term: str) -> BitMap:
        """The ordinals that had a term. 1 GET at most."""
        return self._frozen.bitmap(term)

    def rows(self, ordinals: Iterable[int]) -> list[Image]:
        """The images in the order asked, without what is not there. 1 GET for neighbours."""
        return [image_of(*self._owner, row) for row in self._frozen.rows(ordinals)]

    def by_ids(self, ids: Sequence[str]) -> list[Image]:
        """The images in the order asked, without what is not there."""
        return [image_of(*self._owner, row) for row in self._frozen.by_ids(ids)]


class SnapshotService:
    """Writes, opens and removes snapshots. They lie in S3 alone: no call of DynamoDB."""

    def __init__(self, artifacts: Bucket, cache: FrozenCache) -> None:
        self._artifacts = artifacts
        self._files = FrozenFiles(artifacts)
        self._cache = cache

    def write_part(self, prefix: str, part: int, images: Iterable[Image]) -> int:
        """Freeze the images of one part: those with ordinal // ROWS_A_PART == part, ascending. Answers how many.

        3 PUTs, memory of one part. May be repeated and run twice at once: the later whole one counts. A part without
        images is written too, so that a missing one is noticed.
        """
        return self._files.write_part(prefix, part, map(_frozen_row, images))

    def finish(self, prefix: str, parts: int) -> Frozen:
        """Make one snapshot of the parts 0 … parts - 1; a finished one answers at once.

        Raises NotFound(object) when a part was never written. Cost: see FrozenFiles.finish.
        """
        found = self._files.finish(prefix, parts)
        self._cache.forget_directory(prefix)
        return Frozen(prefix, found.images, found.tags)

    def open(self, iteration: Iteration) -> SnapshotSource:
        """The images an iteration learnt from. Raises IllegalTransition(iteration) while they are not frozen. ≤ 1 GET."""
        return SnapshotSource(self._source(iteration), iteration.tenant, iteration.project_id)

    def tags(self, iteration: Iteration) -> list[Tag]:
        """The project's tags as they were, counting the images of the snapshot. Raises as `open` does."""
        counts = self._source(iteration).directory.tags
        return [
            Tag(
                tenant=iteration.tenant,
                project_id=iteration.project_id,
                id=tag["id"],
                name=tag["name"],
                created_at=tag.get("created_at", iteration.created_at),
                kind=tag.get("kind", "regular"),
                description=tag.get("description", ""),
                image_count=counts.get(tag["id"], 0),
            )
            for tag in iteration.tags
        ]

    def tag(self, iteration: Iteration, tag_id: str) -> Tag:
        """One of them. Raises NotFound(tag), and as `open` does."""
        found = next((tag for tag in self.tags(iteration) if tag.id == tag_id), None)
        if found is None:
            raise NotFound("tag", tag_id)
        return found

    def forget(self, iteration: Iteration, uids: Collection[str], ordinals: Iterable[int] | None = None) -> int:
        """Remove content from an iteration's snapshot and performance. See SnapshotForgetter.forget."""
        try:
            return SnapshotForgetter(self._artifacts).forget(iteration, uids, ordinals)
        finally:
            self._forget_directories(iteration.tenant, iteration.project_id, iteration.id)

    def remove(self, tenant: str, project_id: str, iteration_id: str) -> None:
        """Remove everything frozen of an iteration; what is gone already is no error. 2 calls per 1,000 objects."""
        folder = folder_of(tenant, project_id, iteration_id)
        self._artifacts.delete([key for key, _ in self._artifacts.keys(f"{folder}/")])
        self._forget_directories(tenant, project_id, iteration_id)

    def _forget_directories(self, *iteration: str) -> None:
        for prefix in (prefix_of(*iteration), performance_prefix_of(*iteration)):
            self._cache.forget_directory(prefix)

    def _source(self, iteration: Iteration) -> FrozenSource:
        prefix = iteration.snapshot or prefix_of(iteration.tenant, iteration.project_id, iteration.id)
        source = FrozenSource(self._artifacts, self._cache, prefix)
        try:
            _ = source.directory
        except NotFound:
            raise IllegalTransition("iteration", iteration.id, iteration.status, "reading its images") from None
        return source


def image_row(image: Image) -> dict[str, Any]:
    """An image as JSON; `image_of` reads it."""
    return {
        "id": image.id,
        "ordinal": image.ordinal,
        "uid": image.uid,
        "key": image.key,
        "version_id": image.version_id,
        "width": image.width,
        "height": image.height,
        "created_at": image.created_at,
        "tags": dict(image.tags),
        "regions": [[each.id, each.tag_id, *each.box, each.created_at] for each in image.regions],
        "metadata": dict(image.metadata),
        "revision": image.revision,
    }


def image_of(tenant: str, project_id: str, row: Mapping[str, Any]) -> Image:
    return Image(
        tenant=tenant,
        project_id=project_id,
        id=row["id"],
        ordinal=row["ordinal"],
        uid=row["uid"],
        key=row["key"],
        version_id=row["version_id"],
        width=row["width"],
        height=row["height"],
        created_at=row["created_at"],
        tags=row["tags"],
        regions=tuple(Region(*each) for each in row["regions"]),
        metadata=row["metadata"],
        revision=row["revision"],
    )


def _frozen_row(image: Image) -> FrozenRow:
    return FrozenRow(image.ordinal, image.terms, image_row(image))
