"""The bytes of a frozen workspace: rows in blocks of 256 ordinals, terms in sorted pages, a directory of both.

A block is one gzip member of JSON lines. A page is a run of entries (length and bytes of a name, length and bytes of a
roaring bitmap) in the order of the names' UTF-8. The same content always gives the same bytes.
"""

from __future__ import annotations

import gzip
import heapq
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any

from pyroaring import BitMap

from dataloop.domain.json_lines import canonical, parse
from dataloop.domain.projects import ROWS_A_BLOCK

# What one step of a freezing writes: it also makes an annotation of each image, and has two minutes.
BLOCKS_A_PART = 8
ROWS_A_PART = BLOCKS_A_PART * ROWS_A_BLOCK
# One ranged read of terms; a bitmap over a million images (131 kB at most) has a page of its own.
_PAGE_BYTES = 64 * 1024
_LENGTH_BYTES = 4

Entry = tuple[bytes, bytes]  # a term's name in UTF-8, its serialised bitmap
Page = tuple[str, int]  # the first name of a page, its length in bytes


@dataclass(frozen=True, slots=True)
class RowsFile:
    """One object of blocks. first: its first block's number. lengths: bytes of each block in turn, 0 for an empty one."""

    key: str
    first: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Directory:
    """What is where. images: how many. tags: tag id → images that have it. info: what the writer adds.

    terms: the key of the pages. pages: (first name, bytes) of each in turn. files: keys of further objects. generation:
    how often content was removed.
    """

    images: int
    rows: tuple[RowsFile, ...]
    terms: str
    pages: tuple[Page, ...]
    tags: Mapping[str, int]
    info: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    generation: int = 0

    def keys(self) -> set[str]:
        """Every object that the directory names."""
        return {each.key for each in self.rows} | {self.terms, *self.files}

    def place(self, block: int) -> tuple[str, int, int] | None:
        """(key, first byte, length) of a block; None when it holds no image."""
        return self._places.get(block)

    def page(self, term: str) -> tuple[int, int] | None:
        """(first byte, length) of the page that has the term if any has."""
        index = bisect_right(self.pages, term.encode(), key=lambda page: page[0].encode()) - 1
        return None if index < 0 else (self._page_offsets[index], self.pages[index][1])

    @cached_property
    def _places(self) -> dict[int, tuple[str, int, int]]:
        return {
            file.first + index: (file.key, start, length)
            for file in self.rows
            for index, (start, length) in enumerate(zip(offsets(file.lengths), file.lengths, strict=True))
            if length
        }

    @cached_property
    def _page_offsets(self) -> list[int]:
        return offsets(length for _, length in self.pages)


def pack_directory(directory: Directory) -> bytes:
    value = {
        "format": 1,
        "images": directory.images,
        "rows": [[each.key, each.first, list(each.lengths)] for each in directory.rows],
        "terms": directory.terms,
        "pages": [list(page) for page in directory.pages],
        "tags": dict(directory.tags),
        "info": dict(directory.info),
        "files": list(directory.files),
        "generation": directory.generation,
    }
    return gzip.compress(canonical(value), mtime=0)


def read_directory(body: bytes) -> Directory:
    value = parse(gzip.decompress(body))
    return Directory(
        images=value["images"],
        rows=tuple(RowsFile(key, first, tuple(lengths)) for key, first, lengths in value["rows"]),
        terms=value["terms"],
        pages=tuple((first, length) for first, length in value["pages"]),
        tags=value["tags"],
        info=value["info"],
        files=tuple(value["files"]),
        generation=value["generation"],
    )


def pack_blocks(rows: Iterable[Mapping[str, Any]]) -> tuple[bytes, int, tuple[int, ...]]:
    """(bytes, first block, length of each block) of rows in ascending order of their "ordinal"."""
    packed: dict[int, bytes] = {}
    for block, members in groupby(rows, key=lambda row: int(row["ordinal"]) // ROWS_A_BLOCK):
        packed[block] = gzip.compress(b"\n".join(map(canonical, members)), mtime=0)
    if not packed:
        return b"", 0, ()
    first = min(packed)
    lengths = tuple(len(packed.get(block, b"")) for block in range(first, max(packed) + 1))
    return b"".join(packed[block] for block in sorted(packed)), first, lengths


def read_block(body: bytes) -> list[dict[str, Any]]:
    """The rows of one block."""
    return [parse(line) for line in gzip.decompress(body).split(b"\n")]


def rows_of(body: bytes, ordinals: Collection[int]) -> list[dict[str, Any]]:
    """Those rows of one block that have one of these ordinals. Of a full block only they are parsed."""
    lines = gzip.decompress(body).split(b"\n")
    if len(lines) == ROWS_A_BLOCK:
        first = parse(lines[0])["ordinal"]
        return [parse(lines[ordinal - first]) for ordinal in ordinals if 0 <= ordinal - first < ROWS_A_BLOCK]
    return [row for row in map(parse, lines) if row["ordinal"] in ordinals]


def entries_of(bitmaps: Mapping[str, BitMap]) -> Iterator[Entry]:
    """Terms that have images, in the order of their bytes."""
    for name, bitmap in sorted((name.encode(), bitmap) for name, bitmap in bitmaps.items()):
        if bitmap:
            yield name, _serialised(bitmap)


def pack_pages(entries: Iterable[Entry]) -> Iterator[tuple[str, bytes]]:
    """(first name, bytes) of page after page of sorted entries. Memory: one page."""
    first, page = b"", bytearray()
    for name, blob in entries:
        if page and len(page) + len(blob) > _PAGE_BYTES:
            yield first.decode(), bytes(page)
            page = bytearray()
        if not page:
            first = name
        for part in (name, blob):
            page += len(part).to_bytes(_LENGTH_BYTES, "little") + part
    if page:
        yield first.decode(), bytes(page)


def read_page(body: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(body):
        name, at = _field(body, at)
        blob, at = _field(body, at)
        yield name, blob


def bitmap_in(page: bytes, term: str) -> BitMap:
    """A term's bitmap out of its page; an empty one when the page does not have it."""
    wanted = term.encode()
    return next((BitMap.deserialize(blob) for name, blob in read_page(page) if name == wanted), BitMap())


def merge(parts: Iterable[Iterable[Entry]]) -> Iterator[Entry]:
    """Entries of several sorted sources as one, bitmaps of one name united. Memory: an entry of each source."""
    for name, same in groupby(heapq.merge(*parts, key=itemgetter(0)), key=itemgetter(0)):
        blobs = [blob for _, blob in same]
        yield name, blobs[0] if len(blobs) == 1 else _serialised(BitMap.union(*map(BitMap.deserialize, blobs)))


def without(entries: Iterable[Entry], ordinals: BitMap) -> Iterator[Entry]:
    """The entries without these ordinals; a term that nothing has any more is left out."""
    for name, blob in entries:
        bitmap = BitMap.deserialize(blob)
        if bitmap.isdisjoint(ordinals):
            yield name, blob
        elif left := bitmap - ordinals:
            yield name, _serialised(left)


def tag_counts(entries: Iterable[Entry], counts: dict[str, int]) -> Iterator[Entry]:
    """The entries as they come; on the way `counts` gets how many images each tag has, and "all" under "all"."""
    for name, blob in entries:
        if name.startswith(b"tag:") or name == b"all":
            counts[name.decode().removeprefix("tag:")] = len(BitMap.deserialize(blob))
        yield name, blob


def offsets(lengths: Iterable[int]) -> list[int]:
    """Where each of consecutive pieces begins."""
    return list(accumulate(lengths, initial=0))[:-1]


def _serialised(bitmap: BitMap) -> bytes:
    copy = BitMap(bitmap)
    copy.run_optimize()  # one shape for one set: a freshly filled bitmap and a united one may differ in it
    return bytes(copy.serialize())


def _field(body: bytes, at: int) -> tuple[bytes, int]:
    begin = at + _LENGTH_BYTES
    end = begin + int.from_bytes(body[at:begin], "little")
    return body[begin:end], end
