"""Writes augmented manifests of SageMaker Ground Truth: one a split, as a training job takes one a channel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from dataloop.formats.bitmaps import bitmap_of
from dataloop.formats.ground_truth import BACKGROUND, CLASSIFICATION, DETECTION, MULTILABEL, SEMANTIC
from dataloop.formats.losses import BOX, IMAGE_LABEL, MASK, SCORE, SPLIT, has_mask, note_losses
from dataloop.formats.names import SPLITS
from dataloop.formats.pixels import box_of, labels_of, segmentation_of, size_of
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.survey import Survey
from dataloop.formats.targets import Target
from dataloop.formats.values import EXPORTED_IMAGES

# The label attributes: what a training job names beside source-ref.
ATTRIBUTE = "labels"
MASK_ATTRIBUTE = "mask-ref"
JOB = "labeling-job/dataloop"
# Required by those who read it. A row does not know when it was said, and the same rows must give the same bytes.
CREATED = "1970-01-01T00:00:00"
# A mask has one byte a pixel, and 0 is the background.
MAX_MASK_CLASSES = 255


class GroundTruthWriter:
    """prefix: the address (s3://bucket/folder/) below which the pictures lie; without it the addresses are relative.

    What a version holds decides: objects become boxes in whole pixels, and where each has a mask, one mask a picture
    with a colour a class, too; else one class a picture, or several.
    """

    NAME = "ground_truth"

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    def image_name(self, image: ExportImage) -> str:
        return EXPORTED_IMAGES + image.file_name

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        numbers = {label: number for number, label in enumerate(labels)}
        with Survey(images) as survey:
            has_masks = survey.has_objects and survey.is_masked and len(labels) <= MAX_MASK_CLASSES
            if has_masks:
                for image in survey.images():
                    with target.open(_mask_name(image)) as stream:
                        _mask(image, numbers, findings).save(stream, "PNG")
            for split in SPLITS:
                with target.open(f"{split}.manifest") as stream:
                    for image in survey.images(split):
                        line = {"source-ref": self._prefix + self.image_name(image), "uid": image.row["uid"]}
                        line |= _answers(image, survey, numbers, findings)
                        if has_masks:
                            line |= {MASK_ATTRIBUTE: self._prefix + _mask_name(image)} | _colours(image, numbers)
                        stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                        carried = {BOX, SCORE, SPLIT} | ({MASK} if has_masks else set())
                        note_losses(
                            image, findings, frozenset(carried if survey.has_objects else carried | {IMAGE_LABEL})
                        )


def _answers(image: ExportImage, survey: Survey, numbers: Mapping[str, int], findings: Findings) -> dict[str, Any]:
    """The label attribute of a line and its metadata."""
    found = list(labels_of(image.row))
    if survey.has_objects:
        return _boxes(image, [label for label in found if label["box"] is not None], numbers, findings)
    if not survey.is_single:
        return _classes(found, numbers)
    if found:
        return _class(found[0], numbers)
    findings.lost("image without a class", image.file_name)
    return {}


def _mask_name(image: ExportImage) -> str:
    return f"masks/{image.row['uid']}.png"


def _mask(image: ExportImage, numbers: Mapping[str, int], findings: Findings) -> Image.Image:
    """Later objects lie on earlier ones."""
    size = size_of(image.row)
    canvas = Image.new("P", size, 0)
    canvas.putpalette([value for number in range(256) for value in colour_of(number)])
    for label in filter(has_mask, labels_of(image.row)):
        findings.lost("object in the mask of its class", image.file_name)
        canvas.paste(numbers[label["label"]] + 1, (0, 0), bitmap_of(segmentation_of(label, size), *size))
    return canvas


def _colours(image: ExportImage, numbers: Mapping[str, int]) -> dict[str, Any]:
    names = {label["label"] for label in labels_of(image.row) if has_mask(label)}
    colours = {"0": {"class-name": BACKGROUND, "hex-color": "#ffffff", "confidence": 1}}
    for name in sorted(names, key=numbers.__getitem__):
        number = numbers[name] + 1
        spelt = "#{:02x}{:02x}{:02x}".format(*colour_of(number))
        colours[str(number)] = {"class-name": name, "hex-color": spelt, "confidence": 1}
    return {f"{MASK_ATTRIBUTE}-metadata": {"internal-color-map": colours} | _facts(SEMANTIC, ())}


def colour_of(number: int) -> tuple[int, int, int]:
    """A colour for each class number up to 255, all different; white for 0. The bits of the number, spread over the
    three colours as PASCAL VOC spreads them."""
    if number == 0:
        return 255, 255, 255
    red = green = blue = 0
    for shift in range(8):
        red |= (number & 1) << (7 - shift)
        green |= (number >> 1 & 1) << (7 - shift)
        blue |= (number >> 2 & 1) << (7 - shift)
        number >>= 3
    return red, green, blue


def _facts(kind: str, labels: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What each metadata has. A score makes it the work of a machine: people's labels have none."""
    is_machine = any(label["score"] is not None for label in labels)
    return {
        "type": kind,
        "human-annotated": "no" if is_machine else "yes",
        "creation-date": CREATED,
        "job-name": JOB,
    }


def _confidence(label: Mapping[str, Any]) -> float:
    return 1 if label["score"] is None else label["score"]


def _boxes(
    image: ExportImage, found: Sequence[Mapping[str, Any]], numbers: Mapping[str, int], findings: Findings
) -> dict[str, Any]:
    width, height = size_of(image.row)
    annotations = []
    for label in found:
        corners = box_of(label, (width, height))
        assert corners is not None  # the caller chose those with boxes
        left, top, right, bottom = (round(corner) for corner in corners)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        if (left, top, right, bottom) != corners:
            findings.lost("box rounded to whole pixels", image.file_name)
        place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        annotations.append({"class_id": numbers[label["label"]]} | place)
    if len({label["score"] is None for label in found}) > 1:
        findings.lost("label without a score among some with one", image.file_name)
    names = sorted({label["label"] for label in found}, key=numbers.__getitem__)
    metadata = {
        "objects": [{"confidence": _confidence(label)} for label in found],
        "class-map": {str(numbers[name]): name for name in names},
    }
    size = [{"width": width, "height": height, "depth": 3}]
    return {
        ATTRIBUTE: {"image_size": size, "annotations": annotations},
        f"{ATTRIBUTE}-metadata": metadata | _facts(DETECTION, found),
    }


def _class(label: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Any]:
    metadata = {"class-name": label["label"], "confidence": _confidence(label)} | _facts(CLASSIFICATION, [label])
    return {ATTRIBUTE: numbers[label["label"]], f"{ATTRIBUTE}-metadata": metadata}


def _classes(found: Sequence[Mapping[str, Any]], numbers: Mapping[str, int]) -> dict[str, Any]:
    by_number = {numbers[label["label"]]: label for label in found}
    metadata = {
        "class-map": {str(number): label["label"] for number, label in by_number.items()},
        "confidence-map": {str(number): _confidence(label) for number, label in by_number.items()},
    } | _facts(MULTILABEL, found)
    return {ATTRIBUTE: list(by_number), f"{ATTRIBUTE}-metadata": metadata}
