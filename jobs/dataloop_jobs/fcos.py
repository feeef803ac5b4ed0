"""FCOS: anchor-free detection head, target assignment and loss. Source: Tian et al., "FCOS", arXiv 1904.01355.

The network's outputs are raw convolution results, one (N, classes + 5, H/s, W/s) map a stride s: class logits, then the
four distances to the box's sides (log of distance / s), then the centre-ness logit. `decode` turns them into boxes
outside the graph, in numpy, for torch and ONNX Runtime alike: one path, nothing to keep in step.
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

from dataloop_jobs.boxes import suppress

# A box is learnt at the stride where its longest distance from centre to side lies within these multiples of the stride
# (the paper's 0-64 at stride 8, 64-128 at 16, above at 32).
_LARGEST_REACH = 8.0
# A location learns a box only within this many strides of the box's centre (the paper's centre sampling).
_CENTRE_RADIUS = 1.5
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0
# Start near "no object anywhere", or the first steps drown in false positives.
_PRIOR = 0.01


@dataclass(frozen=True)
class DecodeSettings:
    """How maps become boxes. It is written into model.json, so that every consumer decodes alike."""

    score_floor: float = 0.05
    candidates_per_level: int = 400
    overlap_limit: float = 0.6
    boxes_per_image: int = 100


class Head(nn.Module):
    """Feature pyramid and shared prediction towers. {stride: (N, C, h, w)} → list of maps, small stride first."""

    def __init__(self, channels: Mapping[int, int], num_classes: int, width: int = 64, depth: int = 1):
        super().__init__()
        self.strides = tuple(sorted(channels))
        self.num_classes = num_classes
        self.lateral = nn.ModuleList(nn.Conv2d(channels[stride], width, 1) for stride in self.strides)
        self.class_tower = _tower(width, depth)
        self.box_tower = _tower(width, depth)
        self.classes = nn.Conv2d(width, num_classes, 3, padding=1)
        self.sides = nn.Conv2d(width, 4, 3, padding=1)
        self.centre = nn.Conv2d(width, 1, 3, padding=1)
        for layer in (self.classes, self.sides, self.centre):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(_bias(layer))
        nn.init.constant_(_bias(self.classes), -math.log((1 - _PRIOR) / _PRIOR))
        # Distances start at two strides: about the smallest box that can be learnt at a level.
        nn.init.constant_(_bias(self.sides), math.log(2.0))

    def forward(self, features: Mapping[int, Tensor]) -> list[Tensor]:
        maps: list[Tensor] = []
        above: Tensor | None = None
        for index in reversed(range(len(self.strides))):
            level = self.lateral[index](features[self.strides[index]])
            if above is not None:
                level = level + F.interpolate(above, scale_factor=2.0, mode="nearest")
            above = level
            by_class, by_box = self.class_tower(level), self.box_tower(level)
            maps.append(torch.cat([self.classes(by_class), self.sides(by_box), self.centre(by_box)], dim=1))
        return maps[::-1]


def _tower(width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
    return nn.Sequential(*layers)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def locations(height: int, width: int, stride: int) -> NDArray[np.float32]:
    """Pixel centres (x, y) of a map's cells, row by row: float32 (height × width, 2)."""
    ys, xs = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return (np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float32) + 0.5) * stride


@dataclass(frozen=True)
class Targets:
    """What each location should say. L = locations of all levels, small stride first.

    classes: int64 (L,), -1 where there is no object. sides: float32 (L, 4), distances in strides (0 without object).
    centre: float32 (L,), centre-ness 0..1.
    """

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
        return Targets(np.full(count, -1, np.int64), np.zeros((count, 4), np.float32), np.zeros(count, np.float32))
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    cost = np.where(may, areas[None, :], np.inf)
    chosen = cost.argmin(axis=1)
    has_object = np.isfinite(cost[np.arange(count), chosen])
    sides = np.where(has_object[:, None], distances[np.arange(count), chosen], 0).astype(np.float32)
    horizontal, vertical = sides[:, 0::2], sides[:, 1::2]
    ratio = horizontal.min(1) * vertical.min(1) / np.maximum(horizontal.max(1) * vertical.max(1), 1e-6)
    centre = np.sqrt(np.clip(ratio, 0, 1)).astype(np.float32)
    return Targets(np.where(has_object, classes[chosen], -1), sides, centre)


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


def loss(maps: Sequence[Tensor], classes: Tensor, sides: Tensor, centre: Tensor, num_classes: int) -> dict[str, Tensor]:
    """Focal loss for classes, generalised IoU for boxes, cross-entropy for centre-ness; each a scalar.

    classes (N, L), sides (N, L, 4), centre (N, L): stacked `Targets`. Losses are divided by the number of locations
    that hold an object, at least 1.
    """
    flat = torch.cat([m.flatten(2) for m in maps], dim=2).transpose(1, 2)
    logits, raw_sides, raw_centre = flat[..., :num_classes], flat[..., num_classes : num_classes + 4], flat[..., -1]
    positive = classes >= 0
    count = positive.sum().clamp(min=1).to(flat.dtype)
    wanted = F.one_hot(classes.clamp(min=0), num_classes).to(flat.dtype) * positive[..., None]
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    probability = torch.sigmoid(logits)
    missed = wanted + (1 - 2 * wanted) * probability
    weight = _FOCAL_ALPHA * wanted + (1 - _FOCAL_ALPHA) * (1 - wanted)
    class_loss = (weight * missed.pow(_FOCAL_GAMMA) * entropy).sum() / count
    if not bool(positive.any()):
        # Keep the box branch in the graph, so that a batch of negative images still has gradients everywhere.
        nothing = (raw_sides.sum() + raw_centre.sum()) * 0
        return {"class": class_loss, "box": nothing, "centre": nothing}
    box_loss = _generalised_iou_loss(raw_sides[positive].clamp(max=8).exp(), sides[positive], centre[positive])
    centre_loss = F.binary_cross_entropy_with_logits(raw_centre[positive], centre[positive], reduction="sum") / count
    return {"class": class_loss, "box": box_loss, "centre": centre_loss}


def _generalised_iou_loss(predicted: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """1 - GIoU of boxes given as distances from one point, averaged with the centre-ness as weight."""
    shared = torch.minimum(predicted, wanted)
    hull = torch.maximum(predicted, wanted)
    inter = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    union = _area(predicted) + _area(wanted) - inter
    enclosing = _area(hull)
    giou = inter / union.clamp(min=1e-6) - (enclosing - union) / enclosing.clamp(min=1e-6)
    return ((1 - giou) * weight).sum() / weight.sum().clamp(min=1e-6)


def _area(distances: Tensor) -> Tensor:
    return (distances[:, 0] + distances[:, 2]) * (distances[:, 1] + distances[:, 3])


@dataclass(frozen=True)
class Detections:
    """Boxes of one image, best score first: boxes float32 (n, 4) in input pixels, scores (n,), classes (n,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def decode(maps: Sequence[NDArray[np.float32]], strides: Sequence[int], settings: DecodeSettings) -> list[Detections]:
    """Network outputs (numpy, one map a stride) → boxes of each image of the batch."""
    return [_decode_one([m[image] for m in maps], strides, settings) for image in range(len(maps[0]))]


def _decode_one(maps: Sequence[NDArray[np.float32]], strides: Sequence[int], settings: DecodeSettings) -> Detections:
    boxes, scores, classes = [], [], []
    for values, stride in zip(maps, strides, strict=True):
        channels, height, width = values.shape
        flat = values.reshape(channels, -1)
        # The geometric mean of class probability and centre-ness, as in the paper's later version.
        score = np.sqrt(_sigmoid(flat[:-5]) * _sigmoid(flat[-1:]))
        label, cell = np.nonzero(score >= settings.score_floor)
        found = score[label, cell]
        best = np.argsort(-found, kind="stable")[: settings.candidates_per_level]
        label, cell = label[best], cell[best]
        reach = np.exp(np.clip(flat[-5:-1, cell], None, 8)) * stride
        points = locations(height, width, stride)[cell]
        boxes.append(np.stack([*(points.T - reach[:2]), *(points.T + reach[2:])], axis=1))
        scores.append(found[best])
        classes.append(label)
    box, score, label = np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes).astype(np.int64)
    height_px, width_px = maps[0].shape[1] * strides[0], maps[0].shape[2] * strides[0]
    box = np.clip(box, 0, np.array([width_px, height_px, width_px, height_px])).astype(np.float32)
    kept = suppress(box, score, label, settings.overlap_limit, settings.boxes_per_image)
    return Detections(box[kept], score[kept].astype(np.float32), label[kept])


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))), dtype=np.float32)
