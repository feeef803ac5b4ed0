"""Writes Pascal VOC: an XML file a picture with its boxes, and the splits' lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from xml.sax.saxutils import escape

from dataloop.formats.label_maps import colour
from dataloop.formats.losses import BOX, SPLIT, note_losses
from dataloop.formats.names import exported_name, stem_of, written_as
from dataloop.formats.pixels import box_of, labels_of, size_of
from dataloop.formats.split_files import SplitFiles
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.targets import Target

CARRIED = frozenset({BOX, SPLIT})
# Colons part the columns of labelmap.txt, and # begins a remark.
_NOT_IN_MAP = frozenset(":#\r\n")
_HEAD = """<annotation>
  <folder>JPEGImages</folder>
  <filename>{name}</filename>
  <source><database>{source}</database></source>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <segmented>0</segmented>
"""
_OBJECT = """  <object>
    <name>{name}</name>
    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><occluded>0</occluded>
    <bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
  </object>
"""


class VocWriter:
    """Annotations/<uid>.xml, JPEGImages/<uid>.<suffix>, ImageSets/Main/<split>.txt, labelmap.txt.

    Corners are pixels from 0, to 1/1000. <source> names the object; labels of a whole picture have no place here.
    """

    NAME = "voc"

    def image_name(self, image: ExportImage) -> str:
        return f"JPEGImages/{exported_name(image)}"

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        with ExitStack() as stack:
            lists = SplitFiles(stack)
            for image in images:
                note_losses(image, findings, CARRIED)
                name = exported_name(image)
                lists.add(image.split, stem_of(name))
                with target.open(f"Annotations/{stem_of(name)}.xml") as file:
                    file.write(_xml(image, name).encode("utf-8"))
            lists.write(target, "ImageSets/Main/")
        with target.open("labelmap.txt") as file:
            file.write(label_map(labels, findings).encode("utf-8"))


def _xml(image: ExportImage, name: str) -> str:
    width, height = size_of(image.row)
    head = _HEAD.format(name=_text(name), source=_text(image.file_name), width=width, height=height)
    found = ((label["label"], box_of(label, (width, height))) for label in labels_of(image.row))
    objects = "".join(_OBJECT.format(name=_text(label), box=box) for label, box in found if box is not None)
    return f"{head}{objects}</annotation>\n"


def _text(value: str) -> str:
    """Text for XML 1.0, which has no control characters."""
    return escape("".join(letter if letter >= " " or letter in "\t\n" else "\ufffd" for letter in value))


def label_map(labels: Sequence[str], findings: Findings) -> str:
    """labelmap.txt as CVAT and others write it: one class a line, with its colour of VOC's palette."""
    labels = written_as(labels, _NOT_IN_MAP, findings)
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"{label}:{','.join(map(str, colour(place)))}::" for place, label in enumerate(labels, 1)]
    return "\n".join(lines) + "\n"
