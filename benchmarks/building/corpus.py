"""A COCO file of any size: as many boxes an image as COCO has, and polygons of as many points."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 640, 480
CLASSES = 80
# COCO's train2017 has 7.3 boxes an image, and its outlines some 25 points.
FEWEST, MOST, POINTS = 3, 11, 25


def write_coco(path: Path, count: int, *, polygons: bool) -> int:
    """Write `count` annotations to an annotation file; returns how many images they are of. Same arguments, same bytes."""
    chance = random.Random(count)
    images: list[dict[str, object]] = []
    written = 0
    with path.open("w") as file:
        file.write('{"info":{},"licenses":[],"categories":' + json.dumps(list(_categories())) + ',"annotations":[')
        while written < count:
            number = len(images) + 1
            name = f"cameras/site-{number % 40:02d}/2026-01-{number % 28 + 1:02d}/{number:012d}.jpg"
            images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for _ in range(min(chance.randint(FEWEST, MOST), count - written)):
                written += 1
                file.write("," * (written > 1) + json.dumps(_annotation(chance, written, number, polygons)))
        file.write('],"images":' + json.dumps(images) + "}")
    return len(images)


def _categories() -> Iterator[dict[str, Any]]:
    for number in range(1, CLASSES + 1):
        yield {"id": number, "name": f"class-{number:02d}", "supercategory": "thing"}


def _annotation(chance: random.Random, id: int, image: int, polygons: bool) -> dict[str, Any]:
    width, height = chance.randint(500, 30_000) / 100, chance.randint(500, 20_000) / 100
    x, y = round(chance.random() * (WIDTH - width), 2), round(chance.random() * (HEIGHT - height), 2)
    ring = [
        round(start + chance.random() * extent, 2) for _ in range(POINTS) for start, extent in ((x, width), (y, height))
    ]
    return {
        "id": id,
        "image_id": image,
        "category_id": chance.randint(1, CLASSES),
        "bbox": [x, y, width, height],
        "area": round(width * height, 4),
        "iscrowd": 0,
        "segmentation": [ring] if polygons else [],
    }
