"""What an iteration learnt from, as digests: has anything changed since?

Which images have which tags is in the term index: a digest of a few bitmaps, exact and quick. Where boxes are is only in
the images' rows. A change of them changes the versions of the index's blocks, too, so the rows are read only when tags and
images are as before and those versions are not: a box may have been drawn and taken away again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.projects import ROWS_A_BLOCK, Image, Iteration, Project, Tag
from dataloop.domain.terms import tag_term
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.terms import TermIndex
from dataloop.services.browsing import BrowsingService, ImageSource

# What decides a training besides the images.
CONFIGURATION = (
    "task_type",
    "architecture",
    "domain_id",
    "classification_type",
    "training",
    "budget_hours",
    "base",
    "augmentation",
)
# Blocks of 256 rows that are read at a time: a read waits for the network, decoding shares one CPU.
READERS = 8
# Rows that a request has time to read (0.25 ms of CPU each): beyond it boxes count as changed, and a training starts.
MAX_COMPARED = 20_000


class LearntContent:
    """Compares a workspace with what an iteration froze."""

    def __init__(self, images: ImageRepository, terms: TermIndex, browsing: BrowsingService) -> None:
        self._images = images
        self._terms = terms
        self._browsing = browsing

    def is_unchanged(self, project: Project, tags: Sequence[Tag], info: Mapping[str, Any], last: Iteration) -> bool:
        """True when a training would see what the last one saw: configuration, tags, images, boxes.

        Cost: 1 read a tag and 65,536 images, for boxes twice that; and 1 read per 256 images when the rest is the same but
        something was changed meanwhile. Above 20,000 boxed images that counts as changed.
        """
        before = last.info.get("learnt") or {}
        source = self._browsing.workspace(project)
        if before.get("tags") != tags_digest(source, tags, info):
            return False
        if project.task_type != "detection" or before.get("versions") == self.versions_digest(project, tags):
            return True
        boxed = sorted({ordinal for tag in tags for ordinal in source.bitmap(tag_term(tag.id))})
        if len(boxed) > MAX_COMPARED:
            return False
        return bool(before.get("boxes") == boxes_digest(self._blocks(project, boxed), {tag.id for tag in tags}))

    def versions_digest(self, project: Project, tags: Sequence[Tag]) -> str:
        """Over the versions of the tags' blocks. Taken before rows are read, it is of them or of older ones."""
        found = {tag.id: self._terms.versions(project.tenant, project.id, tag_term(tag.id)) for tag in tags}
        return hashlib.sha256(canonical_json(found)).hexdigest()

    def _blocks(self, project: Project, ordinals: Iterable[int]) -> Iterator[list[Image]]:
        numbers = sorted({ordinal // ROWS_A_BLOCK for ordinal in ordinals})
        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(lambda number: self._images.block(project.tenant, project.id, number), numbers)


def tags_digest(source: ImageSource, tags: Sequence[Tag], info: Mapping[str, Any]) -> str:
    """Over the configuration, the tags and the images that have each. Ordinals are never given out again."""
    found = hashlib.sha256(canonical_json({name: info.get(name) for name in CONFIGURATION}))
    for tag in sorted(tags, key=lambda tag: tag.id):
        found.update(canonical_json([tag.id, tag.name, tag.kind]))
        found.update(source.bitmap(tag_term(tag.id)).to_array())
    return found.hexdigest()


def boxes_digest(blocks: Iterable[Iterable[Image]], tag_ids: Iterable[str]) -> str:
    """Over the boxes of these tags, image by image; blocks in the order of their ordinals."""
    return combined(block_digest(images, tag_ids) for images in blocks)


def block_digest(images: Iterable[Image], tag_ids: Iterable[str]) -> bytes:
    """Over the boxes of some images, b"" when they have none."""
    wanted, found, is_empty = set(tag_ids), hashlib.sha256(), True
    for image in sorted(images, key=lambda image: image.ordinal):
        boxes = sorted([region.tag_id, *region.box] for region in image.regions if region.tag_id in wanted)
        if boxes:
            is_empty = False
            found.update(canonical_json([image.ordinal, boxes]))
    return b"" if is_empty else found.digest()


def combined(digests: Iterable[bytes]) -> str:
    """The digest of blocks, in the order of their ordinals; empty ones do not count."""
    found = hashlib.sha256()
    for digest in digests:
        found.update(digest)
    return found.hexdigest()
