"""COCO box evaluation of a generated problem: python -m … ours|rival IMAGES → {"cpu_s", "stats": [12 numbers]}.

Both sides load, match, accumulate and summarise; making up the problem is not counted. `ours` is hotcoco from arrays,
as jobs/dataloop_jobs/evaluation/average_precision.py calls it; `rival` is pycocotools from dictionaries, which is what
it takes.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLASSES = 80
_TRUTHS = 8
_FOUND = 40
_SIDE = 640.0

Array = NDArray[np.float64]


def problem(images: int) -> tuple[Array, Array]:
    """(truth, found): rows image, class, left, top, width, height; and image, left, top, width, height, score, class.

    Half of what is found lies near a true box of its class, the rest anywhere: matches, misses and false alarms of all
    sizes, as many boxes as COCO's images have.
    """
    random = np.random.default_rng(7)
    count = images * _TRUTHS
    sizes = np.exp(random.uniform(np.log(8), np.log(300), (count, 2)))
    corners = random.uniform(0, 1, (count, 2)) * (_SIDE - sizes)
    numbers = np.repeat(np.arange(1, images + 1), _TRUTHS)
    classes = random.integers(1, _CLASSES + 1, count)
    truth = np.column_stack([numbers, classes, corners, sizes])
    near = truth[np.repeat(np.arange(count), _FOUND // _TRUTHS // 2 + 1)]
    shaken = near[:, 2:] * random.normal(1, 0.12, (len(near), 4))
    found_near = np.column_stack([near[:, 0], shaken, random.beta(4, 2, len(near)), near[:, 1]])
    rest = images * _FOUND - len(near)
    far = np.column_stack(
        [
            random.integers(1, images + 1, rest),
            random.uniform(0, _SIDE / 2, (rest, 2)),
            random.uniform(8, 300, (rest, 2)),
            random.beta(2, 4, rest),
            random.integers(1, _CLASSES + 1, rest),
        ]
    )
    found = np.concatenate([found_near, far])
    found[:, 3:5] = np.maximum(found[:, 3:5], 1.0)
    return truth, found[np.argsort(found[:, 0], kind="stable")]


def ours(images: int, truth: Array, found: Array) -> list[float]:
    import hotcoco

    pictures = [{"id": number, "width": _SIDE, "height": _SIDE} for number in range(1, images + 1)]
    categories = [{"id": number, "name": str(number)} for number in range(1, _CLASSES + 1)]
    known = hotcoco.COCO.from_arrays(
        pictures, categories, truth[:, 0].astype(int), truth[:, 1].astype(int), truth[:, 2:]
    )
    evaluation = hotcoco.COCOeval(known, known.load_res(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def rival(images: int, truth: Array, found: Array) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    known = COCO()
    known.dataset = {
        "info": {},
        "images": [{"id": number, "width": _SIDE, "height": _SIDE} for number in range(1, images + 1)],
        "categories": [{"id": number, "name": str(number)} for number in range(1, _CLASSES + 1)],
        "annotations": [
            {
                "id": number,
                "image_id": int(row[0]),
                "category_id": int(row[1]),
                "bbox": row[2:].tolist(),
                "area": float(row[4] * row[5]),
                "iscrowd": 0,
            }
            for number, row in enumerate(truth, start=1)
        ],
    }
    known.createIndex()
    evaluation = COCOeval(known, known.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def main() -> None:
    side, images = sys.argv[1], int(sys.argv[2])
    truth, found = problem(images)
    functions: dict[str, Any] = {"ours": ours, "rival": rival}
    with contextlib.redirect_stdout(io.StringIO()):
        functions[side](2, *problem(2))  # imports are not the question
        begun = time.process_time()
        stats = functions[side](images, truth, found)
        spent_s = time.process_time() - begun
    print(json.dumps({"cpu_s": spent_s, "stats": stats}))


if __name__ == "__main__":
    main()
