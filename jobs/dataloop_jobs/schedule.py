"""Learning rate over the steps of a training."""

from __future__ import annotations

import math


def rate(step: int, total: int, warmup: float) -> float:
    """Share of the highest learning rate at `step` of `total` (both from 0): a linear rise, then half a cosine to 0.

    warmup: share of all steps that rise.
    """
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
