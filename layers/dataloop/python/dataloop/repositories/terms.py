"""Which images of a project have a term: compressed bitmaps of ordinals, a block for each 65,536 (design §5.3).

A block says what the images' rows say; rows are written first. Two rules keep that true whoever dies or comes late:

1. A block is written only if it is what was read *before* the rows were, so that nobody writes what older rows said over
   what newer ones did. A change of a row always writes the blocks of its terms anew, even when their bits stand right
   already: whoever read the row before it changed then loses. Where there is no block to lose against, the write that
   makes it checks the rows themselves.
2. The count of a tag's images changes in the transaction that changes the block, by the difference of their sizes.

An empty block is removed: no term outlives the last image that had it.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from pyroaring import BitMap

from dataloop.domain.errors import Throttled
from dataloop.domain.projects import Image
from dataloop.domain.terms import tag_of
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.images import CALLS_AT_ONCE, ImageRepository
from dataloop.repositories.table import MAX_KEY_BYTES, ConditionFailed, Table, TransactionFailed, Write

ORDINALS_A_BLOCK = 65_536  # a container of a roaring bitmap: at most 8 KB
# Rows that the write of a new block checks. DynamoDB: 100 operations a transaction, three are the block's own.
CHECKED_ROWS = 90
# Seconds after which a crowded block is left to the stream. An answer of the API must come within 28.
SETTLE_S = 8.0
# DynamoDB: 100 operations a transaction, one is the tag's own.
RECOUNTED_BLOCKS = 99
BlockKey = tuple[str, int]  # term, number
IF_SEEN = "#version = :seen"


@dataclass(slots=True)
class _Block:
    """A block as it was read, and the ordinals to settle in it. version None: there is none."""

    term: str
    number: int
    ordinals: set[int]
    bits: BitMap = field(default_factory=BitMap)
    version: str | None = None

    def agreed(self, rows: Mapping[int, Image]) -> BitMap:
        """Its bits once they say of these ordinals what the rows say."""
        having = BitMap(each for each in self.ordinals if each in rows and self.term in rows[each].terms)
        return (self.bits - BitMap(self.ordinals)) | having


class TermIndex:
    """Reads are strongly consistent (S)."""

    def __init__(self, table: Table, images: ImageRepository) -> None:
        self._table = table
        self._images = images

    def bitmap(self, tenant: str, project_id: str, term: str) -> BitMap:
        """S. The ordinals of the images that have a term. 1 call per megabyte; 1 RRU per 4 KB: a block has up to 8.2."""
        return BitMap().union(*(bits_of(item) for item in self._items(tenant, project_id, term)))

    def versions(self, tenant: str, project_id: str, term: str) -> list[str]:
        """S. The versions of a term's blocks: as long as they are the same, no row with the term has changed in what its
        tags or regions say, but for a change that died behind its row. The cost is that of `bitmap`."""
        return [str(item["version"]) for item in self._items(tenant, project_id, term)]

    def _items(self, tenant: str, project_id: str, term: str) -> Iterator[Item]:
        pk = keys.term(tenant, project_id, term)
        if len(pk.encode()) > MAX_KEY_BYTES:
            return iter(())  # no image can have it: a value that somebody only asks for
        return self._table.query_all(pk, consistent=True)

    def settle(
        self, tenant: str, project_id: str, touched: Mapping[str, Iterable[int]], *, is_change: bool = True
    ) -> None:
        """Make the index say of these terms and ordinals what the images' rows say now.

        is_change: the rows may have changed since somebody else read them (see above); False: only looks after it.
        Raises Throttled when others keep writing the same blocks; the rows stand, and the stream brings the index after.
        Cost: a read of each block and row; per block 1 write of its size (twice that and 2 WRU with the count of a tag).
        """
        pending = [_Block(term, number, of) for (term, number), of in _split(touched).items()]
        give_up = time.monotonic() + SETTLE_S
        attempt = 0
        while pending:
            self._read(tenant, project_id, pending)
            ordinals = sorted(set().union(*(block.ordinals for block in pending)))
            rows = {row.ordinal: row for row in self._images.rows(tenant, project_id, ordinals)}
            pending = self._write(tenant, project_id, pending, rows, is_change)
            if pending and time.monotonic() > give_up:
                raise Throttled("others keep changing the same terms")
            if pending:
                # Full jitter, up to 20 ms · 2^attempt and at most a second.
                time.sleep(random.random() * min(1.0, 0.02 * 2**attempt))
                attempt += 1

    def _read(self, tenant: str, project_id: str, blocks: Sequence[_Block]) -> None:
        """The blocks as they stand, before anything is read of the rows."""
        wanted = {_key(tenant, project_id, block.term, block.number): block for block in blocks}
        found = {(item["pk"], item["sk"]): item for item in self._table.get_many(wanted, consistent=True)}
        for key, block in wanted.items():
            block.bits = bits_of(found[key]) if key in found else BitMap()
            block.version = found[key]["version"] if key in found else None

    def _write(
        self, tenant: str, project_id: str, blocks: Sequence[_Block], rows: Mapping[int, Image], is_change: bool
    ) -> list[_Block]:
        """Write what must be written; returns the blocks that have to be read again."""
        standing = [block for block in blocks if block.version is not None]
        missing = [block for block in blocks if block.version is None]
        change = partial(self._change, tenant, project_id, rows=rows, is_change=is_change)
        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            settled = list(pool.map(change, standing))
        # One after the other: new blocks of the same images check the same rows, and would only disturb each other.
        settled += [self._create(tenant, project_id, block, rows) for block in missing]
        return [block for block, is_settled in zip([*standing, *missing], settled, strict=True) if not is_settled]

    def _change(self, tenant: str, project_id: str, block: _Block, rows: Mapping[int, Image], is_change: bool) -> bool:
        """Bring a standing block up to the rows; False when somebody else wrote it meanwhile."""
        bits, seen = block.agreed(rows), block.version
        pk, sk = _key(tenant, project_id, block.term, block.number)
        if bits == block.bits:
            if is_change:
                # Nothing but the version: whoever read older rows loses. Somebody who was quicker may have read them.
                try:
                    self._table.update(pk, sk, set={"version": str(uuid.uuid4())}, condition=IF_SEEN, seen=seen)
                except ConditionFailed:
                    return False
            return True
        if bits:
            item = block_item(tenant, project_id, block.term, bits)
            if tag_of(block.term) is None:
                return self._put(item, seen)  # half the price of a transaction
            writes = [self._table.write("Put", item=item, condition=IF_SEEN, seen=seen)]
        else:
            name = _name_key(tenant, project_id, block.term, block.number)
            writes = [
                self._table.write("Delete", pk=pk, sk=sk, condition=IF_SEEN, seen=seen),
                self._table.write("Delete", pk=name[0], sk=name[1]),
            ]
        return self._commit(tenant, project_id, block.term, writes, len(bits) - len(block.bits))

    def _create(self, tenant: str, project_id: str, block: _Block, rows: Mapping[int, Image]) -> bool:
        """Write a block that is not there; False when somebody else made it, or some of its rows remain for later."""
        bits = block.agreed(rows)
        if not bits:
            return True
        first = bits[:CHECKED_ROWS]
        absent = "attribute_not_exists(#pk)"
        writes = [
            self._table.write("Put", item=block_item(tenant, project_id, block.term, first), condition=absent),
            self._table.write("Put", item=name_item(tenant, project_id, block.term, block.number)),
        ]
        for ordinal in first:
            pk, sk = keys.image(tenant, project_id, ordinal)
            revision = rows[ordinal].revision
            writes.append(
                self._table.write("ConditionCheck", pk=pk, sk=sk, condition="#revision = :seen", seen=revision)
            )
        return self._commit(tenant, project_id, block.term, writes, len(first)) and len(first) == len(bits)

    def _commit(self, tenant: str, project_id: str, term: str, writes: list[Write], difference: int) -> bool:
        """Write a block together with the count of its tag; False when somebody else was quicker."""
        tag_id = tag_of(term)
        if tag_id is None or not difference:
            return self._wins(writes)
        count = self._table.write(
            "Update",
            pk=keys.project(tenant, project_id),
            sk=keys.tag(tag_id),
            add={"image_count": difference},
            condition="attribute_exists(#pk)",
        )
        try:
            self._table.transact([*writes, count])
        except TransactionFailed as lost:
            # Only the tag is missing: it was deleted and has no count, but its images may still be asked for it.
            return set(lost.failed) == {len(writes)} and self._wins(writes)
        return True

    def _put(self, item: Item, seen: str | None) -> bool:
        try:
            self._table.put(item, condition=IF_SEEN, seen=seen)
        except ConditionFailed:
            return False
        return True

    def _wins(self, writes: list[Write]) -> bool:
        try:
            self._table.transact(writes)
        except TransactionFailed:
            return False
        return True

    def blocks(self, tenant: str, project_id: str) -> dict[int, set[str]]:
        """S. The terms that have a block, by its number. 1 call per megabyte."""
        found: dict[int, set[str]] = {}
        for item in self._table.query_all(keys.term_names(tenant, project_id), consistent=True):
            found.setdefault(item["number"], set()).add(item["term"])
        return found

    def recount(self, tenant: str, project_id: str, tag_id: str, term: str) -> bool:
        """Set a tag's count to what its blocks say, if it says otherwise; returns whether it did.

        Nothing here makes them differ. It is for an operator who has written to the table by other means.
        Raises Throttled when images get or lose the tag meanwhile. Cost: a read of the blocks; a check of each.
        """
        pk, sk = keys.project(tenant, project_id), keys.tag(tag_id)
        tag = self._table.get(pk, sk)  # before the blocks: a count that changes behind it is seen by the condition
        items = list(self._items(tenant, project_id, term))
        counted = sum(len(bits_of(item)) for item in items)
        if tag is None or tag["image_count"] == counted or len(items) > RECOUNTED_BLOCKS:
            return False
        writes = [
            self._table.write(
                "Update",
                pk=pk,
                sk=sk,
                set={"image_count": counted},
                condition="#image_count = :seen",
                seen=tag["image_count"],
            )
        ]
        writes += [
            self._table.write("ConditionCheck", pk=item["pk"], sk=item["sk"], condition=IF_SEEN, seen=item["version"])
            for item in items
        ]
        try:
            self._table.transact(writes)
        except TransactionFailed as lost:
            raise Throttled("images get or lose this tag") from lost
        return True

    def drop(self, tenant: str, project_id: str) -> None:
        """Remove whatever is left of a project whose images are gone. 1 call per megabyte, 2 per block."""
        for number, terms in self.blocks(tenant, project_id).items():
            for term in terms:
                self._table.delete(*_key(tenant, project_id, term, number))
                self._table.delete(*_name_key(tenant, project_id, term, number))


def block_item(tenant: str, project_id: str, term: str, bits: BitMap) -> Item:
    """A block as it is stored; bits: ordinals of one block, at least one."""
    bits = bits.copy()
    bits.run_optimize()
    pk, sk = _key(tenant, project_id, term, bits[0] // ORDINALS_A_BLOCK)
    return {"pk": pk, "sk": sk, "bits": bits.serialize(), "n": len(bits), "version": str(uuid.uuid4())}


def name_item(tenant: str, project_id: str, term: str, number: int) -> Item:
    """The entry of a block in its project's list."""
    pk, sk = _name_key(tenant, project_id, term, number)
    return {"pk": pk, "sk": sk, "term": term, "number": number}


def bits_of(item: Item) -> BitMap:
    """The ordinals of a stored block."""
    return BitMap.deserialize(bytes(item["bits"]))


def _split(touched: Mapping[str, Iterable[int]]) -> dict[BlockKey, set[int]]:
    found: dict[BlockKey, set[int]] = {}
    for term, ordinals in touched.items():
        for ordinal in ordinals:
            found.setdefault((term, ordinal // ORDINALS_A_BLOCK), set()).add(ordinal)
    return found


def _key(tenant: str, project_id: str, term: str, number: int) -> tuple[str, str]:
    return keys.term(tenant, project_id, term), f"{number:05d}"


def _name_key(tenant: str, project_id: str, term: str, number: int) -> tuple[str, str]:
    # A digest: a term may have 1,600 bytes, and a sort key has 1,024.
    name = hashlib.sha256(term.encode()).hexdigest()[:32]
    return keys.term_names(tenant, project_id), f"{name}#{number:05d}"
