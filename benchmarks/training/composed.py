"""Composed scenes (real digits on real photographs) with boxes, masks and labels, for every task type."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image

from benchmarks.training.digits import image_label
from benchmarks.training.folders import Example
from dataloop_demo.scenes import DIGITS, Kind, Scene, compose
from dataloop_inference.masks import encode_part

LABELS = tuple(str(digit) for digit in DIGITS)


def scenes(kind: Kind, count: int, seed: int, size: int = 192) -> Iterator[Example]:
    """Scenes whose labels carry the exact box and mask of each digit: for detection and both segmentations."""
    for scene in compose(kind, count, seed, size):
        labels = [_object_label(scene, number) for number in range(len(scene.labels))]
        yield Example(scene.image_bytes, scene.width, scene.height, labels, attributes={"background": scene.background})


def presence(kind: Kind, count: int, seed: int, size: int = 192) -> Iterator[Example]:
    """The same scenes, labelled with the digits they show: for multilabel classification."""
    for scene in compose(kind, count, seed, size):
        labels = [image_label(name) for name in sorted(set(scene.labels))]
        yield Example(scene.image_bytes, scene.width, scene.height, labels, attributes={"background": scene.background})


def crops(kind: Kind, count: int, seed: int, size: int = 192) -> Iterator[Example]:
    """The first digit of each scene, cut out with its piece of photograph: for classification."""
    for scene in compose(kind, count, seed, size):
        with Image.open(io.BytesIO(scene.image_bytes)) as image:
            crop = image.crop(scene.boxes[0])
        buffer = io.BytesIO()
        crop.save(buffer, "PNG")
        yield Example(buffer.getvalue(), crop.width, crop.height, [image_label(scene.labels[0])])


def _object_label(scene: Scene, number: int) -> dict[str, Any]:
    left, top, right, bottom = scene.boxes[number]
    box = [left / scene.width, top / scene.height, (right - left) / scene.width, (bottom - top) / scene.height]
    mask = encode_part(scene.inks[number], round(left), round(top), scene.height, scene.width)
    size = [mask.height, mask.width]
    return {"label": scene.labels[number], "box": box, "score": None, "mask": {"size": size, "counts": mask.counts}}
