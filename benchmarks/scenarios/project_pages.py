"""Pages and counts of projects of 1,000 to 1,000,000 images: CPU and read units, against reading the images' rows.

Five tags are on 30, 10, 3, 1 and 0.1 % of the images, at random, which is the hardest case for the blocks. The page is
the middle one of those that have any of three tags.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.generated_table import PROJECT, TENANT, GeneratedTable
from benchmarks.measure import Spread
from benchmarks.scenario import Bench, Budget, Figure, counted
from dataloop.domain.projects import ROWS_A_BLOCK, Project
from dataloop.domain.terms import TAGGED, AnyOf, Except, ImageQuery, Query, Term, tag_term
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.table import Table
from dataloop.repositories.terms import TermIndex
from dataloop.services.browsing import BrowsingService

SHARES = {"a": 0.3, "b": 0.1, "c": 0.03, "d": 0.01, "e": 0.001}
THREE_TAGS = AnyOf(tuple(Term(tag_term(tag)) for tag in "abd"))
UNTAGGED = Except(Term(TAGGED))
# What a page may take in a project of a million compared with one of a thousand: the same rows, larger bitmaps.
FLAT = 2.0
# Design §5.3: "about 200" read units for a page of 256 of three tags at a million images.
PAGE_UNITS = 200.0
_PROJECT = Project(TENANT, PROJECT, "birds", "classification", "", "")
_RIVAL = "reading every row"
# A million rows take the rival minutes; its read units follow from the hundred thousand's.
_MOST_READ = 100_000


class Side:
    """A project of one size, and both ways to ask it."""

    def __init__(self, images: int) -> None:
        self.table = GeneratedTable(images, SHARES)
        table = Table(self.table.client, "table")
        self._images = ImageRepository(table)
        self._browsing = BrowsingService(self._images, TermIndex(table, self._images))

    def count(self, query: Query) -> int:
        return self._browsing.count(self._browsing.workspace(_PROJECT), query)

    def page(self, skip: int) -> list[int]:
        found = self._browsing.page(self._browsing.workspace(_PROJECT), ImageQuery(THREE_TAGS, skip=skip, take=256))
        return [row.ordinal for row in found]

    def read_all(self) -> list[int]:
        """The ordinals that have any of three tags, newest first, by reading every image."""
        wanted = {tag_term(tag) for tag in "abd"}
        blocks = range(-(-self.table.images // ROWS_A_BLOCK))
        rows = (row for block in blocks for row in self._images.block(TENANT, PROJECT, block))
        return [row.ordinal for row in rows if row.terms & wanted][::-1]

    def units(self, call: Callable[[], object]) -> float:
        before = self.table.units
        call()
        return self.table.units - before


def run(bench: Bench) -> list[Figure]:
    """Each size in turn; all of them hold the same 256 images in a page."""
    sizes = (1_000, 100_000) if bench.quick else (1_000, 100_000, 1_000_000)
    figures: list[Figure] = []
    pages: dict[int, Spread] = {}
    units_an_image = 0.0
    for size in sizes:
        bench.say(f"project_pages: {size:,} images")
        side = Side(size)
        if size <= _MOST_READ:
            read, units_an_image = _read_all(side)
            figures.append(read)
        found = _figures(side, bench.rounds(30, 5), counted(units_an_image * size))
        pages[size] = found[-1].ours
        figures += found
    small, large = sizes[0], sizes[-1]
    flat = Figure(f"page, {large:,} images", "ms CPU", pages[large], f"{small:,} images", pages[small], Budget(FLAT))
    return [*figures, flat]


def _read_all(side: Side) -> tuple[Figure, float]:
    """What the rival takes, and its read units an image; both sides must say the same."""
    truth: list[int] = []
    begun = side.table.units
    took = _cpu_ms(lambda: truth.extend(side.read_all()), 1)
    units = side.table.units - begun
    middle = max(0, len(truth) // 2 - 128)
    if side.page(middle) != truth[middle : middle + 256] or side.count(THREE_TAGS) != len(truth):
        raise AssertionError(f"{side.table.images} images: the page differs from what the rows say")
    return Figure(f"{_RIVAL}, {side.table.images:,} images", "ms CPU", took), units / side.table.images


def _figures(side: Side, rounds: int, rival: Spread) -> list[Figure]:
    """The last one is the CPU of a page."""
    middle = max(0, side.count(THREE_TAGS) // 2 - 128)
    calls: dict[str, Callable[[], object]] = {
        "count of three tags": lambda: side.count(THREE_TAGS),
        "count of untagged": lambda: side.count(UNTAGGED),
        "page": lambda: side.page(middle),
    }
    figures = []
    for what, call in calls.items():
        name = f"{what}, {side.table.images:,} images"
        budget = Budget(PAGE_UNITS, "ours") if what == "page" else None
        figures.append(Figure(name, "RRU", counted(side.units(call)), _RIVAL, rival, budget))
        figures.append(Figure(name, "ms CPU", _cpu_ms(call, rounds)))
    return figures


def _cpu_ms(call: Callable[[], object], rounds: int) -> Spread:
    """CPU of this process, threads included, and with it the little that the table does once its rows are made."""
    samples = []
    for _ in range(rounds):
        begun = time.process_time()
        call()
        samples.append((time.process_time() - begun) * 1000)
    return Spread(tuple(samples))
