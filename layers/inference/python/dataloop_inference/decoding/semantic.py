"""Class logits on a coarse grid → the label of every pixel, as one mask a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataloop_inference.images import Letterbox
from dataloop_inference.masks import encode_part
from dataloop_inference.predictions import Prediction


def decode(
    outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
) -> list[list[Prediction]]:
    """(N, classes + 1, h, w) logits, background last → one prediction for each label that occurs, best first.

    The label is decided for each pixel of the network's input, and the nearest of those says it for each pixel of the
    image: the network has seen nothing finer. score: mean probability of the label's pixels.
    settings: {"stride"}, pixels of the input a cell.
    """
    return [_decode_one(logits, fit, int(settings["stride"])) for logits, fit in zip(outputs[0], fits, strict=True)]


def _decode_one(logits: NDArray[np.float32], fit: Letterbox, stride: int) -> list[Prediction]:
    probabilities = _softmax(_to_input(logits, stride)[:, : fit.scale_y, : fit.scale_x])
    labels = probabilities.argmax(axis=0)
    scores = probabilities.max(axis=0)
    background = len(logits) - 1
    full = np.asarray(
        Image.fromarray(labels.astype(np.int32)).resize((fit.width, fit.height), Image.Resampling.NEAREST)
    )
    found: list[Prediction] = []
    for label in np.unique(full[full != background]):
        inside = full == label
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        box = left / fit.width, top / fit.height, (right - left) / fit.width, (bottom - top) / fit.height
        mask = encode_part(inside[top:bottom, left:right], left, top, fit.height, fit.width)
        found.append(Prediction(int(label), float(scores[labels == label].mean()), box, mask))
    return sorted(found, key=lambda one: -one.score)


def _to_input(logits: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Logits scaled up bilinearly to the network's input: (classes + 1, S, S)."""
    height, width = logits.shape[1] * stride, logits.shape[2] * stride
    scaled = [Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR) for one in logits]
    return np.stack([np.asarray(one) for one in scaled])


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0))
