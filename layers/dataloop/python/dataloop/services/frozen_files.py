"""Frozen workspaces in a bucket: written in parts, merged into one, read by ranges.

Below a prefix: `rows-…` and `terms-…` (their names hold their content's digest, so that a directory never names other
bytes than it was written for), `parts/…` while it is being written, and `directory`, which is written last: without it
nothing is there.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import IO, Any

from pyroaring import BitMap

from dataloop.domain.errors import NotFound
from dataloop.domain.projects import ROWS_A_BLOCK
from dataloop.gateways.objects import Bucket
from dataloop.manifests import frozen
from dataloop.manifests.frozen import Directory, Entry, RowsFile

# Terms wait here before their upload, because the name of the object holds their digest.
_SPOOL_BYTES = 16 * 1024 * 1024
# Rows of one object: a million images are fifteen, and a page whose images lie far apart still reads few of them.
_JOINED_BYTES = 4 * 1024 * 1024
# So many blocks of an object are read one by one; for more, the whole object is.
_FEW_BLOCKS = 8
# Parts read side by side.
READERS = 8
DIGEST_LETTERS = 16


@dataclass(frozen=True, slots=True)
class FrozenRow:
    """One image as it is frozen. content: JSON with an "ordinal"."""

    ordinal: int
    terms: frozenset[str]
    content: Mapping[str, Any]


class FrozenFiles:
    """Reads and writes of whole frozen workspaces. All of it may be repeated after any crash."""

    def __init__(self, artifacts: Bucket) -> None:
        self._artifacts = artifacts

    def directory(self, prefix: str) -> Directory | None:
        """None while nothing is finished there. 1 GET."""
        try:
            return frozen.read_directory(self._artifacts.get(directory_key(prefix)))
        except NotFound:
            return None

    def write_part(self, prefix: str, part: int, rows: Iterable[FrozenRow]) -> int:
        """Rows in ascending order of their ordinals, all of them of this part. Answers how many. 3 PUTs.

        The part's own directory is written last and names the other two by their digests: of two writers at once the
        later one counts as a whole.
        """
        bitmaps: dict[str, BitMap] = defaultdict(BitMap)
        body, first, lengths = frozen.pack_blocks(_noted(rows, bitmaps))
        key = self.put(f"{_part_key(prefix, part)}/rows", body)
        pages, terms = self._put_terms(f"{_part_key(prefix, part)}/terms", frozen.entries_of(bitmaps))
        images = len(bitmaps["all"])
        found = Directory(images, (RowsFile(key, first, lengths),), terms, pages, {})
        self._artifacts.put(directory_key(_part_key(prefix, part)), frozen.pack_directory(found), "application/gzip")
        return images

    def finish(
        self, prefix: str, parts: int, info: Mapping[str, Any] | None = None, files: Sequence[str] = ()
    ) -> Directory:
        """One workspace out of the parts 0 … parts - 1. A finished one answers at once. info, files: see Directory.

        Raises NotFound(object) when a part was never written. Cost: 3 GETs a part, a GET for each further page of its
        terms, 2 PUTs and one for every 4 MB of rows. Memory: a page of each part's terms, and the rows of one object.
        """
        found = self.directory(prefix)
        if found is None:
            try:
                made = replace(self._unite(prefix, parts), info=info or {}, files=tuple(files))
                self.replace_directory(prefix, made, None)
            except NotFound:
                # Perhaps somebody who does the same was quicker, and has removed the parts that were read here.
                if self.directory(prefix) is None:
                    raise
            found = self.directory(prefix)
            assert found is not None  # somebody has written it
        self._artifacts.delete([key for key, _ in self._artifacts.keys(f"{prefix}/parts/")])
        return found

    def _unite(self, prefix: str, parts: int) -> Directory:
        with ThreadPoolExecutor(READERS) as pool:
            bodies = pool.map(lambda part: self._artifacts.get(directory_key(_part_key(prefix, part))), range(parts))
            written = [part for part in map(frozen.read_directory, bodies) if part.images]
            firsts = list(pool.map(self._first_page, written))
            rows = tuple(self._joined(prefix, written, pool))
        counts: dict[str, int] = {}
        entries = frozen.merge([self.entries(part, first) for part, first in zip(written, firsts, strict=True)])
        pages, terms = self._put_terms(f"{prefix}/terms", frozen.tag_counts(entries, counts))
        return Directory(counts.pop("all", 0), rows, terms, pages, counts)

    def tagged_directory(self, prefix: str) -> tuple[Directory | None, str]:
        """The directory with the ETag that `replace_directory` takes. 1 GET."""
        try:
            body, etag = self._artifacts.get_tagged(directory_key(prefix))
        except NotFound:
            return None, ""
        return frozen.read_directory(body), etag

    def replace_directory(self, prefix: str, directory: Directory, etag: str | None) -> bool:
        """What it names counts from now on, unless another than that of the ETag (None: any) stands by now. 1 PUT."""
        body = frozen.pack_directory(directory)
        return self._artifacts.replace(directory_key(prefix), body, etag, "application/gzip")

    def entries(self, directory: Directory, first_page: bytes | None = None) -> Iterator[Entry]:
        """All terms, in order. A GET a page."""
        lengths = [length for _, length in directory.pages]
        for start, length in zip(frozen.offsets(lengths), lengths, strict=True):
            is_read = first_page is not None and not start
            page = first_page if is_read else self._artifacts.get_range(directory.terms, start, length)
            yield from frozen.read_page(page or b"")

    def blocks(self, file: RowsFile, only: Collection[int] | None = None) -> Iterator[list[dict[str, Any]]]:
        """The rows of one object, block by block. only: numbers of blocks; None is all.

        1 GET, or one for each of a few blocks. Memory: the object and one block.
        """
        is_few = only is not None and len(only) <= _FEW_BLOCKS
        body = b"" if is_few else self._artifacts.get(file.key)
        for number, start, length in zip(itertools.count(file.first), frozen.offsets(file.lengths), file.lengths):
            if length and (only is None or number in only):
                block = self._artifacts.get_range(file.key, start, length) if is_few else body[start : start + length]
                yield frozen.read_block(block)

    def without(self, prefix: str, directory: Directory, ordinals: BitMap) -> Directory:
        """Write the workspace again without these images. It counts when its directory replaces the other.

        Its objects' names have the new generation: none is a name that somebody may be removing. Cost: 1 GET and 1 PUT
        for each object of rows that had one, a GET a page of terms, 1 PUT.
        """
        generation = directory.generation + 1
        rows = []
        touched = {ordinal // ROWS_A_BLOCK for ordinal in ordinals}
        for file in directory.rows:
            if touched.isdisjoint(range(file.first, file.first + len(file.lengths))):
                rows.append(file)
                continue
            kept = (row for block in self.blocks(file) for row in block if row["ordinal"] not in ordinals)
            body, first, lengths = frozen.pack_blocks(kept)
            if lengths:
                rows.append(RowsFile(self.put(f"{prefix}/rows-{generation}", body), first, lengths))
        counts: dict[str, int] = {}
        entries = frozen.tag_counts(frozen.without(self.entries(directory), ordinals), counts)
        pages, terms = self._put_terms(f"{prefix}/terms-{generation}", entries)
        return replace(
            directory,
            images=counts.pop("all", 0),
            rows=tuple(rows),
            terms=terms,
            pages=pages,
            tags=counts,
            generation=generation,
        )

    def _first_page(self, part: Directory) -> bytes:
        return self._artifacts.get_range(part.terms, 0, part.pages[0][1])

    def _joined(self, prefix: str, parts: Sequence[Directory], pool: Executor) -> Iterator[RowsFile]:
        """The parts' rows as objects of about _JOINED_BYTES, in their order."""
        files = [part.rows[0] for part in parts]
        for group in _groups(files):
            body = b"".join(pool.map(lambda file: self._artifacts.get(file.key), group))
            lengths = [0] * (group[-1].first + len(group[-1].lengths) - group[0].first)
            for file in group:
                at = file.first - group[0].first
                lengths[at : at + len(file.lengths)] = file.lengths
            yield RowsFile(self.put(f"{prefix}/rows", body), group[0].first, tuple(lengths))

    def put(self, stem: str, body: bytes) -> str:
        """Put an object whose key ends with its content's digest; the key. 1 PUT."""
        key = f"{stem}-{sha256(body).hexdigest()[:DIGEST_LETTERS]}"
        self._artifacts.put(key, body, "application/gzip")
        return key

    def _put_terms(self, stem: str, entries: Iterable[Entry]) -> tuple[tuple[frozen.Page, ...], str]:
        """Pages and the key they were put under. Memory: _SPOOL_BYTES, the rest waits on disk."""
        pages: list[frozen.Page] = []
        digest = sha256()
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
            for first, body in frozen.pack_pages(entries):
                pages.append((first, len(body)))
                digest.update(body)
                spool.write(body)
            key = f"{stem}-{digest.hexdigest()[:DIGEST_LETTERS]}"
            spool.seek(0)
            _upload(self._artifacts, spool, key)
        return tuple(pages), key


def _groups(files: Sequence[RowsFile]) -> Iterator[list[RowsFile]]:
    group: list[RowsFile] = []
    for file in files:
        if group and sum(sum(each.lengths) for each in [*group, file]) > _JOINED_BYTES:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def directory_key(prefix: str) -> str:
    return f"{prefix}/directory"


def _part_key(prefix: str, part: int) -> str:
    return f"{prefix}/parts/{part:05d}"


def _noted(rows: Iterable[FrozenRow], bitmaps: dict[str, BitMap]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        for term in row.terms:
            bitmaps[term].add(row.ordinal)
        yield row.content


def _upload(bucket: Bucket, spool: Any, key: str) -> None:
    stream: IO[bytes] = spool
    bucket.upload_stream(stream, key)


def folder_of(tenant: str, project_id: str, iteration_id: str) -> str:
    """Where everything frozen of an iteration lies."""
    return f"{tenant}/projects/{project_id}/iterations/{iteration_id}"


def prefix_of(tenant: str, project_id: str, iteration_id: str) -> str:
    """Where an iteration's images lie: what `Iteration.snapshot` says."""
    return f"{folder_of(tenant, project_id, iteration_id)}/snapshot"


def performance_prefix_of(tenant: str, project_id: str, iteration_id: str) -> str:
    """Where what an iteration said of its test images lies."""
    return f"{folder_of(tenant, project_id, iteration_id)}/performance"
