"""Learning rate over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence


def rate(
    step: int,
    total: int,
    *,
    warmup: float,
    schedule: str = "cosine",
    milestones: Sequence[float] = (),
    gamma: float = 1.0,
) -> float:
    """Share of the highest learning rate at `step` of `total` (both from 0): a linear rise, then the schedule.

    warmup: share of all steps that rise. schedule: "cosine" falls along half a cosine to 0, "step" is multiplied by
    gamma at each milestone (shares of all steps), "constant" stays at 1.
    """
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        passed = sum(step >= milestone * total for milestone in milestones)
        return float(gamma**passed)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
