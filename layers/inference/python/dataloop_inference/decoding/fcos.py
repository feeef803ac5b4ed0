"""FCOS maps → boxes. Source: Tian et al., "FCOS", arXiv 1904.01355.

The network gives one (N, extra + classes + 5, H/s, W/s) map a stride s: what a task type wants beside boxes (`extra`
numbers, usually none), class logits, the four distances to the box's sides (log of distance / s), the centre-ness logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.boxes import suppress
from dataloop_inference.images import Letterbox
from dataloop_inference.predictions import Prediction


@dataclass(frozen=True)
class DecodeSettings:
    """How maps become boxes. It is written into model.json, so that every consumer decodes alike."""

    score_floor: float = 0.05
    candidates_per_level: int = 400
    overlap_limit: float = 0.6
    boxes_per_image: int = 100


def locations(height: int, width: int, stride: int) -> NDArray[np.float32]:
    """Pixel centres (x, y) of a map's cells, row by row: float32 (height × width, 2)."""
    ys, xs = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return (np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float32) + 0.5) * stride


@dataclass(frozen=True)
class Detections:
    """Boxes of one image, best score first: boxes float32 (n, 4) in input pixels, scores (n,), classes (n,).

    extra: float32 (n, extra), what the network says at the location of each box beside it.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    extra: NDArray[np.float32]


def find_boxes(
    maps: Sequence[NDArray[np.float32]], strides: Sequence[int], settings: DecodeSettings, extra: int = 0
) -> list[Detections]:
    """Network outputs (numpy, one map a stride) → boxes of each image of the batch."""
    return [_find_in_one([m[image] for m in maps], strides, settings, extra) for image in range(len(maps[0]))]


def _find_in_one(
    maps: Sequence[NDArray[np.float32]], strides: Sequence[int], settings: DecodeSettings, extra: int
) -> Detections:
    boxes, scores, classes, extras = [], [], [], []
    for values, stride in zip(maps, strides, strict=True):
        channels, height, width = values.shape
        flat = values.reshape(channels, -1)
        # The geometric mean of class probability and centre-ness, as in the paper's later version.
        score = np.sqrt(sigmoid(flat[extra:-5]) * sigmoid(flat[-1:]))
        label, cell = np.nonzero(score >= settings.score_floor)
        found = score[label, cell]
        best = np.argsort(-found, kind="stable")[: settings.candidates_per_level]
        label, cell = label[best], cell[best]
        reach = np.exp(np.clip(flat[-5:-1, cell], None, 8)) * stride
        points = locations(height, width, stride)[cell]
        boxes.append(np.stack([*(points.T - reach[:2]), *(points.T + reach[2:])], axis=1))
        scores.append(found[best])
        classes.append(label)
        extras.append(flat[:extra, cell].T)
    box, score, label = np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes).astype(np.int64)
    height_px, width_px = maps[0].shape[1] * strides[0], maps[0].shape[2] * strides[0]
    box = np.clip(box, 0, np.array([width_px, height_px, width_px, height_px])).astype(np.float32)
    kept = suppress(box, score, label, settings.overlap_limit, settings.boxes_per_image)
    return Detections(box[kept], score[kept].astype(np.float32), label[kept], np.concatenate(extras)[kept])


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logistic function; far-out values are cut, so that nothing overflows."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))), dtype=np.float32)


def to_predictions(found: Detections, fit: Letterbox) -> list[Prediction]:
    """Input pixels → shares of the image; what lies wholly in the padding is dropped."""
    predictions = []
    for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
        share = fit.to_image(box.tolist())
        if share[2] > 0 and share[3] > 0:
            predictions.append(Prediction(int(label), float(score), share))
    return predictions


def decode(
    outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
) -> list[list[Prediction]]:
    """Boxes of each image, best first."""
    known = DecodeSettings(**{name: settings[name] for name in asdict(DecodeSettings())})
    found = find_boxes(outputs, settings["strides"], known)
    return [to_predictions(one, fit) for one, fit in zip(found, fits, strict=True)]
