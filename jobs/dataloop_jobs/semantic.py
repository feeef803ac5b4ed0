"""Semantic segmentation: head and loss. Source of the head: Howard et al., "MobileNetV3" (LR-ASPP), arXiv 1905.02244."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from dataloop_jobs.fcos import tower
from dataloop_jobs.loss_terms import Term

_WIDTH = 64
# Target of a pixel that is not part of the image: it counts for nothing.
IGNORED = -1
# How much more a pixel of a rare label weighs: its label's pixels to the power of minus this. Measured on composed scenes:
# with 0.5 "background everywhere" is left only after some hundred steps, with 1 the result is 0.03 mIoU lower.
_RARITY = 0.75


class Head(nn.Module):
    """{stride: (N, C, h, w)} → logits (N, classes, H/8, W/8), a raw convolution result.

    As in LR-ASPP the whole image's mean decides how much each channel counts; unlike there all three strides are added
    up at the finest, which thin objects need.
    """

    def __init__(self, channels: Mapping[int, int], num_classes: int):
        super().__init__()
        self.strides = tuple(sorted(channels))
        self.lateral = nn.ModuleList(nn.Conv2d(channels[stride], _WIDTH, 1) for stride in self.strides)
        self.gate = nn.Conv2d(channels[self.strides[-1]], _WIDTH, 1)
        self.tower = tower(_WIDTH, 2)
        self.classes = nn.Conv2d(_WIDTH, num_classes, 1)

    def forward(self, features: Mapping[int, Tensor]) -> Tensor:
        level: Tensor | None = None
        for index in reversed(range(len(self.strides))):
            here: Tensor = self.lateral[index](features[self.strides[index]])
            if level is not None:
                here = here + F.interpolate(level, scale_factor=2.0, mode="bilinear", align_corners=False)
            level = here
        assert level is not None
        context = features[self.strides[-1]].mean(dim=(2, 3), keepdim=True)
        logits: Tensor = self.classes(self.tower(level * torch.sigmoid(self.gate(context))))
        return logits


def loss(logits: Tensor, classes: Tensor) -> list[Term]:
    """Cross-entropy over pixels, rare labels weighing more, and Dice over the labels; both means over the images.

    logits: (N, C, h, w). classes: int64 (N, S, S), IGNORED outside the image. Dice is the mean over the labels that an
    image shows. Cost: C × S × S numbers an image, several times over.
    """
    scaled = F.interpolate(logits, size=classes.shape[1:], mode="bilinear", align_corners=False)
    counted = (classes != IGNORED).to(scaled.dtype)
    wanted = F.one_hot(classes.clamp(min=0), logits.shape[1]).permute(0, 3, 1, 2).to(scaled.dtype) * counted[:, None]
    pixels = wanted.sum(dim=(2, 3))
    weights = (wanted * pixels.clamp(min=1.0).pow(-_RARITY)[:, :, None, None]).sum(dim=1)
    each = F.cross_entropy(scaled, classes, ignore_index=IGNORED, reduction="none")
    entropy = (each * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=1e-6)
    probability = scaled.softmax(dim=1) * counted[:, None]
    shared, both = (probability * wanted).sum(dim=(2, 3)), probability.sum(dim=(2, 3)) + pixels
    shown = (pixels > 0).to(scaled.dtype)
    unlike = (1 - 2 * shared / both.clamp(min=1e-6)) * shown
    dice = unlike.sum(dim=1) / shown.sum(dim=1).clamp(min=1.0)
    images = torch.tensor(float(len(classes)), device=logits.device)
    return [Term(entropy.sum(), images), Term(dice.sum(), images)]
