"""Builds small COCO folders for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image


def write_folder(root: Path, count: int = 40, *, images: str = "images", annotations: str = "annotations.json") -> Path:
    """`count` images of 64 × 48 pixels, each of its own colour and with one box."""
    (root / images).mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "images": [{"id": index, "file_name": f"{index:03d}.png", "width": 64, "height": 48} for index in range(count)],
        "annotations": [
            {"id": index, "image_id": index, "category_id": 1 + index % 2, "bbox": [4, 6, 20, 10], "iscrowd": 0}
            for index in range(count)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    for index in range(count):
        Image.new("RGB", (64, 48), (index % 256, index // 256, 40)).save(root / images / f"{index:03d}.png")
    place = root / annotations
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(document))
    return root
