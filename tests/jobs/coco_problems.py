"""Generated COCO problems: crowds, tied scores, hundreds of detections an image, masks with holes, empty images."""

from __future__ import annotations

import contextlib
import copy
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as reference_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HEIGHT, WIDTH = 80, 100
LABELS = ("a", "b", "c", "never")
Json = dict[str, Any]


@dataclass(frozen=True)
class CocoProblem:
    """COCO dictionaries. kind: bbox or segm."""

    kind: str
    images: list[Json]
    truths: list[Json]
    found: list[Json]

    @property
    def dataset(self) -> Json:
        categories = [{"id": number, "name": label} for number, label in enumerate(LABELS, start=1)]
        return {"info": {}, "images": self.images, "annotations": self.truths, "categories": categories}


def generate(kind: str, seed: int, *, crowds: bool = True, ties: bool = True, crowded: bool = False) -> CocoProblem:
    """crowded: some images have more than the hundred detections of one class that COCO looks at."""
    rng = np.random.default_rng([seed, len(kind)])
    images = [{"id": number, "width": WIDTH, "height": HEIGHT} for number in range(1, int(rng.integers(1, 9)))]
    truths: list[Json] = []
    found: list[Json] = []
    for image in images:
        for _ in range(rng.integers(0, 6)):
            label = int(rng.integers(1, 4))
            shape = _shape(kind, rng)
            truths.append(_truth(kind, len(truths) + 1, image["id"], label, shape, crowds and rng.random() < 0.2))
            for _ in range(rng.integers(0, 4)):
                said = label if rng.random() < 0.8 else int(rng.integers(1, 4))
                found.append(_found(kind, image["id"], said, _near(kind, shape, rng), _score(rng, ties)))
        more = int(rng.integers(100, 160)) if crowded else int(rng.integers(0, 4))
        found += [_found(kind, image["id"], 1, _shape(kind, rng), _score(rng, ties)) for _ in range(more)]
    return CocoProblem(kind, images, truths, found)


def pycocotools_evaluation(problem: CocoProblem) -> Any:
    """The oracle, after `accumulate`. It writes into the dictionaries it is given: these are copies."""
    problem = copy.deepcopy(problem)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = problem.dataset
        coco.createIndex()
        found = coco.loadRes(problem.found) if problem.found else COCO()
        if not problem.found:
            found.dataset = {**problem.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(coco, found, problem.kind)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _score(rng: np.random.Generator, ties: bool) -> float:
    return float(rng.choice([0.2, 0.5, 0.5, 0.9])) if ties else float(rng.uniform(0.01, 1))


def _shape(kind: str, rng: np.random.Generator) -> Any:
    left, top = float(rng.uniform(0, WIDTH - 6)), float(rng.uniform(0, HEIGHT - 6))
    box = [left, top, float(rng.uniform(1, WIDTH - left)), float(rng.uniform(1, HEIGHT - top))]
    if kind == "bbox":
        return box
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    mask = ((xs - box[0]) / box[2] - 0.5) ** 2 + ((ys - box[1]) / box[3] - 0.5) ** 2 < 0.25
    if rng.random() < 0.3:
        mask &= rng.random(mask.shape) < 0.8  # holes and specks
    return mask


def _near(kind: str, shape: Any, rng: np.random.Generator) -> Any:
    if kind == "bbox":
        return [max(1.0, value + rng.normal(0, 3)) for value in shape]
    return np.roll(shape, tuple(rng.integers(-6, 7, 2)), axis=(0, 1)) & (rng.random(shape.shape) < 0.95)


def _rle(mask: Any) -> Json:
    encoded = reference_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def _truth(kind: str, id: int, image: int, label: int, shape: Any, crowd: bool) -> Json:
    truth = {"id": id, "image_id": image, "category_id": label, "iscrowd": int(crowd)}
    if kind == "bbox":
        return {**truth, "bbox": shape, "area": shape[2] * shape[3]}
    rle = _rle(shape)
    return {
        **truth,
        "segmentation": rle,
        "bbox": [float(value) for value in reference_mask.toBbox(rle)],
        "area": float(reference_mask.area(rle)),
    }


def _found(kind: str, image: int, label: int, shape: Any, score: float) -> Json:
    found = {"image_id": image, "category_id": label, "score": score}
    return {**found, "bbox": shape} if kind == "bbox" else {**found, "segmentation": _rle(shape)}
