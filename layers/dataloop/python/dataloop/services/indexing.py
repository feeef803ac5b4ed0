"""What keeps the term index with the images' rows when a request could not: the table's stream, and an operator's repair.

Both look at the rows as they are and at nothing older, so that late, repeated and reordered records do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from dataloop.domain.errors import NotFound, Unavailable
from dataloop.domain.projects import ROWS_A_BLOCK, Image, Project
from dataloop.domain.terms import tag_of, tag_term
from dataloop.repositories.images import ImageRepository, image_of
from dataloop.repositories.projects import ProjectRepository
from dataloop.repositories.terms import ORDINALS_A_BLOCK, TermIndex
from dataloop.services.tagging import TaggingService

READS_AT_ONCE = 8  # of one repair; botocore keeps ten connections

# The item before and after a change; None: there was none, or there is none.
Change = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Repaired:
    """images: how many the project has. terms, counts: what was wrong and is right now."""

    images: int
    terms: list[str]
    counts: list[str]


@dataclass(frozen=True, slots=True)
class _Move:
    """One change of a row: its place in the batch, the terms that the image had and has."""

    index: int
    ordinal: int
    before: frozenset[str]
    after: frozenset[str]


class IndexingService:
    """Every call may be repeated at any time, side by side with requests."""

    def __init__(
        self, images: ImageRepository, terms: TermIndex, projects: ProjectRepository, tagging: TaggingService
    ) -> None:
        self._images = images
        self._terms = terms
        self._projects = projects
        self._tagging = tagging

    def changed(self, changes: Sequence[Change]) -> list[int]:
        """Settle every term that changed with a batch of rows; a tag that is no more is taken off its images.

        Returns the indexes of the changes that must come again, ascending: their project's blocks are crowded.
        Cost: per project 2 reads and those of its rows; per block of a term a read and a write.
        """
        found: dict[tuple[str, str], list[_Move]] = {}
        for index, (old, new) in enumerate(changes):
            before, after = (image_of(dict(item)) if item else None for item in (old, new))
            image = after or before
            if image is not None:
                move = _Move(index, image.ordinal, *(each.terms if each else frozenset() for each in (before, after)))
                found.setdefault((image.tenant, image.project_id), []).append(move)
        undone: list[int] = []
        for (tenant, project_id), moves in found.items():
            try:
                self._settle(tenant, project_id, moves)
            except Unavailable:
                undone += [move.index for move in moves]
        return sorted(undone)

    def _settle(self, tenant: str, project_id: str, moves: Sequence[_Move]) -> None:
        touched: dict[str, set[int]] = {}
        for move in moves:
            for term in move.before ^ move.after:
                touched.setdefault(term, set()).add(move.ordinal)
        self._terms.settle(tenant, project_id, touched)
        project = self._projects.get(tenant, project_id)
        if project is not None and project.status != "DELETING":
            self._take_off_deleted(project, {tag for move in moves for term in move.after if (tag := tag_of(term))})

    def _take_off_deleted(self, project: Project, tag_ids: set[str]) -> None:
        """Whoever gave a tag to an image while it was deleted did not see that."""
        for tag_id in sorted(tag_ids - {tag.id for tag in self._projects.tags(project.tenant, project.id)}):
            self._tagging.forget_tag(project, tag_id)

    def repair(self, tenant: str, project_id: str) -> Repaired:
        """Compare every block with every row, and every tag's count with its blocks; mend what differs.

        Raises NotFound(project), Throttled (changed meanwhile: repeat). Cost: a read of everything the project has.
        """
        if self._projects.get(tenant, project_id) is None:
            raise NotFound("project", project_id)
        images, wrong = 0, set()
        last = self._images.last_ordinal(tenant, project_id)
        listed = self._terms.blocks(tenant, project_id)
        for number in range(-(-last // ORDINALS_A_BLOCK)):
            truth: dict[str, BitMap] = {term: BitMap() for term in listed.get(number, ())}
            for row in self._rows(tenant, project_id, number, last):
                images += 1
                for term in row.terms:
                    truth.setdefault(term, BitMap()).add(row.ordinal)
            wrong |= self._mend(tenant, project_id, number, truth)
        counted = [
            tag.id
            for tag in self._projects.tags(tenant, project_id)
            if self._terms.recount(tenant, project_id, tag.id, tag_term(tag.id))
        ]
        return Repaired(images, sorted(wrong), counted)

    def _rows(self, tenant: str, project_id: str, number: int, last: int) -> Iterator[Image]:
        """All rows of a block of terms, by the blocks of rows in it."""
        first = number * ORDINALS_A_BLOCK
        blocks = range(first // ROWS_A_BLOCK, -(-min(last, first + ORDINALS_A_BLOCK) // ROWS_A_BLOCK))
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            for rows in pool.map(lambda block: self._images.block(tenant, project_id, block), blocks):
                yield from rows

    def _mend(self, tenant: str, project_id: str, number: int, truth: Mapping[str, BitMap]) -> set[str]:
        """Settle the ordinals where stored bits differ from the rows'; returns the terms that had such."""
        first = number * ORDINALS_A_BLOCK
        whole = BitMap(range(first, first + ORDINALS_A_BLOCK))
        wrong: dict[str, BitMap] = {}
        for term, bits in truth.items():
            differing = (self._terms.bitmap(tenant, project_id, term) & whole) ^ bits
            if differing:
                wrong[term] = differing
        self._terms.settle(tenant, project_id, wrong, is_change=False)
        return set(wrong)
