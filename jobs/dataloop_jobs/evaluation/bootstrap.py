"""How far a number could be off: percentile intervals over resamples of the images.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Images are drawn, not objects: objects
of one image are not independent of each other. Nothing is matched again: `Evidence` weighs what is known of each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dataloop_jobs.evaluation.evidence import Evidence, Numbers

LEVEL = 0.95
RESAMPLES = 1000
# Fewer make the ends of an interval jump from seed to seed.
FEWEST_RESAMPLES = 200
# Numbers that all resamples of one interval may look at: 25 s on one core (measured, 25 ns a number). Large test sets
# get fewer resamples, and need fewer: their intervals are narrow.
_WORK = 1_000_000_000
# Numbers of one block of resamples: 16 MB a table.
_BLOCK = 2_000_000


def resamples_for(size: int) -> int:
    """How many resamples evidence of this size gets: 1000, down to 200 where that would take too long."""
    return int(np.clip(_WORK // max(size, 1), FEWEST_RESAMPLES, RESAMPLES))


def draws(images: int, size: int, resamples: int, seed: int) -> Iterator[Numbers]:
    """Blocks of weights (b, images): how often each image is drawn, with replacement. The same for the same arguments
    but `size`, which only cuts the blocks.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(size, images, 1))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = rng.integers(0, images, (count, images)) + np.arange(count)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(np.float64)


def resampled(evidence: Evidence, measure: Callable[[Numbers], Numbers], resamples: int, seed: int) -> Numbers:
    """`measure` of each resample: (resamples, …). Empty without images."""
    blocks = draws(evidence.images, evidence.size, resamples, seed) if evidence.images else ()
    results = [measure(weights) for weights in blocks]
    return np.concatenate(results) if results else np.empty((0,))


def interval(values: Numbers) -> list[float] | None:
    """The middle 95% of the resampled values that could be computed. None without any."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    tail = (1 - LEVEL) / 2
    return [float(value) for value in np.quantile(known, [tail, 1 - tail])]


def primary_interval(evidence: Evidence, resamples: int, seed: int) -> list[float] | None:
    """The interval of the primary metric. None for fewer than two images: one image says nothing about another."""
    if evidence.images < 2:
        return None
    return interval(resampled(evidence, evidence.primary, resamples, seed))
