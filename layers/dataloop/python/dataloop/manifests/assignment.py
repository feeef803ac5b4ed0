"""Which split each image of a version goes to, when that depends on the other images: groups, near-duplicates, balance.

Images that share a value of a group path, or whose perceptual hashes are near, are neighbours. Some images are *fixed*:
what the version before placed and, as the policy has it, what somebody named. The free ones make *components* of
neighbours; a component goes where its fixed neighbours are, and where it has none, anywhere as a whole. Free images
with neighbours in another split are left out, and then join nobody. Memory is flat: some 60 bytes an image, 12 for each
group value and 8 for each label, in arrays.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloop.domain.balancing import IMAGES, Balance, Content, order
from dataloop.domain.errors import InvalidInput
from dataloop.domain.manifest import REPORT_IDS
from dataloop.domain.near_duplicates import Components, NearSearch
from dataloop.domain.splits import SPLITS, SplitPolicy

# A split as a number: 0 is none, then in the order of SPLITS.
_NAMES = (None, *SPLITS)
_CODES: dict[str | None, int] = {name: number for number, name in enumerate(_NAMES)}
_EVERY = range(1, len(_NAMES))
# The kind of a free image between two splits.
_APART = len(_NAMES)
Placement = tuple[str, str]


class SplitAssignment:
    """Takes images in the order of their uids, decides once, and then says where each one goes."""

    def __init__(
        self,
        policy: SplitPolicy,
        *,
        anchor: Iterable[Placement] = (),
        lists: Iterable[Placement] = (),
        is_rebuild: bool = False,
    ) -> None:
        """anchor: (uid, split) of the version before; lists: (uid, split) as somebody wants it. Both ascending by uid.

        They are read while images are added. The anchor counts only where the policy is stable.
        is_rebuild: the anchor is the same version, built before: what it left out then stays out.
        """
        self._policy = policy
        self._is_rebuild = is_rebuild and policy.stable
        self._is_plain = policy.is_plain
        self._anchor = _Ahead(anchor if policy.stable else ())
        self._lists = _Ahead(lists)
        self._uids = bytearray()
        self._anchored, self._named, self._sides = bytearray(), bytearray(), bytearray()
        self._points = array("d")
        self._values = _Values()
        self._hashes, self._hashed = array("Q"), array("I")
        self._labels = _Labels() if policy.mode == "stratified" else None
        self._unhashed = 0
        self._asked = 0

    def add(
        self,
        uid: str,
        meta: Mapping[str, Any],
        labels: Mapping[str, int] | None = None,
        phash: str | None = None,
    ) -> str:
        """One image. labels: how many of each it has; phash: 16 hex digits, None when there is none.

        Returns its group, as its row has it. Raises ValueError for an uid that does not come after the one before.
        """
        policy, key = self._policy, bytes.fromhex(uid)
        if self._uids and key <= self._uids[-16:]:
            raise ValueError(f"{uid} does not come after {self._uids[-16:].hex()}")
        position = len(self._named)
        self._uids += key
        named = self._lists.of(uid) or policy.named(meta)
        self._named.append(_CODES[named])
        values = policy.group_values(meta)
        group = policy.group_named(uid, values)
        for path, value in values.items():
            self._values.add(f"{path}\0{value}", position)
        if self._is_plain:
            self._sides.append(_CODES[named or policy.split_at(policy.point(group))])
            return group
        point = policy.point(group)
        self._anchored.append(_CODES[self._anchor.of(uid)])
        self._points.append(point)
        if policy.near_duplicates is not None:
            if phash:
                self._hashes.append(int(phash, 16))
                self._hashed.append(position)
            else:
                self._unhashed += 1
        if self._labels is not None:
            self._labels.add(labels or {})
        return group

    def decide(self) -> dict[str, Any]:
        """Place all images. Returns how, as index.json has it under `splits` (docs/manifest.md).

        Raises InvalidInput("split") when the policy refuses leaks and there is one.
        """
        if self._is_plain:
            _, touched = self._neighbours(self._sides)
            sizes = array("I")
        elif self._is_rebuild:
            self._sides, touched, sizes = self._anchored, bytearray(len(self._anchored)), array("I")
        else:
            fixed = self._fixed()
            components, touched = self._neighbours(fixed)
            if any(not side and _is_several(near) for side, near in zip(fixed, touched, strict=True)):
                # Those have no place, whatever becomes of the others; who is a neighbour only of them is free.
                apart = bytearray(side or _APART * _is_several(n) for side, n in zip(fixed, touched, strict=True))
                components, _ = self._neighbours(apart, is_free_only=True)
            sizes = self._settle(components, fixed, touched)
        leaks = self._leaks(touched)
        if leaks["images"] and self._policy.leaks == "refuse":
            raise InvalidInput(
                "split",
                f"{leaks['images']} images have neighbours in another split, for example "
                + ", ".join(leaks["examples"][:5]),
            )
        return self._summary(sizes, leaks)

    def split_of(self, uid: str) -> str | None:
        """Where an image goes; None: nowhere without a leak. Quick when asked in the order of uids. Raises KeyError."""
        key, at = bytes.fromhex(uid), self._asked
        if self._uids[16 * at : 16 * at + 16] != key:
            count = len(self._sides)
            at = bisect_left(range(count), key, key=lambda index: bytes(self._uids[16 * index : 16 * index + 16]))
            if self._uids[16 * at : 16 * at + 16] != key:
                raise KeyError(uid)
        self._asked = at + 1
        return _NAMES[self._sides[at]]

    def placements(self) -> Iterator[tuple[str, str | None]]:
        """(uid, split or None) of all images, in the order of uids."""
        for position, side in enumerate(self._sides):
            yield self._uid(position), _NAMES[side]

    def _uid(self, position: int) -> str:
        return self._uids[16 * position : 16 * position + 16].hex()

    def _neighbours(self, fixed: bytearray, *, is_free_only: bool = False) -> tuple[Components, bytearray]:
        """(components of the free images, the bits of the kinds that each image has among its neighbours)."""
        components, touched = Components(len(fixed)), bytearray(len(fixed))
        self._values.join(fixed, components, touched)
        if self._policy.near_duplicates is not None:
            hashes, positions = self._hashes, self._hashed
            if is_free_only:
                free = [index for index, position in enumerate(positions) if not fixed[position]]
                hashes = array("Q", (hashes[index] for index in free))
                positions = array("I", (positions[index] for index in free))
            NearSearch(hashes, positions, fixed, self._policy.near_duplicates).run(components, touched)
        return components, touched

    def _fixed(self) -> bytearray:
        """The split of each image that stays there whatever its neighbours do, 0 of the others."""
        if self._policy.leaks == "leave_out":
            return self._anchored
        return bytearray(anchored or named for anchored, named in zip(self._anchored, self._named, strict=True))

    def _settle(self, components: Components, fixed: bytearray, touched: bytearray) -> array[int]:
        """The split of each image. Returns how many free images each component has, by its first position."""
        sizes, homes = array("I", bytes(4 * len(fixed))), bytearray(len(fixed))
        for position, side in enumerate(fixed):
            if not side:
                sizes[components.find(position)] += 1
        self._find_homes(components, fixed, touched, homes)
        free = array("I", (name for name, size in enumerate(sizes) if size and not homes[name]))
        if self._policy.mode == "hash":
            for name in free:
                homes[name] = _CODES[self._policy.split_at(self._points[name])]
        else:
            self._balance(components, fixed, touched, homes, free)
        self._sides = bytearray(
            side or self._side(position, homes[components.find(position)], touched[position])
            for position, side in enumerate(fixed)
        )
        return sizes

    def _side(self, position: int, home: int, touched: int) -> int:
        """Where a free image goes whose component goes home: there, or nowhere."""
        named = self._named[position]
        return home if not touched & ~(1 << home) and named in (0, home) else 0

    def _find_homes(self, components: Components, fixed: bytearray, touched: bytearray, homes: bytearray) -> None:
        """The components that must go to a certain split: where most of their images have neighbours.

        Without such neighbours it is where most named images want to go. Of equals the first split wins.
        """
        votes: dict[int, list[int]] = {}
        for position, side in enumerate(fixed):
            if side or not (touched[position] or self._named[position]):
                continue
            own = votes.setdefault(components.find(position), [0] * 2 * len(_NAMES))
            for code in _EVERY:
                own[code] += bool(touched[position] & 1 << code)
            own[len(_NAMES) + self._named[position]] += 1
        for name, own in votes.items():
            by_neighbours, by_name = own[: len(_NAMES)], own[len(_NAMES) :]
            homes[name] = max(_EVERY, key=lambda code: (by_neighbours[code], by_name[code], -code))

    def _balance(
        self, components: Components, fixed: bytearray, touched: bytearray, homes: bytearray, free: array[int]
    ) -> None:
        """Give the free components to splits by size, and where it is asked for by labels."""
        joined: dict[int, dict[int, int]] = {}
        taken: list[dict[int, int]] = [{IMAGES: 0} for _ in SPLITS]
        for position, side in enumerate(fixed):
            name = components.find(position)
            if side or homes[name]:
                side = side or self._side(position, homes[name], touched[position])
                if side:
                    _add(taken[side - 1], self._content(position))
            elif name != position:
                _add(joined.setdefault(name, self._content(name)), self._content(position))

        def content(name: int) -> Content:
            return joined.get(name) or self._content(name)

        totals: dict[int, int] = {}
        for held in taken:
            _add(totals, held)
        for name in free:
            _add(totals, content(name))
        shares = [self._policy.shares[name] for name in SPLITS]
        names = order(free, content, totals, self._points.__getitem__)
        Balance(shares, taken, totals).spread(names, content, homes)

    def _content(self, position: int) -> dict[int, int]:
        return {IMAGES: 1} if self._labels is None else {IMAGES: 1, **self._labels.of(position)}

    def _leaks(self, touched: bytearray) -> dict[str, Any]:
        """Images with a neighbour in another split: named so by somebody, or placed so before."""
        images = 0
        examples: list[str] = []
        for position, (side, near) in enumerate(zip(self._sides, touched, strict=True)):
            if side and near & ~(1 << side):
                images += 1
                if len(examples) < REPORT_IDS:
                    examples.append(self._uid(position))
        return {"images": images, "examples": examples}

    def _summary(self, sizes: array[int], leaks: dict[str, Any]) -> dict[str, Any]:
        policy, counts = self._policy, {name: self._sides.count(_CODES[name]) for name in SPLITS}
        placed = sum(counts.values())
        overruled = sum(
            1 for named, side in zip(self._named, self._sides, strict=True) if named and side and named != side
        )
        return {
            "mode": policy.mode,
            "group": list(policy.groups),
            "near_duplicates": policy.near_duplicates,
            "leaks_policy": policy.leaks,
            "stable": policy.stable,
            "asked": {name: round(share, 6) for name, share in policy.shares.items()},
            "reached": {name: round(count / placed, 6) if placed else 0.0 for name, count in counts.items()},
            "images": counts,
            "components": sum(1 for size in sizes if size),
            "largest_component": max(sizes, default=0),
            "anchored": len(self._anchored) - self._anchored.count(0),
            "named": len(self._named) - self._named.count(0),
            "overruled": overruled,
            "conflicts": self._sides.count(0),
            "leaks": leaks,
            "unhashed": self._unhashed,
        }


class _Ahead:
    """Ascending (uid, split) pairs, read just as far as they are asked for."""

    def __init__(self, pairs: Iterable[Placement]) -> None:
        self._pairs = iter(pairs)
        self._next = next(self._pairs, None)

    def of(self, uid: str) -> str | None:
        """Ask in ascending order."""
        while self._next is not None and self._next[0] < uid:
            self._next = next(self._pairs, None)
        return self._next[1] if self._next is not None and self._next[0] == uid else None


class _Values:
    """Which images have which group value: 64 bits of the value's digest and the image's position, in 256 drawers."""

    def __init__(self) -> None:
        self._drawers = [(array("Q"), array("I")) for _ in range(256)]

    def add(self, value: str, position: int) -> None:
        digest = hashlib.sha256(value.encode(errors="surrogatepass")).digest()
        digests, positions = self._drawers[digest[0]]
        digests.append(int.from_bytes(digest[:8], "big"))
        positions.append(position)

    def join(self, fixed: bytearray, components: Components, touched: bytearray) -> None:
        """Unite the free images of each value, and note for all of them which fixed kinds it has."""
        for digests, positions in self._drawers:
            kinds: dict[int, int] = {}
            first: dict[int, int] = {}
            for digest, position in zip(digests, positions, strict=True):
                kinds[digest] = kinds.get(digest, 0) | 1 << fixed[position] & ~1
                if not fixed[position]:
                    components.unite(first.setdefault(digest, position), position)
            for digest, position in zip(digests, positions, strict=True):
                touched[position] |= kinds[digest]


class _Labels:
    """How many of each label each image has, in arrays."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._ends, self._whats, self._counts = array("Q", [0]), array("I"), array("I")

    def add(self, labels: Mapping[str, int]) -> None:
        for label in sorted(labels):
            self._whats.append(self._numbers.setdefault(label, len(self._numbers)))
            self._counts.append(labels[label])
        self._ends.append(len(self._whats))

    def of(self, position: int) -> dict[int, int]:
        start, end = self._ends[position], self._ends[position + 1]
        return dict(zip(self._whats[start:end], self._counts[start:end], strict=True))


def _is_several(bits: int) -> bool:
    return bits & (bits - 1) != 0


def _add(held: dict[int, int], content: Content) -> None:
    for what, count in content.items():
        held[what] = held.get(what, 0) + count


def placements_in(lines: Iterable[bytes]) -> Iterator[Placement]:
    """(uid, split) of each line of a version's objects.jsonl, in its order: ascending."""
    for line in lines:
        place = json.loads(line)
        yield place["uid"], place["split"]


def listed(lines: Iterable[bytes]) -> Iterator[Placement]:
    """(uid, split) of each line of a stored list (`listing`)."""
    for line in lines:
        uid, split = line.decode().split()
        yield uid, split


def listing(lists: Mapping[str, str]) -> bytes:
    """The stored form of uid → split: a line each, sorted by uid."""
    return "".join(f"{uid} {lists[uid]}\n" for uid in sorted(lists)).encode()
