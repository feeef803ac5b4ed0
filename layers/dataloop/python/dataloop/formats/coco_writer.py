"""Writes COCO's instances files: one for each split, with all that a row says but its group and who labelled it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any

from dataloop.domain.masks import area, read_counts
from dataloop.formats.losses import ATTRIBUTES, BOX, CROWD, IMAGE_LABEL, MASK, SCORE, SPLIT, has_mask, note_losses
from dataloop.formats.names import SPLITS
from dataloop.formats.pixels import box_of, labels_of, number, ring_area, rings_of, size_of
from dataloop.formats.spool import spooled
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.survey import version_kind
from dataloop.formats.targets import Target

CARRIED = frozenset({ATTRIBUTES, BOX, CROWD, IMAGE_LABEL, MASK, SCORE, SPLIT})


class CocoWriter:
    """annotations/instances_<split>.json beside images/<split>/<object name>.

    Ids count from 1 over the whole version, so that the files of the splits can be put together. Categories count from 1
    in the order of the label map. Boxes and polygons are rounded to 1/1000 of a pixel.
    """

    NAME = "coco"

    def image_name(self, image: ExportImage) -> str:
        return f"images/{image.split}/{image.file_name}"

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        categories = {label: place for place, label in enumerate(labels, 1)}
        with ExitStack() as stack:
            documents = {split: _Document(stack) for split in SPLITS}
            written, has_objects, is_masked, is_single = 0, False, True, True
            for place, image in enumerate(images, 1):
                note_losses(image, findings, CARRIED)
                document = documents[image.split]
                document.images.add(_image(place, image))
                found = list(labels_of(image.row))
                is_single &= len(found) <= 1
                for label in found:
                    written += 1
                    has_objects |= label["box"] is not None
                    is_masked &= has_mask(label)
                    document.annotations.add(
                        _annotation(written, place, categories[label["label"]], label, size_of(image.row))
                    )
            kind = version_kind(has_objects, is_masked, is_single)
            for split, document in documents.items():
                if document.images.count:
                    with target.open(f"annotations/instances_{split}.json") as file:
                        document.write(file, labels, kind)


class _Entries:
    """A list of JSON objects, on disk when it is long."""

    def __init__(self, stack: ExitStack) -> None:
        self._stream = stack.enter_context(spooled())
        self.count = 0

    def add(self, entry: Mapping[str, Any]) -> None:
        self._stream.write((",\n" if self.count else "\n").encode() + as_json(entry))
        self.count += 1

    def write(self, file: IO[bytes]) -> None:
        self._stream.seek(0)
        shutil.copyfileobj(self._stream, file)


class _Document:
    def __init__(self, stack: ExitStack) -> None:
        self.images, self.annotations = _Entries(stack), _Entries(stack)

    def write(self, file: IO[bytes], labels: Sequence[str], kind: str) -> None:
        categories = [{"id": place, "name": label, "supercategory": ""} for place, label in enumerate(labels, 1)]
        file.write(
            b'{"info": {}, "licenses": [], "annotationType": '
            + as_json(kind)
            + b',\n"categories": '
            + as_json(categories)
            + b',\n"images": ['
        )
        self.images.write(file)
        file.write(b'],\n"annotations": [')
        self.annotations.write(file)
        file.write(b"]}\n")


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _image(id: int, image: ExportImage) -> dict[str, Any]:
    width, height = size_of(image.row)
    entry = {"id": id, "file_name": image.file_name, "width": width, "height": height, "uid": image.row["uid"]}
    return entry | ({"attributes": dict(image.row["attributes"])} if image.row["attributes"] else {})


def _annotation(
    id: int, image_id: int, category_id: int, label: Mapping[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": id, "image_id": image_id, "category_id": category_id}
    box = box_of(label, size)
    if box is not None:
        x1, y1, x2, y2 = box
        entry |= {"bbox": [x1, y1, number(x2 - x1), number(y2 - y1)], "area": number((x2 - x1) * (y2 - y1))}
        entry["iscrowd"] = int(bool(label.get("crowd")))
    if "polygons" in label:
        rings = rings_of(label["polygons"], size)
        entry |= {"segmentation": rings, "area": number(sum(map(ring_area, rings)))}
    elif "mask" in label:
        entry |= {"segmentation": label["mask"], "area": area(read_counts(label["mask"]["counts"]))}
    return entry if label["score"] is None else entry | {"score": label["score"]}
