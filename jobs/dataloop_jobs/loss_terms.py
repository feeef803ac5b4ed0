"""A loss as terms that can be added up over the shares of a batch.

Several processes each see a share of every batch. A mean of their means would weigh an image by who happened to see it;
so a loss says for each of its terms the sum and what the sum is divided by, and both are added over all shares first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One part of a loss: total / max(count, least).

    total: scalar with gradient, summed over the images. count: scalar without gradient that can be summed over images
    too (examples, objects, pixels, weights).
    """

    total: Tensor
    count: Tensor
    least: float = 1e-6


def mean_loss(terms: Sequence[Term]) -> Tensor:
    """The loss of a batch that is seen as a whole: scalar with gradient."""
    return weighted(terms, [term.count for term in terms])


def weighted(terms: Sequence[Term], counts: Sequence[Tensor]) -> Tensor:
    """The part that these totals have in a loss whose counts, over all shares, are `counts`."""
    parts = [term.total / count.clamp(min=term.least) for term, count in zip(terms, counts, strict=True)]
    return torch.stack(parts).sum()
