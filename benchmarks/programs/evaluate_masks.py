"""COCO mask evaluation of a generated problem: python -m … ours|rival IMAGES → {"cpu_s", "stats": [12 numbers]}.

The boxes of evaluate_boxes, each the frame of a polygon of 24 corners, as compressed run lengths in images of 640 × 640.
Both sides get the same run lengths and load, match, accumulate and summarise; drawing the masks is not counted. `ours`
is hotcoco as jobs/dataloop_jobs/evaluation/coco.py calls it; `rival` is pycocotools.
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

from benchmarks.programs.evaluate_boxes import problem as boxes_of

_CLASSES = 80
_SIDE = 640
_CORNERS = 24

Json = dict[str, Any]
Array = NDArray[np.float64]


def problem(images: int) -> tuple[list[Json], list[Json]]:
    """(truths, found) as COCO's dictionaries; nothing that evaluation would fill in itself but the truths' area and box,
    which COCO's files hold.
    """
    from pycocotools import mask

    truth, found = boxes_of(images)
    truths = []
    for number, row in enumerate(truth, start=1):
        drawn = _drawn(row[2:], number)
        truths.append(
            {
                "id": number,
                "image_id": int(row[0]),
                "category_id": int(row[1]),
                "segmentation": drawn,
                "area": float(mask.area(drawn)),
                "bbox": mask.toBbox(drawn).tolist(),
                "iscrowd": 0,
            }
        )
    answers = [
        {
            "image_id": int(row[0]),
            "category_id": int(row[6]),
            "segmentation": _drawn(row[1:5], number),
            "score": float(row[5]),
        }
        for number, row in enumerate(found)
    ]
    return truths, answers


def _drawn(box: Array, seed: int) -> Json:
    """A round blob in the box with a wavy edge."""
    from pycocotools import mask

    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    radius = 0.5 - 0.06 * np.cos(angles * (3 + seed % 4))
    left, top, width, height = box
    xs = left + width * (0.5 + radius * np.cos(angles))
    ys = top + height * (0.5 + radius * np.sin(angles))
    polygon = np.column_stack([xs, ys]).ravel().tolist()
    (encoded,) = mask.frPyObjects([polygon], _SIDE, _SIDE)
    return {"size": [_SIDE, _SIDE], "counts": encoded["counts"].decode()}


def _tables(images: int) -> tuple[list[Json], list[Json]]:
    pictures = [{"id": number, "width": _SIDE, "height": _SIDE} for number in range(1, images + 1)]
    return pictures, [{"id": number, "name": str(number)} for number in range(1, _CLASSES + 1)]


def ours(images: int, truths: list[Json], found: list[Json]) -> list[float]:
    import hotcoco

    pictures, categories = _tables(images)
    known = hotcoco.COCO.from_arrays(
        pictures,
        categories,
        np.array([item["image_id"] for item in truths]),
        np.array([item["category_id"] for item in truths]),
        np.array([item["bbox"] for item in truths]),
        area=np.array([item["area"] for item in truths]),
        segmentation=[item["segmentation"] for item in truths],
    )
    evaluation = hotcoco.COCOeval(known, known.load_res(found), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def rival(images: int, truths: list[Json], found: list[Json]) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    pictures, categories = _tables(images)
    known = COCO()
    known.dataset = {"info": {}, "images": pictures, "categories": categories, "annotations": truths}
    known.createIndex()
    evaluation = COCOeval(known, known.loadRes(found), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def main() -> None:
    side, images = sys.argv[1], int(sys.argv[2])
    truths, found = problem(images)
    functions: dict[str, Any] = {"ours": ours, "rival": rival}
    with contextlib.redirect_stdout(io.StringIO()):
        functions[side](2, *problem(2))  # imports are not the question
        begun = time.process_time()
        stats = functions[side](images, truths, found)
        spent_s = time.process_time() - begun
    print(json.dumps({"cpu_s": spent_s, "stats": stats}))


if __name__ == "__main__":
    main()
