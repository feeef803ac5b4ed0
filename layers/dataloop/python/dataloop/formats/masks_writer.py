"""Writes masks as VOC has them: indexed PNGs of classes and of objects, their label map, and the splits' lists."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

from PIL import Image, ImageChops

from dataloop.domain.errors import LimitExceeded
from dataloop.domain.masks import area, read_counts
from dataloop.formats.bitmaps import bitmap_of
from dataloop.formats.label_maps import VOID_COLOUR, VOID_VALUE, colour
from dataloop.formats.losses import MASK, SPLIT, has_mask, note_losses
from dataloop.formats.masks import CLASSES, OBJECTS
from dataloop.formats.names import exported_name, stem_of
from dataloop.formats.pixels import labels_of, ring_area, segmentation_of, size_of
from dataloop.formats.split_files import SplitFiles
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.targets import Target
from dataloop.formats.voc_writer import label_map

# An index is one byte; 0 is background and 255 VOC's border.
MAX_CLASSES = 254
MAX_OBJECTS = 254
_PALETTE = bytes(chain.from_iterable(colour(index) for index in range(VOID_VALUE))) + bytes(VOID_COLOUR)


class MasksWriter:
    """SegmentationClass/<uid>.png and SegmentationObject/<uid>.png, labelmap.txt, ImageSets/Segmentation/<split>.txt.

    A pixel shows one object: where some lie over each other, the smallest. A pixel is an object's when its centre is inside
    its outline. Memory: a picture at a time, one byte a pixel, four times.
    """

    NAME = "masks"

    def image_name(self, image: ExportImage) -> str:
        return f"JPEGImages/{exported_name(image)}"

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        """Raises LimitExceeded for more than 254 classes."""
        if len(labels) > MAX_CLASSES:
            raise LimitExceeded("classes of indexed masks", MAX_CLASSES, len(labels))
        classes = {label: place for place, label in enumerate(labels, 1)}
        with ExitStack() as stack:
            lists = SplitFiles(stack)
            for image in images:
                note_losses(image, findings, frozenset({MASK, SPLIT}))
                stem = stem_of(exported_name(image))
                lists.add(image.split, stem)
                for folder, picture in zip((CLASSES, OBJECTS), _drawn(image, classes, findings), strict=True):
                    with target.open(f"{folder}/{stem}.png") as file:
                        file.write(_png(picture))
            lists.write(target, "ImageSets/Segmentation/")
        with target.open("labelmap.txt") as file:
            file.write(label_map(labels, findings).encode("utf-8"))


def _drawn(image: ExportImage, classes: Mapping[str, int], findings: Findings) -> tuple[Image.Image, Image.Image]:
    """The masks of classes and of objects, as values."""
    size = size_of(image.row)
    by_class, by_object = Image.new("L", size), Image.new("L", size)
    found = [(label["label"], segmentation_of(label, size)) for label in labels_of(image.row) if has_mask(label)]
    found.sort(key=lambda entry: -_area(entry[1]))
    for _ in found[MAX_OBJECTS:]:
        findings.lost(f"object beyond {MAX_OBJECTS} of an image", image.file_name)
    # Of too many the smallest go, which are drawn last.
    for place, (label, segmentation) in enumerate(found[:MAX_OBJECTS], 1):
        bitmap = bitmap_of(segmentation, *size)
        if bitmap.getbbox() is None:
            findings.lost("object that covers no centre of a pixel", image.file_name)
        if ImageChops.darker(by_object, bitmap).getbbox() is not None:
            findings.lost("pixels of an object that lies under another", image.file_name)
        by_class.paste(classes[label], mask=bitmap)
        by_object.paste(place, mask=bitmap)
    return by_class, by_object


def _area(segmentation: Any) -> float:
    """In pixels; of polygons, as if none lay over another."""
    if isinstance(segmentation, Mapping):
        return area(read_counts(segmentation["counts"]))
    return sum(map(ring_area, segmentation))


def _png(values: Image.Image) -> bytes:
    picture = Image.frombytes("P", values.size, values.tobytes())
    picture.putpalette(_PALETTE)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
