"""FCOS: anchor-free detection head, target assignment and loss. Source: Tian et al., "FCOS", arXiv 1904.01355.

The network's outputs are raw convolution results, one (N, extra + classes + 5, H/s, W/s) map a stride s: what a task
type wants beside boxes (`extra` numbers, usually none), class logits, then the four distances to the box's sides (log
of distance / s), then the centre-ness logit. `decode` turns them into boxes outside the graph, in numpy, for torch and
ONNX Runtime alike: one path, nothing to keep in step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from dataloop_inference.decoding.fcos import locations
from dataloop_jobs.loss_terms import Term

# A box is learnt at the stride where its longest distance from centre to side lies within these multiples of the stride
# (the paper's 0-64 at stride 8, 64-128 at 16, above at 32).
_LARGEST_REACH = 8.0
# A location learns a box only within this many strides of the box's centre (the paper's centre sampling).
_CENTRE_RADIUS = 1.5
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0
# Channels of pyramid and towers: a quarter of the paper's, for a body of a twentieth of its size.
WIDTH = 64
# Start near "no object anywhere", or the first steps drown in false positives.
_PRIOR = 0.01


class Head(nn.Module):
    """Feature pyramid and shared prediction towers. {stride: (N, C, h, w)} → list of maps, small stride first."""

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, *, extra: int = 0, width: int = WIDTH, depth: int = 1
    ):
        super().__init__()
        self.strides = tuple(sorted(channels))
        self.num_classes = num_classes
        self.lateral = nn.ModuleList(nn.Conv2d(channels[stride], width, 1) for stride in self.strides)
        self.class_tower = tower(width, depth)
        self.box_tower = tower(width, depth)
        self.classes = nn.Conv2d(width, num_classes, 3, padding=1)
        self.sides = nn.Conv2d(width, 4, 3, padding=1)
        self.centre = nn.Conv2d(width, 1, 3, padding=1)
        self.extra_numbers = nn.Conv2d(width, extra, 3, padding=1) if extra else None
        for layer in (self.classes, self.sides, self.centre):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(_bias(layer))
        nn.init.constant_(_bias(self.classes), -math.log((1 - _PRIOR) / _PRIOR))
        # Distances start at two strides: about the smallest box that can be learnt at a level.
        nn.init.constant_(_bias(self.sides), math.log(2.0))

    def forward(self, features: Mapping[int, Tensor]) -> list[Tensor]:
        return [self.predict(level) for level in self.levels(features)]

    def levels(self, features: Mapping[int, Tensor]) -> list[Tensor]:
        """The pyramid: each stride's features, with those of the larger strides added: (N, width, h, w)."""
        levels: list[Tensor] = []
        for index in reversed(range(len(self.strides))):
            level = self.lateral[index](features[self.strides[index]])
            if levels:
                level = level + F.interpolate(levels[-1], scale_factor=2.0, mode="nearest")
            levels.append(level)
        return levels[::-1]

    def predict(self, level: Tensor) -> Tensor:
        """One level's output map."""
        by_class, by_box = self.class_tower(level), self.box_tower(level)
        parts = [self.classes(by_class), self.sides(by_box), self.centre(by_box)]
        if self.extra_numbers is not None:
            parts.insert(0, self.extra_numbers(by_box))
        return torch.cat(parts, dim=1)


def tower(width: int, depth: int) -> nn.Sequential:
    """`depth` times: convolution 3 × 3, GroupNorm (small batches have no statistics), ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
    return nn.Sequential(*layers)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


@dataclass(frozen=True)
class Targets:
    """What each location should say. L = locations of all levels, small stride first.

    objects: int64 (L,), which box, and classes: int64 (L,), which label; -1 where there is no object. sides: float32
    (L, 4), distances in strides (0 without object). centre: float32 (L,), centre-ness 0..1.
    """

    objects: NDArray[np.int64]
    classes: NDArray[np.int64]
    sides: NDArray[np.float32]
    centre: NDArray[np.float32]


def assign(boxes: NDArray[np.float32], classes: NDArray[np.int64], size: int, strides: Sequence[int]) -> Targets:
    """Give every location the smallest box that it may predict.

    boxes: (N, 4) pixels of the square network input of `size`; classes: (N,). A location may predict a box when it lies
    inside it, within 1.5 strides of its centre, and the box's reach belongs to the level. A box that no location may
    predict (thinner than a cell) goes to the location nearest to its centre, so that no label is silently unused.
    """
    parts = [_assign_level(boxes, size, stride, index, len(strides)) for index, stride in enumerate(strides)]
    may = np.concatenate([part[0] for part in parts])
    distances = np.concatenate([part[1] for part in parts])
    count = len(may)
    if not len(boxes):
        nothing = np.full(count, -1, np.int64)
        return Targets(nothing, nothing, np.zeros((count, 4), np.float32), np.zeros(count, np.float32))
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    cost = np.where(may, areas[None, :], np.inf)
    chosen = cost.argmin(axis=1)
    has_object = np.isfinite(cost[np.arange(count), chosen])
    sides = np.where(has_object[:, None], distances[np.arange(count), chosen], 0).astype(np.float32)
    horizontal, vertical = sides[:, 0::2], sides[:, 1::2]
    ratio = horizontal.min(1) * vertical.min(1) / np.maximum(horizontal.max(1) * vertical.max(1), 1e-6)
    centre = np.sqrt(np.clip(ratio, 0, 1)).astype(np.float32)
    return Targets(np.where(has_object, chosen, -1), np.where(has_object, classes[chosen], -1), sides, centre)


def _assign_level(
    boxes: NDArray[np.float32], size: int, stride: int, index: int, levels: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """May location l predict box n: bool (l, n); its distances to the sides in strides: float32 (l, n, 4)."""
    cells = size // stride
    points = locations(cells, cells, stride)
    low, high = points[:, None, :] - boxes[None, :, :2], boxes[None, :, 2:] - points[:, None, :]
    distances = np.concatenate([low, high], axis=2)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    off_centre = np.abs(points[:, None, :] - centres[None, :, :]).max(axis=2)
    inside = distances.min(axis=2) > 0
    reach = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2
    lowest = 0.0 if index == 0 else _LARGEST_REACH * stride / 2
    highest = math.inf if index == levels - 1 else _LARGEST_REACH * stride
    fits = (reach >= lowest) & (reach < highest)
    may = inside & (off_centre < _CENTRE_RADIUS * stride) & fits[None, :]
    if len(boxes):
        orphans = np.flatnonzero(fits & ~may.any(axis=0))
        nearest = off_centre[:, orphans].argmin(axis=0)
        may[nearest, orphans] = True
    return may, np.clip(distances, 0.01 * stride, None) / stride


def loss(maps: Sequence[Tensor], classes: Tensor, sides: Tensor, centre: Tensor, num_classes: int) -> dict[str, Term]:
    """Focal loss for classes, generalised IoU for boxes, cross-entropy for centre-ness.

    classes (N, L), sides (N, L, 4), centre (N, L): stacked `Targets`. Classes and centre-ness are divided by the number
    of locations that hold an object, at least 1; boxes are averaged with the centre-ness as weight.
    """
    flat = torch.cat([m.flatten(2) for m in maps], dim=2).transpose(1, 2)
    logits, raw_sides, raw_centre = flat[..., :num_classes], flat[..., num_classes : num_classes + 4], flat[..., -1]
    positive = classes >= 0
    count = positive.sum().to(flat.dtype)
    wanted = F.one_hot(classes.clamp(min=0), num_classes).to(flat.dtype) * positive[..., None]
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    probability = torch.sigmoid(logits)
    missed = wanted + (1 - 2 * wanted) * probability
    weight = _FOCAL_ALPHA * wanted + (1 - _FOCAL_ALPHA) * (1 - wanted)
    class_loss = Term((weight * missed.pow(_FOCAL_GAMMA) * entropy).sum(), count, least=1.0)
    if not bool(positive.any()):
        # Keep the box branch in the graph, so that a batch of negative images still has gradients everywhere.
        nothing = Term((raw_sides.sum() + raw_centre.sum()) * 0, count)
        return {"class": class_loss, "box": nothing, "centre": nothing}
    box_loss = _generalised_iou_loss(raw_sides[positive].clamp(max=8).exp(), sides[positive], centre[positive])
    centre_loss = F.binary_cross_entropy_with_logits(raw_centre[positive], centre[positive], reduction="sum")
    return {"class": class_loss, "box": box_loss, "centre": Term(centre_loss, count, least=1.0)}


def _generalised_iou_loss(predicted: Tensor, wanted: Tensor, weight: Tensor) -> Term:
    """1 - GIoU of boxes given as distances from one point, averaged with the centre-ness as weight."""
    shared = torch.minimum(predicted, wanted)
    hull = torch.maximum(predicted, wanted)
    inter = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    union = _area(predicted) + _area(wanted) - inter
    enclosing = _area(hull)
    giou = inter / union.clamp(min=1e-6) - (enclosing - union) / enclosing.clamp(min=1e-6)
    return Term(((1 - giou) * weight).sum(), weight.sum())


def _area(distances: Tensor) -> Tensor:
    return (distances[:, 0] + distances[:, 2]) * (distances[:, 1] + distances[:, 3])
