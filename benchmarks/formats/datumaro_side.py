"""What datumaro reads and writes, run by its own interpreter: nothing of Dataloop is imported here.

python datumaro_side.py read FORMAT FOLDER OUT       items as JSON lines
python datumaro_side.py write FORMAT FOLDER IN       the same lines as a dataset of the format
python datumaro_side.py time FORMAT FOLDER           CPU seconds and peak memory of reading all annotations
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import datumaro as dm
import numpy as np
from datumaro.components.annotation import AnnotationType, Bbox, Label, Polygon, RleMask
from pycocotools import mask as coco_mask


def read(form: str, folder: str, out: str) -> None:
    dataset = dm.Dataset.import_from(folder, form)
    names = [entry.name for entry in dataset.categories()[AnnotationType.label].items]
    with Path(out).open("w", encoding="utf-8") as file:
        for item in dataset:
            objects = [found for found in (described(entry, names, item) for entry in item.annotations) if found]
            file.write(json.dumps({"id": item.id, "split": item.subset, "labels": objects}) + "\n")


def described(entry: Any, names: list[str], item: Any) -> dict[str, object] | None:
    found: dict[str, object] = {"label": names[entry.label], "group": entry.group, "box": None, "mask": None}
    if entry.type == AnnotationType.bbox:
        x, y, width, height = entry.get_bbox()
        found["box"] = [x, y, x + width, y + height]
    elif entry.type == AnnotationType.polygon:
        height, width = item.media.size
        found["mask"] = text_of(coco_mask.merge(coco_mask.frPyObjects([list(entry.points)], height, width)))
        found["points"] = list(entry.points)
    elif entry.type == AnnotationType.mask:
        found["mask"] = text_of(coco_mask.encode(np.asfortranarray(entry.image.astype(np.uint8))))
    elif entry.type != AnnotationType.label:
        return None
    return found


def text_of(rle: dict[str, Any]) -> dict[str, object]:
    return {"size": [int(value) for value in rle["size"]], "counts": rle["counts"].decode("ascii")}


def write(form: str, folder: str, lines: str) -> None:
    entries = [json.loads(line) for line in Path(lines).read_text("utf-8").splitlines()]
    names = sorted({label["label"] for entry in entries for label in entry["labels"]})
    items = []
    for entry in entries:
        annotations = []
        for number, label in enumerate(entry["labels"], 1):
            index = names.index(label["label"])
            # Datumaro ties the box and the mask of one object by a group.
            if label["box"] is not None and label["mask"] is None and not label.get("polygons"):
                x1, y1, x2, y2 = label["box"]
                annotations.append(Bbox(x1, y1, x2 - x1, y2 - y1, label=index, id=number, group=number))
            rings = label.get("polygons") or ()
            annotations += [Polygon(ring, label=index, id=number, group=number) for ring in rings]
            if label["mask"] is not None:
                rle = {"size": label["mask"]["size"], "counts": label["mask"]["counts"].encode()}
                annotations.append(RleMask(rle, label=index, id=number, group=number))
            if label["box"] is None and label["mask"] is None and not label.get("polygons"):
                annotations.append(Label(index))
        picture = dm.Image.from_file(path=entry["picture"], size=(entry["height"], entry["width"]))
        items.append(dm.DatasetItem(id=entry["id"], subset=entry["split"], media=picture, annotations=annotations))
    dm.Dataset.from_iterable(items, categories=names).export(folder, form, save_media=True)


def measure(form: str, folder: str) -> None:
    started = time.process_time()
    dataset = dm.Dataset.import_from(folder, form)
    annotations = sum(len(item.annotations) for item in dataset)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"annotations": annotations, "cpu_s": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    commands: dict[str, Any] = {"read": read, "write": write, "time": measure}
    commands[sys.argv[1]](*sys.argv[2:])
