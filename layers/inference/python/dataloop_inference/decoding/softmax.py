"""Logits of labels that exclude each other → every label with its probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.images import Letterbox
from dataloop_inference.predictions import Prediction


def decode(
    outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
) -> list[list[Prediction]]:
    """(N, classes) logits → all labels of each image, most probable first."""
    logits = outputs[0].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        [Prediction(int(label), float(row[label])) for label in ranks]
        for row, ranks in zip(probabilities, order, strict=True)
    ]
