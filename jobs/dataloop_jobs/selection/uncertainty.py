"""How much a model doubts what it says about an image: 0 sure, 1 as doubtful as can be.

margin: how close the two most probable answers are. entropy: how evenly the probability is spread, as a share of the
most that is possible. Source: Settles, "Active Learning Literature Survey" (2009), §3.1.

An image has as many statements as it has labels to be said or objects to be found; the most doubtful one counts, for a
mean over all would drown one doubtful object among many clear ones. Only for semantic segmentation it is the mean over
the pixels, which are the statements there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.images import Letterbox
from dataloop_inference.predictions import Prediction

Probabilities = NDArray[np.float64]
MEASURES = ("margin", "entropy")


def doubts(
    settings: Mapping[str, Any],
    outputs: Sequence[NDArray[np.float32]],
    fits: Sequence[Letterbox],
    predictions: Sequence[Sequence[Prediction]],
    measure: str,
) -> list[float]:
    """One number for each image of a batch. settings: the `decode` of model.json; outputs and predictions: of the batch."""
    kind = settings["kind"]
    if kind == "softmax":
        return [float(value) for value in _among(_softmax(outputs[0]), measure)]
    if kind == "sigmoid":
        return [float(_either(row, measure).max(initial=0.0)) for row in _sigmoid(outputs[0])]
    if kind == "semantic":
        return [_of_pixels(maps, fit, measure) for maps, fit in zip(outputs[0], fits, strict=True)]
    threshold = float(settings.get("threshold") or 0.5)
    return [_of_objects([found.score for found in of_image], threshold, measure) for of_image in predictions]


def _of_objects(scores: Sequence[float], threshold: float, measure: str) -> float:
    """Scores around the threshold from which a box counts are the doubtful ones: they are stretched so that it is 0.5."""
    given = np.asarray(scores, dtype=np.float64)
    below = given / threshold / 2
    above = 1 - (1 - given) / max(1e-9, 1 - threshold) / 2
    return float(_either(np.where(given < threshold, below, above), measure).max(initial=0.0))


def _of_pixels(maps: NDArray[np.float32], fit: Letterbox, measure: str) -> float:
    """Mean over the pixels that the image covers. maps: logits (classes, h, w), on whatever grid the network has."""
    classes, height, width = maps.shape
    side = max(fit.scale_x, fit.scale_y)
    rows = max(1, round(height * fit.scale_y / side))
    columns = max(1, round(width * fit.scale_x / side))
    inside = maps[:, :rows, :columns].reshape(classes, -1).T
    return float(_among(_softmax(inside), measure).mean())


def _among(probabilities: Probabilities, measure: str) -> Probabilities:
    """Doubt between labels of which one is right: (N, K) → (N,)."""
    if measure == "margin":
        ranked = np.sort(probabilities, axis=1)
        return 1 - (ranked[:, -1] - ranked[:, -2]) if ranked.shape[1] > 1 else np.zeros(len(ranked))
    spread = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1)
    return np.asarray(spread / np.log(max(2, probabilities.shape[1])))


def _either(probability: Probabilities, measure: str) -> Probabilities:
    """Doubt of statements that are right or wrong."""
    if measure == "margin":
        return np.asarray(1 - np.abs(2 * probability - 1))
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def _softmax(logits: NDArray[np.float32]) -> Probabilities:
    shifted = logits.astype(np.float64)
    odds = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _sigmoid(logits: NDArray[np.float32]) -> Probabilities:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60))))
