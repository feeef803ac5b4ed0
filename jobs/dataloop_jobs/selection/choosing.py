"""The choice itself: pure, seeded, the same for the same input on every machine.

One greedy pass serves all strategies. Each step takes the image of highest value among those that may still be taken:

    random               a seeded shuffle
    uncertainty          the model's doubt
    diversity            distance to the nearest image that is chosen or labelled (k-centre; Sener and Savarese,
                         "Active Learning for Convolutional Neural Networks: A Core-Set Approach", arXiv 1708.00489)
    uncertainty_diversity   k-centre among the most doubtful

Which may be taken: no near-duplicate of a chosen one, at most per_group of a scene, and with balance only images of the
label that has been chosen least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# uncertainty_diversity looks for diversity among this many times the wanted number, the most doubtful ones: enough to
# choose from, and few enough to be doubtful.
_POOL = 4


@dataclass(frozen=True)
class Candidates:
    """All that is known of N images. features: float32 (N, D), each row of length 1, or None. doubt: (N,), or None.

    labels: what the model thinks each shows, "" when nothing. twins: groups of near-duplicates, by position.
    labelled: features (M, D) of images that people have labelled already.
    """

    uids: Sequence[str]
    groups: Sequence[str]
    features: NDArray[np.float32] | None = None
    doubt: NDArray[np.float64] | None = None
    labels: Sequence[str] = ()
    twins: Sequence[Sequence[int]] = ()
    labelled: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Wish:
    """What is asked for. per_group: images of one scene at most, 0 = any number."""

    strategy: str
    count: int
    seed: int = 0
    measure: str = "margin"
    per_group: int = 0
    balance: bool = False
    near_duplicates: bool = False


@dataclass(frozen=True)
class Choice:
    """One chosen image. position: in the candidates; value: what it was chosen by; reason: in words."""

    position: int
    value: float
    reason: str


@dataclass
class _Rules:
    """Which images may still be taken."""

    candidates: Candidates
    wish: Wish
    free: NDArray[np.bool_]
    left_out: Counter[str] = field(default_factory=Counter)
    _taken: Counter[str] = field(default_factory=Counter)
    _shown: Counter[str] = field(default_factory=Counter)

    def allowed(self) -> NDArray[np.bool_]:
        """free, cut down to the label that has been chosen least so far."""
        if not self.wish.balance:
            return self.free
        labels = self.candidates.labels
        open_labels = {labels[position] for position in np.flatnonzero(self.free).tolist()}
        rarest = min((self._shown[label], label) for label in open_labels)[1]
        return self.free & np.array([label == rarest for label in labels])

    def take(self, position: int) -> None:
        """Take the image, and with it everything that it excludes."""
        self.free[position] = False
        group = self.candidates.groups[position]
        self._taken[group] += 1
        if self.candidates.labels:
            self._shown[self.candidates.labels[position]] += 1
        if self.wish.per_group and self._taken[group] >= self.wish.per_group:
            self._exclude([i for i, other in enumerate(self.candidates.groups) if other == group], "scene is full")
        if not self.wish.near_duplicates:
            for twins in self.candidates.twins:
                if position in twins:
                    self._exclude(twins, "near-duplicate of a chosen one")

    def _exclude(self, positions: Sequence[int], reason: str) -> None:
        for position in positions:
            self.left_out[reason] += int(self.free[position])
            self.free[position] = False


def choose(candidates: Candidates, wish: Wish) -> tuple[list[Choice], dict[str, int]]:
    """At most wish.count images, the most wanted first, and how many were left out for which reason.

    The order of the candidates does not matter. Cost: count × N × D multiplications for diversity: 1,000 of 10,000
    images with 432 features take 3 s.
    """
    order = sorted(range(len(candidates.uids)), key=lambda position: candidates.uids[position])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    rules = _Rules(candidates, wish, np.ones(len(order), dtype=bool))
    value = _first_values(candidates, wish, rank)
    pool = _pool(candidates, wish, rank)
    spreads = wish.strategy in ("diversity", "uncertainty_diversity")
    chosen: list[Choice] = []
    while len(chosen) < wish.count and rules.free.any():
        allowed = rules.allowed()
        # The doubtful ones first; the others only when the rules leave none of those.
        inside = allowed & pool
        positions = np.flatnonzero(inside if inside.any() else allowed)
        best = positions[np.lexsort((rank[positions], -value[positions]))[0]]
        chosen.append(Choice(int(best), _finite(value[best]), _reason(candidates, wish, int(best), value[best])))
        rules.take(int(best))
        if spreads:
            assert candidates.features is not None
            value = np.minimum(value, _distances(candidates.features, candidates.features[best][None]))
    left_out = {**rules.left_out, "less wanted": int(rules.free.sum())}
    return chosen, {reason: count for reason, count in left_out.items() if count}


def _first_values(candidates: Candidates, wish: Wish, rank: NDArray[np.int64]) -> NDArray[np.float64]:
    if wish.strategy == "random":
        return np.random.default_rng(wish.seed).permutation(len(rank)).astype(np.float64)[rank]
    if wish.strategy == "uncertainty":
        assert candidates.doubt is not None
        return candidates.doubt
    assert candidates.features is not None
    if candidates.labelled is not None and len(candidates.labelled):
        return _distances(candidates.features, candidates.labelled)
    # Nothing is labelled: all are equally far from nothing, and the seed says where to begin.
    first = np.random.default_rng(wish.seed).permutation(len(rank))[rank]
    return np.where(first == 0, np.inf, 2.0)


def _pool(candidates: Candidates, wish: Wish, rank: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where diversity is looked for."""
    pool = np.ones(len(rank), dtype=bool)
    if wish.strategy == "uncertainty_diversity":
        assert candidates.doubt is not None
        pool[np.lexsort((rank, -candidates.doubt))[_POOL * wish.count :]] = False
    return pool


def _distances(features: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distance of each row to its nearest centre; rows of length 1, so 0 to 2."""
    nearest = np.full(len(features), -1.0)
    for start in range(0, len(centres), 512):
        nearest = np.maximum(nearest, (features @ centres[start : start + 512].T).max(axis=1))
    return np.sqrt(np.maximum(0.0, 2 - 2 * nearest))


def _finite(value: float) -> float:
    return round(float(value), 6) if np.isfinite(value) else 2.0


def _reason(candidates: Candidates, wish: Wish, position: int, value: float) -> str:
    doubt = f"{wish.measure} {candidates.doubt[position]:.3f}" if candidates.doubt is not None else ""
    if wish.strategy == "random":
        return "drawn at random"
    if wish.strategy == "uncertainty":
        return doubt
    apart = (
        f"{_finite(value):.3f} from all that is chosen or labelled" if np.isfinite(value) else "where the seed begins"
    )
    return f"{doubt}, {apart}" if wish.strategy == "uncertainty_diversity" else apart
