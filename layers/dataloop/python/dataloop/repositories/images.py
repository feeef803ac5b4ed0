"""Images of projects: a row each, the numbers that order them, and in which projects content is (design §5.2).

An image's number (its ordinal) is given once and never again. Its id and those of its regions say it, so that each is
found by key.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from dataloop.domain.errors import Throttled
from dataloop.domain.projects import ROWS_A_BLOCK, Image, Region, ordinal_of
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import BATCH_GET, ConditionFailed, Table, TransactionFailed, Write

UNLESS_EXISTS = "attribute_not_exists(#pk)"
# DynamoDB calls of one request that run side by side; botocore keeps ten connections.
CALLS_AT_ONCE = 8
EDIT_TRIES = 10


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """That content is (is_live) or was an image of a project."""

    project_id: str
    ordinal: int
    image_id: str
    is_live: bool


class ImageRepository:
    """Reads are strongly consistent (S) unless they say otherwise."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def reserve(self, tenant: str, project_id: str, count: int) -> int:
        """Take `count` new ordinals; returns the first of them. What is not used stays empty. 1 call, 1 WRU."""
        item = self._table.update(keys.sequence(tenant, _sequence(project_id)), add={"n": count})
        return int(item["n"]) - count

    def last_ordinal(self, tenant: str, project_id: str) -> int:
        """S. How many ordinals were given out: every image's is below. 1 call."""
        item = self._table.get(keys.sequence(tenant, _sequence(project_id)))
        return int(item["n"]) if item else 0

    def forget_sequence(self, tenant: str, project_id: str) -> None:
        """Remove the counter of a project that has no image any more and gets none. 1 call."""
        self._table.delete(keys.sequence(tenant, _sequence(project_id)))

    def get(self, tenant: str, project_id: str, image_id: str) -> Image | None:
        """S. 1 call, 1 RRU per 4 KB."""
        found = self.get_many(tenant, project_id, [image_id])
        return found[0] if found else None

    def get_many(self, tenant: str, project_id: str, image_ids: Sequence[str]) -> list[Image]:
        """S. The existing ones, each once, in the order asked. 1 call per 100, side by side; 1 RRU per image of 4 KB."""
        ordinals = {id: ordinal for id in image_ids if (ordinal := ordinal_of(id)) is not None}
        rows = {row.id: row for row in self.rows(tenant, project_id, list(dict.fromkeys(ordinals.values())))}
        return [rows[id] for id in ordinals if id in rows]

    def rows(self, tenant: str, project_id: str, ordinals: Sequence[int], *, consistent: bool = True) -> list[Image]:
        """S, or E when not consistent. In the order asked; missing ones are left out.

        Cost: 1 call per 100, side by side; per image of 4 KB 1 RRU, or half of one.
        """
        wanted = [keys.image(tenant, project_id, ordinal) for ordinal in ordinals]
        chunks = [wanted[start : start + BATCH_GET] for start in range(0, len(wanted), BATCH_GET)]
        if not chunks:
            return []
        with ThreadPoolExecutor(min(CALLS_AT_ONCE, len(chunks))) as pool:
            answers = pool.map(lambda chunk: self._table.get_many(chunk, consistent=consistent), chunks)
            found = {item["ordinal"]: image_of(item) for items in answers for item in items}
        return [found[ordinal] for ordinal in ordinals if ordinal in found]

    def block(self, tenant: str, project_id: str, block: int) -> list[Image]:
        """S. All images of one block of 256 ordinals, ascending. 1 call per megabyte."""
        pk, _ = keys.image(tenant, project_id, block * ROWS_A_BLOCK)
        return [image_of(item) for item in self._table.query_all(pk, consistent=True)]

    def find(self, tenant: str, project_id: str, uids: Sequence[str]) -> dict[str, int]:
        """S. The ordinals of the images that have this content now. 1 call per 100, 1 RRU each."""
        wanted = {keys.images_of(tenant, uid): uid for uid in uids}
        items = self._table.get_many([(pk, project_id) for pk in wanted], consistent=True)
        return {wanted[item["pk"]]: item["image_ordinal"] for item in items}

    def projects_of(self, tenant: str, uid: str) -> Iterator[Whereabouts]:
        """S. Every image of every project that is or was this content. 1 call per megabyte."""
        for item in self._table.query_all(keys.images_of(tenant, uid), consistent=True):
            project_id, _, gone = item["sk"].partition("#")
            yield Whereabouts(project_id, item["image_ordinal"], item["image_id"], is_live=not gone)

    def add(self, images: Sequence[Image]) -> list[Image | int]:
        """Write new images, side by side. For content that the project has: the ordinal of the image that stands.

        Cost: 1 transaction each, 4 WRU for a row of 1 KB and the note where the content is.
        """
        if not images:
            return []
        with ThreadPoolExecutor(min(CALLS_AT_ONCE, len(images))) as pool:
            return list(pool.map(self._add, images))

    def _add(self, image: Image) -> Image | int:
        try:
            self._table.transact(
                [
                    self._table.write("Put", item=_item(image), condition=UNLESS_EXISTS),
                    self._table.write("Put", item=_note(image, image.project_id), condition=UNLESS_EXISTS),
                ]
            )
        except TransactionFailed as lost:
            stands = lost.failed.get(1)
            if not stands:
                raise
            if stands["image_id"] != image.id:
                return int(stands["image_ordinal"])
        return image

    def edit(self, image: Image, change: Callable[[Image], Image]) -> tuple[Image, Image] | None:
        """Write what `change` makes of the image as it stands; returns (before, after), or None when it is gone.

        image: as it was read. `change` is called again whenever somebody else was quicker; nothing is written when it
        changes nothing. Raises Throttled. Cost: 1 call unless others write, 1 WRU per KB.
        """
        current = image
        for attempt in range(EDIT_TRIES):
            wanted = change(current)
            if wanted == current:
                return current, current
            wanted = replace(wanted, revision=current.revision + 1)
            try:
                self._table.put(_item(wanted), condition="#revision = :seen", seen=current.revision)
            except ConditionFailed as lost:
                if not lost.item:
                    return None
                current = image_of(lost.item)
            else:
                return current, wanted
            # Full jitter: those who want the same image must not come back together.
            time.sleep(random.random() * 0.01 * 2**attempt)
        raise Throttled("this image keeps changing")

    def remove(self, image: Image, *, is_noted: bool = True) -> Image | None:
        """Remove an image, and note that its content was here; returns it as it was last, None when it was gone.

        is_noted: False where nothing of the project is kept that the note could lead to.

        Raises Throttled. Cost: 1 transaction, 6 WRU for a row of 1 KB.
        """
        current = image
        for attempt in range(EDIT_TRIES):
            try:
                self._table.transact(self._removal(current)[: 3 if is_noted else 2])
            except TransactionFailed as lost:
                if 0 not in lost.failed:
                    raise
                if not lost.failed[0]:
                    return None
                current = image_of(lost.failed[0])
            else:
                return current
            time.sleep(random.random() * 0.01 * 2**attempt)
        raise Throttled("this image keeps changing")

    def _removal(self, image: Image) -> list[Write]:
        pk, sk = keys.image(image.tenant, image.project_id, image.ordinal)
        note = keys.images_of(image.tenant, image.uid)
        return [
            self._table.write("Delete", pk=pk, sk=sk, condition="#revision = :seen", seen=image.revision),
            self._table.write("Delete", pk=note, sk=image.project_id, condition="#image_id = :mine", mine=image.id),
            self._table.write("Put", item=_note(image, f"{image.project_id}#{image.ordinal}")),
        ]

    def forget_gone(self, tenant: str, uid: str, project_id: str, ordinal: int) -> None:
        """Remove the note that content was an image. 1 call."""
        self._table.delete(keys.images_of(tenant, uid), f"{project_id}#{ordinal}")


def image_of(item: Item) -> Image:
    """The image that an item of the table holds."""
    return from_item(Image, item, regions=tuple(from_item(Region, each) for each in item.get("regions", ())))


def _item(image: Image) -> Item:
    return to_item(image, *keys.image(image.tenant, image.project_id, image.ordinal))


def _note(image: Image, sk: str) -> Item:
    # Not called `ordinal`: the stream's filter of index_terms knows an image's row by that attribute.
    return {
        "pk": keys.images_of(image.tenant, image.uid),
        "sk": sk,
        "image_ordinal": image.ordinal,
        "image_id": image.id,
    }


def _sequence(project_id: str) -> str:
    return f"images#{project_id}"
