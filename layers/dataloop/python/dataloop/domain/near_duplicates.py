"""Which 64-bit hashes are near each other: exact search with four tables, in flat memory, without numpy.

A hash is cut into four keys of 16 bits. If two hashes differ in at most d bits, then in some key they differ in no more
than its radius, where the four (radius + 1) add up to d + 1. So it is enough to compare hashes whose keys are that near.
Source: Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing" (arXiv 1307.2982).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, combinations
from typing import TypeAlias

# Hashes at most this many bits apart count as the same picture. Measured on photographs: docs/manifest.md.
DISTANCE = 8
# At 12 bits, 1 of 6,555 pairs of different photographs and parts of them was near; beyond, everything joins everything.
FARTHEST_BITS = 12
_KEYS, _KEY_BITS = 4, 16
_VALUES = 1 << _KEY_BITS
# With more comparisons than this for one key's hashes it is worth a look whether they are joined already: if a sample of
# them lies in half as many sets or fewer, then sets are compared.
_MANY, _SAMPLE = 2_000, 16

# (hashes, their numbers)
Bucket: TypeAlias = "tuple[array[int], array[int]]"


class Components:
    """Sets of positions 0 … count - 1 that only ever grow together; each is named by its smallest position."""

    def __init__(self, count: int) -> None:
        self._leader = array("I", range(count))

    def find(self, position: int) -> int:
        """The smallest position of the set."""
        leader = self._leader
        while leader[position] != position:
            leader[position] = leader[leader[position]]
            position = leader[position]
        return position

    def unite(self, first: int, second: int) -> None:
        """Make the sets of two positions one."""
        first, second = self.find(first), self.find(second)
        if first > second:
            first, second = second, first
        self._leader[second] = first


class NearSearch:
    """Joins free images that are near each other, and notes which fixed ones each image is near.

    Every image has a kind: 0 is free, any other (up to 7) is fixed: in which split it lies. Images of equal hash and
    kind are one node. Memory: 45 bytes an image. Cost on one core with hashes of different pictures and distance 8:
    10,000 in 0.4 s, 100,000 in 3.4 s, 1,000,000 in 115 s (docs/manifest.md).
    """

    def __init__(self, hashes: Sequence[int], positions: Sequence[int], kinds: Sequence[int], distance: int) -> None:
        """positions: of each hash, in components. kinds: by position."""
        self._distance = distance
        self._hashes, self._leaders = array("Q"), array("I")
        self._kinds, self._touched = bytearray(), bytearray()
        self._node_of = array("I", bytes(4 * len(hashes)))
        self._positions = positions
        table = _Table(hashes, 0)
        for value in table.values():
            nodes: dict[tuple[int, int], int] = {}
            for own, index in zip(*table.bucket(value), strict=True):
                kind = kinds[positions[index]]
                node = nodes.setdefault((own, kind), len(self._hashes))
                if node == len(self._hashes):
                    self._hashes.append(own)
                    self._leaders.append(positions[index])
                    self._kinds.append(kind)
                    self._touched.append(0)
                self._node_of[index] = node

    def run(self, components: Components, touched: bytearray) -> None:
        """Unite free positions; set in touched[position] the bit of each kind that has an image near it."""
        self._components = components
        for index, node in enumerate(self._node_of):
            if not self._kinds[node]:
                components.unite(self._leaders[node], self._positions[index])
        for key, radius in enumerate(_radii(self._distance)):
            table, masks = _Table(self._hashes, key), _masks(radius)
            for value in table.values() if masks else ():
                here, around = table.bucket(value), table.around(value, masks, above=value)
                if self._is_dense(here, around):
                    self._compare_many(here, around)
                else:
                    self._compare_all(here, around)
        for index, node in enumerate(self._node_of):
            touched[self._positions[index]] |= self._touched[node]

    def _is_dense(self, here: Bucket, around: Bucket) -> bool:
        """Are these very many hashes of few pictures, such as the frames of a fixed camera?"""
        nodes = around[1] or here[1]
        if len(here[1]) * (len(here[1]) + len(around[1])) <= _MANY:
            return False
        sample = nodes[:: max(1, len(nodes) // _SAMPLE)]
        return 2 * len({self._set_of(node) for node in sample}) <= len(sample)

    def _compare_all(self, here: Bucket, around: Bucket) -> None:
        hashes, nodes, distance = here[0] + around[0], here[1] + around[1], self._distance
        for own, node in zip(*here, strict=True):
            near = [at for at, other in enumerate(hashes) if (own ^ other).bit_count() <= distance]
            for at in near if len(near) > 1 else ():
                if nodes[at] != node:
                    self._link(node, nodes[at])

    def _link(self, first: int, second: int) -> None:
        """Two nodes are near each other."""
        kinds = self._kinds
        if not kinds[first] and not kinds[second]:
            self._components.unite(self._leaders[first], self._leaders[second])
        self._touched[first] |= 1 << kinds[second] & ~1
        self._touched[second] |= 1 << kinds[first] & ~1

    def _compare_many(self, here: Bucket, around: Bucket) -> None:
        """The same where very many pictures look alike: of a set that is joined already, one near hash is enough."""
        sets: dict[int, list[tuple[int, int]]] = {}
        for own, node in zip(*around, strict=True):
            sets.setdefault(self._set_of(node), []).append((own, node))
        for own, node in zip(*here, strict=True):
            name = self._set_of(node)
            for other in [other for other in sets if other != name]:
                self._compare_with(own, node, sets[other], is_fixed=other < 0)
            merged = self._set_of(node)
            if not self._kinds[node]:
                for other in [other for other in sets if other >= 0 and self._components.find(other) == merged]:
                    if other != merged:
                        sets.setdefault(merged, []).extend(sets.pop(other))
            sets.setdefault(merged, []).append((own, node))

    def _set_of(self, node: int) -> int:
        """Fixed nodes of one kind are a set, named below 0; free ones are in the set that they have joined."""
        return -self._kinds[node] or self._components.find(self._leaders[node])

    def _compare_with(self, own: int, node: int, members: list[tuple[int, int]], *, is_fixed: bool) -> None:
        """One near member says all of a set, unless a fixed node has to be noted by each of the members."""
        near = (member for other, member in members if (own ^ other).bit_count() <= self._distance)
        if not self._kinds[node]:
            first = next(near, None)
            if first is not None:
                self._link(node, first)
        else:
            for member in near:
                self._link(node, member)


class NearIndex:
    """Asks of one hash after the other whether it is near any of a fixed set."""

    def __init__(self, hashes: Iterable[int], distance: int) -> None:
        known = array("Q", sorted(set(hashes)))
        self._distance = distance
        self._tables = [(key, _masks(radius), _Table(known, key)) for key, radius in enumerate(_radii(distance))]

    def is_near(self, value: int) -> bool:
        """True when some hash of the set is at most `distance` bits away. Cost: 0.02 ms, more with very many hashes."""
        for key, masks, table in self._tables:
            hashes, _ = table.around((value >> _shift(key)) & 0xFFFF, masks)
            if any((value ^ other).bit_count() <= self._distance for other in hashes):
                return True
        return False


class _Table:
    """Hashes in the order of one of their keys, with the place where each key's begin."""

    def __init__(self, hashes: Sequence[int], key: int) -> None:
        shift = _shift(key)
        keys = array("H", ((value >> shift) & 0xFFFF for value in hashes))
        counts = array("I", bytes(4 * (_VALUES + 1)))
        for value in keys:
            counts[value + 1] += 1
        places = array("I", accumulate(counts))
        self._starts, self._values = array("I", places), array("H", sorted(set(keys)))
        self._hashes, self._numbers = array("Q", bytes(8 * len(keys))), array("I", bytes(4 * len(keys)))
        for number, value in enumerate(keys):
            at = places[value]
            places[value] = at + 1
            self._hashes[at] = hashes[number]
            self._numbers[at] = number

    def values(self) -> Iterator[int]:
        """The keys that some hash has, ascending."""
        return iter(self._values)

    def bucket(self, value: int) -> Bucket:
        """The hashes of one key, with their numbers in the order they were given."""
        start, end = self._starts[value], self._starts[value + 1]
        return self._hashes[start:end], self._numbers[start:end]

    def around(self, value: int, masks: Sequence[int], above: int = -1) -> Bucket:
        """The same of all keys that differ from value by one of the masks and are greater than above."""
        starts, hashes, numbers = self._starts, array("Q"), array("I")
        for mask in masks:
            other = value ^ mask
            if other > above:
                start, end = starts[other], starts[other + 1]
                if start != end:
                    hashes.extend(self._hashes[start:end])
                    numbers.extend(self._numbers[start:end])
        return hashes, numbers


def _shift(key: int) -> int:
    return _KEY_BITS * (_KEYS - 1 - key)


def _radii(distance: int) -> list[int]:
    """How far each key has to be searched; -1: not at all. The (radius + 1) add up to distance + 1."""
    base, more = divmod(distance + 1, _KEYS)
    return [base - 1 + (key < more) for key in range(_KEYS)]


def _masks(radius: int) -> list[int]:
    """All differences of a key of at most radius bits, 0 first; none for a radius below 0."""
    return [
        sum(1 << bit for bit in bits) for count in range(radius + 1) for bits in combinations(range(_KEY_BITS), count)
    ]
