"""Small pictures of the worst images for report.html, with masks drawn into the pixels."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataloop_inference.images import Pixels
from dataloop_inference.masks import Mask
from dataloop_inference.predictions import Rle
from dataloop_jobs.dataset import Row, Truth
from dataloop_jobs.faults import BadImage
from dataloop_jobs.images import ImageStore
from dataloop_jobs.masks import truth_mask

MOST_PICTURES = 24
_LONGEST_SIDE = 320
_QUALITY = 72
# All pictures together; as base64 text in the page they take a third more.
_MOST_BYTES = 1_000_000
# Colours of the outlines, the same as the boxes' in report.css.
TRUTH, SAID = (53, 208, 127), (255, 176, 32)


@dataclass(frozen=True)
class Picture:
    """One image as a JPEG in base64, width × height pixels."""

    uid: str
    jpeg: str
    width: int
    height: int


def pictures(worst: Sequence[Mapping[str, Any]], rows: Mapping[str, Row], store: ImageStore) -> list[Picture]:
    """Up to 24 pictures, the worst first, at most 1 MB together. An image that cannot be read any more is left out."""
    drawn: list[Picture] = []
    left = _MOST_BYTES
    for entry in worst[:MOST_PICTURES]:
        row = rows[entry["uid"]]
        try:
            pixels, fit = store.load(row)
        except BadImage:
            continue
        image = _outlined(_small(pixels[: fit.scale_y, : fit.scale_x]), row, entry["predictions"])
        content = _jpeg(image)
        left -= len(content)
        if left < 0:
            break
        height, width = image.shape[:2]
        drawn.append(Picture(row.uid, base64.b64encode(content).decode("ascii"), width, height))
    return drawn


def _small(pixels: Pixels) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return np.array(image)


def _outlined(pixels: Pixels, row: Row, predictions: Sequence[Mapping[str, Any]]) -> Pixels:
    """The picture with the edges of true masks in green and of predicted ones in orange over them."""
    height, width = pixels.shape[:2]
    for truth in row.truths:
        if truth.polygons is not None or truth.mask is not None:
            pixels[_edge(truth_mask(truth, width, height))] = TRUTH
    for said in predictions:
        if said.get("mask"):
            mask = Rle(said["mask"]["size"][0], said["mask"]["size"][1], said["mask"]["counts"])
            pixels[_edge(truth_mask(Truth(0, None, mask=mask), width, height))] = SAID
    return pixels


def _edge(mask: Mask) -> NDArray[np.bool_]:
    """The pixels of a mask that touch one outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
