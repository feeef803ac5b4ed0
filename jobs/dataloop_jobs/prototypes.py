"""Instance masks as sums of prototypes. Source: Bolya et al., "YOLACT", arXiv 1904.02689.

The network draws a few prototype images for the whole input and says, for each object, how much of each makes up its
mask. That costs almost nothing more than detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_jobs.fcos import Targets, tower
from dataloop_jobs.loss_terms import Term
from dataloop_jobs.masks import BACKGROUND, Regions

# Prototypes, and pixels of the network input a cell of them. The paper uses 32 for the 80 labels of COCO.
COUNT = 16
STRIDE = 4
# Locations that learn an object's mask: the best centred ones. More say the same and cost memory.
_PER_OBJECT = 3


class Prototypes(nn.Module):
    """The finest pyramid level (N, width, H/8, W/8) → prototypes (N, COUNT, H/4, W/4), raw convolution results."""

    def __init__(self, width: int):
        super().__init__()
        self.coarse = tower(width, 1)
        self.fine = tower(width, 1)
        self.out = nn.Conv2d(width, COUNT, 1)

    def forward(self, level: Tensor) -> Tensor:
        scaled = F.interpolate(self.coarse(level), scale_factor=2.0, mode="bilinear", align_corners=False)
        prototypes: Tensor = self.out(self.fine(scaled))
        return prototypes


@dataclass(frozen=True)
class MaskTargets:
    """Which mask each location should say. L = locations of all levels; h, w = cells of the prototypes.

    regions: int64 (h, w), number of the object that a cell shows, negative where none. objects: int64 (L,), number of
    the object whose mask the location learns, -1 for none. boxes: float32 (L, 4), that object's box in cells.
    """

    regions: NDArray[np.int64]
    objects: NDArray[np.int64]
    boxes: NDArray[np.float32]


def assign(targets: Targets, boxes: NDArray[np.float32], numbers: NDArray[np.int64], regions: Regions) -> MaskTargets:
    """boxes: float32 (n, 4) pixels, as given to fcos.assign; numbers: int64 (n,), their numbers in `regions` (S, S).

    Objects of which no cell is left (hidden, or too thin) are no targets.
    """
    cells = regions[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    shown = set(np.unique(cells).tolist())
    objects = np.full(len(targets.objects), BACKGROUND, dtype=np.int64)
    corners = np.zeros((len(objects), 4), dtype=np.float32)
    for index, number in enumerate(numbers.tolist()):
        if number not in shown:
            continue
        places = np.flatnonzero(targets.objects == index)
        best = places[np.argsort(-targets.centre[places], kind="stable")[:_PER_OBJECT]]
        objects[best], corners[best] = number, boxes[index] / STRIDE
    return MaskTargets(cells.astype(np.int64), objects, corners)


def loss(maps: Sequence[Tensor], prototypes: Tensor, regions: Tensor, objects: Tensor, boxes: Tensor) -> list[Term]:
    """Cross-entropy and Dice of each object's mask inside its box, averaged over the locations that learn one.

    maps: the first COUNT channels of FCOS's outputs. The rest: stacked `MaskTargets`.
    """
    weights = torch.cat([one.flatten(2) for one in maps], dim=2).transpose(1, 2)
    count = (objects >= 0).sum().to(prototypes.dtype)
    entropy, dice = (weights.sum() + prototypes.sum()) * 0, prototypes.sum() * 0
    height, width = prototypes.shape[2:]
    xs = torch.arange(width, device=prototypes.device) + 0.5
    ys = torch.arange(height, device=prototypes.device) + 0.5
    for image in range(len(prototypes)):
        places = torch.nonzero(objects[image] >= 0)[:, 0]
        if not len(places):
            continue
        logits = torch.einsum("pk,khw->phw", weights[image, places], prototypes[image])
        wanted = (regions[image][None] == objects[image, places, None, None]).to(logits.dtype)
        left, top, right, bottom = (side[:, None] for side in boxes[image, places].unbind(1))
        across, down = (xs >= left) & (xs < right), (ys >= top) & (ys < bottom)
        inside = (down[:, :, None] & across[:, None, :]).to(logits.dtype)
        area = inside.sum(dim=(1, 2)).clamp(min=1.0)
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        entropy = entropy + ((each * inside).sum(dim=(1, 2)) / area).sum()
        probability, wanted = torch.sigmoid(logits) * inside, wanted * inside
        shared = (probability * wanted).sum(dim=(1, 2))
        both = probability.sum(dim=(1, 2)) + wanted.sum(dim=(1, 2))
        dice = dice + (1 - 2 * shared / both.clamp(min=1e-6)).sum()
    return [Term(entropy, count, least=1.0), Term(dice, count, least=1.0)]
