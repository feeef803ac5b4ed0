"""Reading a frozen workspace: bitmaps of terms and rows by ordinal, with a cache that lives as long as the process."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from pyroaring import BitMap

from dataloop.domain.errors import NotFound
from dataloop.domain.projects import ROWS_A_BLOCK, ordinal_of
from dataloop.gateways.objects import Bucket
from dataloop.manifests import frozen
from dataloop.manifests.frozen import Directory
from dataloop.services.clock import Clock
from dataloop.services.frozen_files import FrozenFiles

# Of what was read: the pages and blocks of a few iterations that somebody pages through.
_CACHE_BYTES = 32 * 1024 * 1024
# How long a process may answer from a directory that an erasure has replaced meanwhile.
DIRECTORY_SECONDS = 30
# What lies between two blocks is read along when it is not more than this: it takes S3 less time than a request.
_GAP_BYTES = 256 * 1024
# One request reads no more, so that pieces come side by side.
_READ_BYTES = 4 * 1024 * 1024
# More requests side by side do not come sooner through one Lambda's share of a processor.
READERS = 8

T = TypeVar("T")
Place = tuple[str, int, int]  # an object's key, a first byte, a length


class FrozenCache:
    """Directories, pages and blocks that were read last. One for all threads."""

    def __init__(self, clock: Clock, limit_bytes: int = _CACHE_BYTES) -> None:
        self._clock = clock
        self._limit = limit_bytes
        self._pieces: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._directories: dict[str, tuple[float, Directory]] = {}
        self._lock = Lock()

    def directory(self, prefix: str, read: Callable[[], Directory | None]) -> Directory | None:
        now = self._clock.now().timestamp()
        with self._lock:
            known = self._directories.get(prefix)
        if known and now < known[0]:
            return known[1]
        found = read()
        with self._lock:
            self._directories.pop(prefix, None)
            if found:
                while len(self._directories) >= 64:
                    self._directories.pop(next(iter(self._directories)))
                self._directories[prefix] = now + DIRECTORY_SECONDS, found
        return found

    def forget_directory(self, prefix: str) -> None:
        with self._lock:
            self._directories.pop(prefix, None)

    def get(self, key: str, start: int) -> bytes | None:
        with self._lock:
            if (key, start) in self._pieces:
                self._pieces.move_to_end((key, start))
            return self._pieces.get((key, start))

    def put(self, key: str, start: int, body: bytes) -> None:
        with self._lock:
            self._bytes += len(body) - len(self._pieces.pop((key, start), b""))
            self._pieces[key, start] = body
            while self._bytes > self._limit:
                self._bytes -= len(self._pieces.popitem(last=False)[1])


class FrozenSource:
    """One frozen workspace, as services/browsing.py asks for it; rows are JSON. No call until something is asked."""

    def __init__(self, artifacts: Bucket, cache: FrozenCache, prefix: str) -> None:
        self._artifacts = artifacts
        self._files = FrozenFiles(artifacts)
        self._cache = cache
        self._prefix = prefix
        self._reading: defaultdict[int, Lock] = defaultdict(Lock)

    @property
    def directory(self) -> Directory:
        """Raises NotFound(frozen workspace). 1 GET at most every 30 seconds."""
        found = self._cache.directory(self._prefix, lambda: self._files.directory(self._prefix))
        if found is None:
            raise NotFound("frozen workspace", self._prefix)
        return found

    def bitmap(self, term: str) -> BitMap:
        """The ordinals that have a term. 1 GET at most."""
        return self._fresh(lambda directory: self._bitmap(directory, term))

    def rows(self, ordinals: Iterable[int]) -> list[dict[str, Any]]:
        """The rows of these ordinals in the order asked; what is not there is left out.

        1 GET for neighbours, and at most one for each 256 ordinals that lie apart.
        """
        wanted = list(ordinals)
        found = self._fresh(lambda directory: self._rows(directory, wanted))
        return [found[ordinal] for ordinal in wanted if ordinal in found]

    def by_ids(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The rows with these ids in the order asked; what is not there is left out. GETs as for `rows`."""
        ordinals = {id: ordinal for id in ids if (ordinal := ordinal_of(id)) is not None}
        found = {row["id"]: row for row in self.rows(sorted(set(ordinals.values())))}
        return [found[id] for id in ids if id in found]

    def _fresh(self, read: Callable[[Directory], T]) -> T:
        """Once more with the directory of now when what a kept one names is gone: images were erased meanwhile."""
        try:
            return read(self.directory)
        except NotFound as error:
            if error.entity != "object":
                raise
            self._cache.forget_directory(self._prefix)
            return read(self.directory)

    def _bitmap(self, directory: Directory, term: str) -> BitMap:
        place = directory.page(term)
        if place is None:
            return BitMap()
        with self._reading[place[0]]:  # terms are asked for side by side: a page that several share is read once
            page = self._cache.get(directory.terms, place[0])
            if page is None:
                page = self._artifacts.get_range(directory.terms, *place)
                self._cache.put(directory.terms, place[0], page)
        return frozen.bitmap_in(page, term)

    def _rows(self, directory: Directory, ordinals: Sequence[int]) -> dict[int, dict[str, Any]]:
        by_block: dict[int, list[int]] = defaultdict(list)
        for ordinal in ordinals:
            by_block[ordinal // ROWS_A_BLOCK].append(ordinal)
        wanted = {place: each for block, each in by_block.items() if (place := directory.place(block))}
        bodies = self._bodies(list(wanted))
        rows = (row for place, each in wanted.items() for row in frozen.rows_of(bodies[place], each))
        return {row["ordinal"]: row for row in rows}

    def _bodies(self, places: Sequence[Place]) -> dict[Place, bytes]:
        """The blocks at these places, those that are not cached in as few requests as is quick."""
        cached = {place: self._cache.get(place[0], place[1]) for place in places}
        bodies = {place: body for place, body in cached.items() if body is not None}
        runs = _runs(sorted(place for place in places if place not in bodies))
        if len(runs) > 1:
            with ThreadPoolExecutor(min(READERS, len(runs))) as pool:
                pieces = list(pool.map(self._read, runs))
        else:
            pieces = [self._read(run) for run in runs]
        for run, piece in zip(runs, pieces, strict=True):
            for place in run:
                body = piece[place[1] - run[0][1] :][: place[2]]
                self._cache.put(place[0], place[1], body)
                bodies[place] = body
        return bodies

    def _read(self, run: Sequence[Place]) -> bytes:
        key, start, _ = run[0]
        _, last, length = run[-1]
        return self._artifacts.get_range(key, start, last + length - start)


def _runs(places: Sequence[Place]) -> list[list[Place]]:
    """Sorted (key, first byte, length) grouped into what one request reads."""
    runs: list[list[Place]] = []
    for place in places:
        key, start, length = place
        if runs:
            (first_key, first, _), (_, last, last_length) = runs[-1][0], runs[-1][-1]
            is_near = key == first_key and start - last - last_length <= _GAP_BYTES
            if is_near and start + length - first <= _READ_BYTES:
                runs[-1].append(place)
                continue
        runs.append([place])
    return runs
