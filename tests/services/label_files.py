"""One small dataset, a cat in one.jpg and another in two.jpg (24 × 16 pixels), in the layout of each readable format."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image

# Left, top, right, bottom of the cat in both pictures.
BOX = (2, 4, 12, 12)
NAMES = ("one.jpg", "two.jpg")
POLYGON = [2, 4, 12, 4, 12, 12, 2, 12]


def _coco() -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": name, "width": 24, "height": 16} for n, name in enumerate(NAMES)],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"id": n, "image_id": n, "category_id": 7, "bbox": [2, 4, 10, 8]} for n in range(2)],
    }


def _voc(name: str) -> str:
    box = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True)
    )
    size = "<size><width>24</width><height>16</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}<object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"


def _labelme(name: str) -> str:
    shape = {"label": "cat", "points": [[2, 4], [12, 12]], "shape_type": "rectangle", "flags": {}}
    body = {"version": "5", "flags": {}, "shapes": [shape], "imagePath": name, "imageWidth": 24, "imageHeight": 16}
    return json.dumps(body | {"imageData": None})


def _cvat() -> str:
    box = '<box label="cat" occluded="0" xtl="2" ytl="4" xbr="12" ybr="12"/>'
    images = "".join(
        f'<image id="{n}" name="{name}" width="24" height="16">{box}</image>' for n, name in enumerate(NAMES)
    )
    return f'<?xml version="1.0"?><annotations><version>1.1</version>{images}</annotations>'


def _mask() -> bytes:
    mask = Image.new("L", (24, 16))
    mask.paste(1, (2, 4, 12, 12))
    stream = io.BytesIO()
    mask.save(stream, "PNG")
    return stream.getvalue()


def _ground_truth(name: str) -> str:
    box = {"class_id": 0, "left": 2, "top": 4, "width": 10, "height": 8}
    answer = {"image_size": [{"width": 24, "height": 16, "depth": 3}], "annotations": [box]}
    about = {"class-map": {"0": "cat"}, "type": "groundtruth/object-detection", "human-annotated": "yes"}
    return json.dumps({"source-ref": f"s3://bucket/{name}", "boxes": answer, "boxes-metadata": about})


def _modelarts(name: str) -> str:
    said = {"type": "modelarts/image_classification", "name": "cat", "annotated-by": "human"}
    return json.dumps({"source": f"obs://bucket/{name}", "usage": "TRAIN", "annotation": [said]})


def _label_studio(name: str) -> dict[str, Any]:
    value = {"x": 200 / 24, "y": 25, "width": 1000 / 24, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}
    result = {"type": "rectanglelabels", "from_name": "label", "to_name": "image", "original_width": 24}
    result |= {"original_height": 16, "value": value, "id": "r"}
    return {"id": 1, "data": {"image": f"/data/upload/{name}"}, "annotations": [{"result": [result]}]}


def _jsonl(name: str) -> str:
    label = {"label": "cat", "bbox_xyxy": list(BOX)}
    line = {"annotationType": "detection", "labelInfo": [label], "labelMethod": "manual"}
    return json.dumps(line | {"fileName": name, "split": "train"})


FILES: dict[str, dict[str, str | bytes]] = {
    "coco": {"labels.json": json.dumps(_coco())},
    "voc": {f"Annotations/{name[:3]}.xml": _voc(name) for name in NAMES},
    "yolo": {
        "data.yaml": "train: images\nnames: [cat]\n",
        **{f"labels/{name[:3]}.txt": f"0 {7 / 24:.6f} 0.5 {10 / 24:.6f} 0.5\n" for name in NAMES},
    },
    "labelme": {f"{name[:3]}.json": _labelme(name) for name in NAMES},
    "cvat": {"annotations.xml": _cvat()},
    "imagenet": {},
    "masks": {
        "labelmap.txt": "background:0,0,0::\ncat:1,1,1::\n",
        **{f"SegmentationClass/{name[:3]}.png": _mask() for name in NAMES},
    },
    "ground_truth": {"output.manifest": "\n".join(map(_ground_truth, NAMES))},
    "modelarts": {"V1.manifest": "\n".join(map(_modelarts, NAMES))},
    "label_studio": {"export.json": json.dumps([_label_studio(name) for name in NAMES])},
    "jsonl": {"labels.jsonl": "\n".join(map(_jsonl, NAMES))},
}
# Where each format expects the pictures, below the folder of the dataset; at its top where nothing is said.
PICTURES = {"voc": "JPEGImages/", "yolo": "images/", "imagenet": "train/cat/", "masks": "JPEGImages/"}
KINDS = {
    "imagenet": "classification",
    "modelarts": "classification",
    "masks": "semantic_segmentation",
}
