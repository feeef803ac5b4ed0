"""Whole components go to splits so that sizes, and the labels in them, come close to the shares that were asked for.

Greedy: the components with the rarest labels first, then the largest; each goes where it brings the sum of squared
relative errors down most. A second look then moves single components where that still helps. Source of the order:
Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-label Data" (ECML 2011), iterative stratification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

# What a component holds by number: of IMAGES so many, and of each label (any other number).
Content = Mapping[int, int]
IMAGES = -1
# Train, test, val: a dataset can do without val sooner than without the others.
_PREFERRED = (0, 2, 1)
# Looks over all components after the greedy pass; the third changed nothing any more in tests with 500 components.
_LOOKS = 2


class Balance:
    """How much each split holds, and what it still lacks."""

    def __init__(self, shares: Sequence[float], taken: Sequence[dict[int, int]], totals: Content) -> None:
        """shares: parts of 1. taken: what each split holds already. totals: of all components and what is taken."""
        self._shares = shares
        self._totals = totals
        self._taken = taken
        self._components = [min(1, held.get(IMAGES, 0)) for held in taken]

    def spread(self, names: Sequence[int], content: Callable[[int], Content], sides: bytearray) -> None:
        """Give every component a split: sides[name] becomes 1 + the split's index.

        names: in the order of `order`. No split with a share stays empty where there are components enough.
        """
        for name in names:
            self._put(name, content(name), self._best(content(name)), sides)
        for _ in range(_LOOKS if len(self._totals) > 1 else 0):
            for name in names:
                self._look(name, content(name), sides)
        self._fill(names, content, sides)

    def _put(self, name: int, content: Content, side: int, sides: bytearray) -> None:
        sides[name] = side + 1
        self._components[side] += 1
        self._add(content, side, 1)

    def _add(self, content: Content, side: int, sign: int) -> None:
        held = self._taken[side]
        for what, count in content.items():
            held[what] = held.get(what, 0) + sign * count

    def _best(self, content: Content) -> int:
        """The split that gains most; of equals the one with the larger share, then as in _PREFERRED."""
        sides = [side for side in _PREFERRED if self._shares[side]]
        return min(sides, key=lambda side: (self._loss(content, side), -self._shares[side]))

    def _loss(self, content: Content, side: int) -> float:
        """By how much the sum of squared relative errors would change."""
        held, share, loss = self._taken[side], self._shares[side], 0.0
        for what, count in content.items():
            total = self._totals[what]
            loss += count / total * (2 * (held.get(what, 0) - share * total) + count) / total
        return loss

    def _look(self, name: int, content: Content, sides: bytearray) -> None:
        side = sides[name] - 1
        if self._components[side] == 1:
            return
        self._take_out(content, side)
        self._put(name, content, self._best(content), sides)

    def _take_out(self, content: Content, side: int) -> None:
        self._components[side] -= 1
        self._add(content, side, -1)

    def _fill(self, names: Sequence[int], content: Callable[[int], Content], sides: bytearray) -> None:
        """An empty split gets the smallest component of the fullest one that can spare it: train, test, then val."""
        for side in _PREFERRED:
            rich = [other for other, count in enumerate(self._components) if count > 1]
            if not self._shares[side] or self._components[side] or not rich:
                continue
            by_size = sorted(rich, key=lambda other: -self._taken[other].get(IMAGES, 0))
            for donor in by_size:
                own = [name for name in names if sides[name] == donor + 1]
                if own:
                    smallest = min(reversed(own), key=lambda name: content(name)[IMAGES])
                    self._take_out(content(smallest), donor)
                    self._put(smallest, content(smallest), side, sides)
                    break


def order(
    names: Sequence[int], content: Callable[[int], Content], totals: Content, point: Callable[[int], float]
) -> list[int]:
    """The rarest labels first, then the largest components, then by the hash: the same for the same components."""

    def key(name: int) -> tuple[float, int, float]:
        held = content(name)
        rarest = min((totals[what] for what in held if what != IMAGES), default=float("inf"))
        return rarest, -held[IMAGES], point(name)

    return sorted(names, key=key)
