"""Which images: pages, counts, by ids; the same of a workspace as it is and of an iteration as it was.

A question becomes one bitmap of ordinals. Its size is the count, and a page is read from it by rank, so that no page
costs more for the images in front of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from pyroaring import BitMap

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.projects import Image, Project
from dataloop.domain.terms import ImageQuery, Query, evaluate, terms_of
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.terms import TermIndex

MAX_IMAGES = 256  # of a page and of a request by ids: the clients of Custom Vision allow as many
# Terms that are read side by side; botocore keeps ten connections.
TERMS_AT_ONCE = 8


class ImageSource(Protocol):
    """Where images are looked up: the workspace (here) or a frozen iteration (services/snapshots.py)."""

    def bitmap(self, term: str) -> BitMap:
        """The ordinals of the images that have a term."""

    def rows(self, ordinals: Sequence[int]) -> list[Any]:
        """Images in the order asked; missing ones are left out."""

    def by_ids(self, ids: Sequence[str]) -> list[Any]:
        """Images in the order asked, each once; unknown ones are left out."""


class Workspace:
    """The images of a project as they are now, for one request: a term is read once."""

    def __init__(self, images: ImageRepository, terms: TermIndex, tenant: str, project_id: str) -> None:
        self._images = images
        self._terms = terms
        self._of = (tenant, project_id)
        self._bitmaps: dict[str, BitMap] = {}

    def bitmap(self, term: str) -> BitMap:
        """Strongly consistent. 1 call per megabyte of blocks."""
        if term not in self._bitmaps:
            self._bitmaps[term] = self._terms.bitmap(*self._of, term)
        return self._bitmaps[term]

    def rows(self, ordinals: Sequence[int]) -> list[Image]:
        """Eventually consistent, but never against the terms that were read: such a row is read again, strongly.

        Cost: 1 call per 100 images, half an RRU per 4 KB of image.
        """
        found = {row.ordinal: row for row in self._images.rows(*self._of, ordinals, consistent=False)}
        late = [each for each in ordinals if each not in found or not self._agrees(found[each])]
        for row in self._images.rows(*self._of, late):
            found[row.ordinal] = row
        return [found[each] for each in ordinals if each in found]

    def _agrees(self, row: Image) -> bool:
        terms = row.terms
        return all((row.ordinal in bitmap) == (term in terms) for term, bitmap in self._bitmaps.items())

    def by_ids(self, ids: Sequence[str]) -> list[Image]:
        """Strongly consistent. 1 call per 100 images, 1 RRU per 4 KB of image."""
        return self._images.get_many(*self._of, ids)


class BrowsingService:
    """Reads; nothing is written."""

    def __init__(self, images: ImageRepository, terms: TermIndex) -> None:
        self._images = images
        self._terms = terms

    def workspace(self, project: Project) -> ImageSource:
        """The images of a project as they are now. No call."""
        return Workspace(self._images, self._terms, project.tenant, project.id)

    def bitmap(self, source: ImageSource, where: Query) -> BitMap:
        """The ordinals of the images a query names. Its terms are read side by side."""
        terms = sorted(terms_of(where))
        with ThreadPoolExecutor(min(TERMS_AT_ONCE, len(terms))) as pool:
            bitmaps = dict(zip(terms, pool.map(source.bitmap, terms), strict=True))
        found: BitMap = evaluate(where, bitmaps.__getitem__)
        return found

    def count(self, source: ImageSource, where: Query) -> int:
        """How many images a query names; no image is read."""
        return len(self.bitmap(source, where))

    def page(self, source: ImageSource, query: ImageQuery) -> list[Any]:
        """The images of a query from `skip` on, in its order. Raises InvalidInput, LimitExceeded(take)."""
        if query.skip < 0:
            raise InvalidInput("skip", "must not be negative", query.skip)
        if query.take < 0:
            raise InvalidInput("take", "must not be negative", query.take)
        if query.take > MAX_IMAGES:
            raise LimitExceeded("take", MAX_IMAGES, query.take)
        found = self.bitmap(source, query.where)
        skip = min(query.skip, len(found))
        if query.newest_first:
            end = len(found) - skip
            ordinals = list(found[max(0, end - query.take) : end])[::-1]
        else:
            ordinals = list(found[skip : skip + query.take])
        return source.rows(ordinals)

    def by_ids(self, source: ImageSource, ids: Sequence[str]) -> list[Any]:
        """The images with these ids, in the order asked. Raises LimitExceeded(image ids)."""
        if len(ids) > MAX_IMAGES:
            raise LimitExceeded("image ids", MAX_IMAGES, len(ids))
        return source.by_ids(ids)
