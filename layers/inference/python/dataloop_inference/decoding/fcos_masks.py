"""FCOS maps and prototypes → boxes with masks. Source: Bolya et al., "YOLACT", arXiv 1904.02689.

The network says at each location, before the numbers of FCOS, how much of each prototype makes up the object's mask;
the last output holds the prototypes, (N, prototypes, H/4, W/4). A mask is their weighted sum above 0, inside the box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataloop_inference.decoding.fcos import DecodeSettings, find_boxes
from dataloop_inference.images import Letterbox
from dataloop_inference.masks import encode_part
from dataloop_inference.predictions import Prediction, Rle

# Cells around the box that the scaling looks at, so that the mask does not fade at the box's edge.
_MARGIN = 2


def decode(
    outputs: Sequence[NDArray[np.float32]], fits: Sequence[Letterbox], settings: Mapping[str, Any]
) -> list[list[Prediction]]:
    """Boxes and masks of each image, best first; an object whose mask is empty is dropped.

    settings: {"strides", "prototypes": how many, "prototype_stride"} and those of boxes.
    Cost: a box needs time for its own pixels, not for the image's.
    """
    *maps, prototypes = outputs
    known = DecodeSettings(**{name: settings[name] for name in asdict(DecodeSettings())})
    detections = find_boxes(maps, settings["strides"], known, extra=int(settings["prototypes"]))
    stride = int(settings["prototype_stride"])
    predictions = []
    for found, prototype, fit in zip(detections, prototypes, fits, strict=True):
        objects = []
        for box, score, label, weights in zip(found.boxes, found.scores, found.classes, found.extra, strict=True):
            share = fit.to_image(box.tolist())
            mask = _mask(prototype, weights, share, fit, stride)
            if mask is not None:
                objects.append(Prediction(int(label), float(score), share, mask))
        predictions.append(objects)
    return predictions


def _mask(
    prototypes: NDArray[np.float32],
    weights: NDArray[np.float32],
    box: tuple[float, float, float, float],
    fit: Letterbox,
    stride: int,
) -> Rle | None:
    """The mask in the image's pixels, or None when it is empty. box: shares of the image."""
    left, top = math.floor(box[0] * fit.width), math.floor(box[1] * fit.height)
    right = min(fit.width, math.ceil((box[0] + box[2]) * fit.width))
    bottom = min(fit.height, math.ceil((box[1] + box[3]) * fit.height))
    if right <= left or bottom <= top:
        return None
    # The same rectangle in cells of the prototypes.
    per_x, per_y = fit.scale_x / fit.width / stride, fit.scale_y / fit.height / stride
    from_x, to_x = max(0, math.floor(left * per_x) - _MARGIN), math.ceil(right * per_x) + _MARGIN
    from_y, to_y = max(0, math.floor(top * per_y) - _MARGIN), math.ceil(bottom * per_y) + _MARGIN
    logits = np.tensordot(weights, prototypes[:, from_y:to_y, from_x:to_x], axes=1).astype(np.float32)
    height, width = logits.shape
    part = (
        left * per_x - from_x,
        top * per_y - from_y,
        min(width, right * per_x - from_x),
        min(height, bottom * per_y - from_y),
    )
    scaled = Image.fromarray(logits).resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=part)
    inside = np.asarray(scaled) > 0
    return encode_part(inside, left, top, fit.height, fit.width) if inside.any() else None
