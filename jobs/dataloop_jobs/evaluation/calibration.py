"""Does a score of 0.8 mean right in 8 of 10 cases? Source: Guo et al., "On Calibration", arXiv 1706.04599."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The paper's number is 15; ten give readable bars and enough images in each.
_BINS = 10


def calibration(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, Any] | None:
    """{"ece", "bins": [{"from", "to", "count", "confidence", "accuracy"}]}; empty bins hold None. None without scores.

    ece: the distance between mean score and share that is right, over ten equally wide bins, weighted by their counts.
    """
    if not len(scores):
        return None
    bins = np.clip(np.ceil(scores * _BINS).astype(int) - 1, 0, _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    confidence = np.bincount(bins, weights=scores, minlength=_BINS)
    accuracy = np.bincount(bins, weights=right.astype(float), minlength=_BINS)
    return {
        "ece": float(np.abs(confidence - accuracy).sum() / len(scores)),
        "bins": [
            {
                "from": round(number / _BINS, 2),
                "to": round((number + 1) / _BINS, 2),
                "count": int(many),
                "confidence": float(confidence[number] / many) if many else None,
                "accuracy": float(accuracy[number] / many) if many else None,
            }
            for number, many in enumerate(count)
        ],
    }
