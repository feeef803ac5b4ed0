"""Dropout that does not depend on how a batch is shared out or on what was drawn before."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Dropout(nn.Module):
    """Like torch.nn.Dropout on (N, …) tensors, but the mask is drawn for the whole batch from (seed, step).

    Each process then takes the rows of its share, so that two processes drop what one would have dropped, and a resumed
    training needs no saved random state. The engine says before each step where it is; without that (outside the
    engine) torch's own random state is used.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self._place: tuple[int, int, int] | None = None

    def place(self, seed: int, first: int, of: int) -> None:
        """seed: of this step. The next forward pass sees examples `first` and on of a batch of `of`."""
        self._place = (seed, first, of)

    def forward(self, x: Tensor) -> Tensor:
        return self._drop(x) if self.training and self.probability else x

    @torch.compiler.disable  # the place changes with every step: compiled, each step would be compiled anew
    def _drop(self, x: Tensor) -> Tensor:
        if self._place is None:
            return F.dropout(x, self.probability)
        seed, first, of = self._place
        # On the CPU whatever the device: the mask is small, and the same on every machine.
        drawn = torch.rand((of, *x.shape[1:]), generator=torch.Generator().manual_seed(seed))
        kept = (drawn[first : first + len(x)] >= self.probability).to(x.device, x.dtype)
        return x * kept / (1 - self.probability)
