"""Writes a ModelArts manifest, and beside it a VOC file for each picture with objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataloop.domain.annotations import SUGGESTION
from dataloop.domain.geometry import extent_of
from dataloop.formats.losses import BOX, IMAGE_LABEL, MASK, SCORE, SPLIT, note_losses
from dataloop.formats.modelarts import CLASSIFICATION, DETECTION, SEGMENTATION
from dataloop.formats.modelarts_voc import voc_of
from dataloop.formats.pixels import box_of, rings_of, size_of
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.survey import Survey
from dataloop.formats.targets import Target
from dataloop.formats.values import EXPORTED_IMAGES

MANIFEST = "dataset.manifest"
# Pixels: what two ways of rounding to 1/1000 may differ by.
SAME = 0.002
_USAGE = {"train": "TRAIN", "val": "EVAL", "test": "TEST"}
# What XML cannot hold.
_UNSPELLABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class ModelArtsWriter:
    """prefix: the address (obs:// or s3://) below which pictures and VOC files lie; without it addresses are relative.

    Where each object of a version has polygons, it is an image segmentation, else an object detection, or classes.
    """

    NAME = "modelarts"

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    def image_name(self, image: ExportImage) -> str:
        return EXPORTED_IMAGES + image.file_name

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        with Survey(images) as survey:
            kind = SEGMENTATION if survey.is_outlined else DETECTION
            if survey.has_objects:
                for image in survey.images():
                    self._write_voc(image, kind, target, findings)
            # Losses of masks are told of one by one: outlines are kept, RLEs are not.
            carried = {BOX, MASK, SCORE, SPLIT} | (set() if survey.has_objects else {IMAGE_LABEL})
            with target.open(MANIFEST) as stream:
                for image in survey.images():
                    line = self._line(image, kind if survey.has_objects else CLASSIFICATION)
                    stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                    note_losses(image, findings, frozenset(carried))
                    if not survey.has_objects and not line["annotation"]:
                        findings.lost("image without a class", image.file_name)

    def _line(self, image: ExportImage, kind: str) -> dict[str, Any]:
        if kind == CLASSIFICATION:
            entries = [
                _entry(kind, annotation, name=label["label"], **_confidence(label))
                for annotation in image.row["annotations"]
                for label in annotation["labels"]
            ]
        else:
            # One file has the objects of all annotations: the first says who labelled.
            place = self._prefix + _voc_name(image)
            first = image.row["annotations"][0] if image.row["annotations"] else {}
            entries = [_entry(kind, first, **{"annotation-loc": place, "annotation-format": "PASCAL VOC"})]
        return {
            "source": self._prefix + self.image_name(image),
            "usage": _USAGE[image.split],
            "id": image.row["uid"],
            "sample-type": 0,
            "annotation": entries,
        }

    def _write_voc(self, image: ExportImage, kind: str, target: Target, findings: Findings) -> None:
        size = size_of(image.row)
        objects: list[dict[str, Any]] = []
        for annotation in image.row["annotations"]:
            for label in annotation["labels"]:
                objects += _objects(image, label, size, findings)
        file_name = _spelt(image.file_name.rsplit("/", 1)[-1], image, findings)
        with target.open(_voc_name(image)) as stream:
            stream.write(voc_of(file_name, size, objects, kind == SEGMENTATION))


def _voc_name(image: ExportImage) -> str:
    return f"annotation/{image.row['uid']}.xml"


def _entry(kind: str, annotation: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    by = "modelarts/active-learning" if annotation.get("method") == SUGGESTION else "human"
    return {"type": f"modelarts/{kind}", "annotated-by": by} | facts


def _confidence(label: Mapping[str, Any]) -> dict[str, Any]:
    return {} if label["score"] is None else {"confidence": label["score"]}


def _objects(
    image: ExportImage, label: Mapping[str, Any], size: tuple[int, int], findings: Findings
) -> list[dict[str, Any]]:
    """A label as objects of a VOC file: one, or one for each piece of its outline."""
    if label["box"] is None:
        return []
    about = {"name": _spelt(label["label"], image, findings), "score": label["score"]}
    if "polygons" in label:
        rings = rings_of(label["polygons"], size)
        if len(rings) > 1:
            findings.lost("object in pieces, written as several", image.file_name)
        box = box_of(label, size)
        if any(abs(one - other) > SAME for one, other in zip(box or (), extent_of(rings), strict=False)):
            findings.lost(BOX, image.file_name)
        return [about | {"ring": ring} for ring in rings]
    if "mask" in label:
        findings.lost(MASK, image.file_name)
    return [about | {"box": box_of(label, size)}]


def _spelt(text: str, image: ExportImage, findings: Findings) -> str:
    spelt = _UNSPELLABLE.sub("\ufffd", text)
    if spelt != text:
        findings.lost("character that XML cannot hold", image.file_name)
    return spelt
