"""One image with its labels as the network is to see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataloop_jobs.masks import Regions


@dataclass(frozen=True)
class Example:
    """Everything is in pixels of the square network input, S × S.

    pixels: uint8 (S, S, 3) RGB. labels: int64 (N,). boxes: float32 (N, 4) left, top, right, bottom; zeros where a label
    has none. visible: bool (N,), whether enough of a box is left in the image to be learnt. regions: int32 (S, S), which
    of the N objects a pixel shows (masks.py), or None where nobody asked.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    visible: NDArray[np.bool_]
    regions: Regions | None = None

    @property
    def size(self) -> int:
        """Side of the image."""
        return int(self.pixels.shape[0])
