"""A sorted index of 128-bit uids with a 256-entry fan-out: is an image in a version? Two small ranged reads tell.

Layout: 256 big-endian uint32, entry b = how many uids begin with a byte <= b; then the uids, 16 bytes each, sorted.
It costs no DynamoDB write per image, where an edge per image and version would (design D13: lineage both ways).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence

FANOUT_BYTES = 256 * 4


def header(counts_by_first_byte: Sequence[int]) -> bytes:
    """The fan-out table from how many uids begin with each byte value."""
    total, table = 0, []
    for count in counts_by_first_byte:
        total += count
        table.append(total)
    return struct.pack(">256I", *table)


def block_of(table: bytes, uid: str) -> tuple[int, int]:
    """(first byte, length in bytes) of the block of the file that would hold the uid; length 0: it is absent."""
    counts = struct.unpack(">256I", table[:FANOUT_BYTES])
    first = int(uid[:2], 16)
    start = counts[first - 1] if first else 0
    return FANOUT_BYTES + start * 16, (counts[first] - start) * 16


def holds(block: bytes, uid: str) -> bool:
    """True when the block holds the uid."""
    wanted = bytes.fromhex(uid)
    at = bisect_left(range(len(block) // 16), wanted, key=lambda index: block[index * 16 : index * 16 + 16])
    return block[at * 16 : at * 16 + 16] == wanted


def share_before(table: bytes, start: int, block: bytes, uid: str) -> float:
    """Which share of all uids comes before this one, from 0 to 1. start, block: as block_of said and what lies there."""
    total = struct.unpack(">256I", table[:FANOUT_BYTES])[-1]
    wanted = bytes.fromhex(uid)
    at = bisect_left(range(len(block) // 16), wanted, key=lambda index: block[index * 16 : index * 16 + 16])
    return ((start - FANOUT_BYTES) // 16 + at) / total if total else 0.0
