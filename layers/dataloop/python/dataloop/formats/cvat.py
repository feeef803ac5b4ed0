"""CVAT's XML 1.1, as its exports `CVAT for images` and `CVAT for video` write it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.masks import MAX_RUNS
from dataloop.formats import values
from dataloop.formats.bitmaps import bitmap_of_rows, check_size, rle_of
from dataloop.formats.names import split_in, split_named, stem_of
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.streams import xml_events
from dataloop.formats.surface import Findings, FormatError, Label, Picture

# Ours: a project with more names is broken; they are kept while its file is read.
MAX_NAMES = 10_000
# Ours: of one object, skeletons' points among them.
MAX_ATTRIBUTES = 1_000
_ROOT = re.compile(rb"^(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>\s*)?(<!--.*?-->\s*)*<annotations[\s>]", re.DOTALL)
_UNKEPT = ("polyline", "points", "cuboid", "skeleton")
_SHAPES = ("box", "polygon", "mask", "ellipse", "tag", *_UNKEPT)


class CvatReader:
    """Boxes, turned boxes, polygons, masks, ellipses and tags become labels; polylines, points, cuboids, skeletons and
    the tracks of a video are losses: a track's frames have no picture's name."""

    NAME = "cvat"

    def recognises(self, source: Source) -> bool:
        return any(_is_cvat(source, name) for name in values.names_with(source, ".xml"))

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """The pictures of all such files. Raises FormatError for broken or hostile XML, whatever the policy."""
        names = [name for name in values.names_with(source, ".xml") if _is_cvat(source, name)]
        if not names:
            raise FormatError("CVAT", "holds no .xml file whose root is <annotations>")
        seen = Seen()
        for name in names:
            for picture in _Reading(name, findings).pictures(source):
                if seen.add(picture.file_name):
                    yield picture
                else:
                    findings.problem(f"{name}: {picture.file_name}", "is named a second time")


def _is_cvat(source: Source, name: str) -> bool:
    return _ROOT.match(values.head_of(source, name, 4096)) is not None


class _Reading:
    """One file, element by element: what is read is cleared, so that memory holds one picture."""

    def __init__(self, name: str, findings: Findings) -> None:
        self._name = name
        self._findings = findings
        self._known: set[str] = set()
        self._path: list[Element] = []
        self._labels: list[Label] = []
        self._count = 0
        self._size: tuple[int | None, int | None] = (None, None)

    def pictures(self, source: Source) -> Iterator[Picture]:
        with source.open(self._name) as stream:
            for event, element in xml_events(stream, self._name):
                if event == "start":
                    self._path.append(element)
                    self._begin(element)
                    continue
                self._path.pop()
                inside, depth = self._path[-1].tag if self._path else None, len(self._path)
                if element.tag == "image" and depth == 1:
                    picture = self._picture(element)
                    if picture is not None:
                        yield picture
                elif element.tag in _SHAPES and inside == "image" and depth == 2:
                    self._shape(element)
                elif element.tag == "track" and depth == 1:
                    self._findings.lost("track of a video", f"{self._name}: track {element.get('id')}")
                elif element.tag == "name" and inside == "label":
                    self._name_of_label(element)
                self._forget(inside)

    def _forget(self, inside: str | None) -> None:
        """Drop what was read, but for the attributes of the shape that is being read."""
        if inside is None:
            return
        above = self._path[-1]
        if inside not in _SHAPES:
            del above[:]
        elif len(above) > MAX_ATTRIBUTES:
            raise FormatError(self._name, f"has an object with more than {MAX_ATTRIBUTES} attributes")

    def _begin(self, element: Element) -> None:
        if element.tag != "image" or len(self._path) != 2:
            return
        self._labels, self._count = [], 0
        self._image = dict(element.attrib)
        self._item = f"{self._name}: {element.get('name') or 'image ' + str(element.get('id'))}"
        try:
            self._size, self._wrong = values.size_of(element.get("width"), element.get("height")), ""
        except InvalidInput as error:
            self._size, self._wrong = (None, None), str(error)

    def _name_of_label(self, element: Element) -> None:
        if len(self._known) == MAX_NAMES:
            raise FormatError(self._name, f"has more than {MAX_NAMES} label names")
        self._known.add(element.text or "")

    def _picture(self, element: Element) -> Picture | None:
        """The picture whose element ends, or None for one that cannot be used."""
        try:
            if self._wrong:
                raise InvalidInput("image", self._wrong)
            if self._count > MAX_LABELS:
                raise LimitExceeded("objects of one picture", MAX_LABELS, self._count)
            if self._count and not self._labels:
                raise values.NothingUsable
            file_name = values.file_name_of(self._image.get("name"), "name")
        except (InvalidInput, LimitExceeded) as error:
            self._findings.problem(self._item, str(error))
            return None
        except values.NothingUsable as nothing:
            nothing.report(self._findings, self._item)
            return None
        labels, attributes = values.objects_first(self._labels, self._findings, self._item)
        split = split_named(self._image.get("subset", "")) or split_in(stem_of(self._name))
        width, height = self._size
        return Picture(
            file_name, values.kind_of(labels), tuple(labels), width, height, split=split, attributes=attributes
        )

    def _shape(self, element: Element) -> None:
        self._count += 1
        item = f"{self._item}: {element.tag} {self._count}"
        if self._count > MAX_LABELS:
            return
        if element.tag in _UNKEPT:
            self._findings.lost(f"shape {element.tag}", item)
            return
        try:
            name = values.text(element.get("label"), "label")
            if self._known and name not in self._known:
                raise InvalidInput("label", "is not among the labels of the file", name)
            self._labels.append(self._label(name, element, item))
        except (InvalidInput, LimitExceeded) as error:
            self._findings.problem(item, str(error))

    def _label(self, name: str, element: Element, item: str) -> Label:
        said = element.attrib
        attributes = self._attributes(element, item)
        if element.tag == "tag":
            return Label(name, attributes=attributes)
        if element.tag == "mask":
            return Label(name, segmentation=self._mask(said), attributes=attributes)
        if element.tag == "polygon":
            return Label(name, segmentation=values.outline(_points(said), "points"), attributes=attributes)
        degrees = values.number(said["rotation"], "rotation") if "rotation" in said else 0
        if element.tag == "ellipse":
            self._findings.lost("ellipse, kept as polygon", item)
            cx, cy, rx, ry = (values.number(said.get(field), field) for field in ("cx", "cy", "rx", "ry"))
            return Label(name, segmentation=values.ellipse(cx, cy, rx, ry, "ellipse", degrees), attributes=attributes)
        box = values.box(said.get("xtl"), said.get("ytl"), said.get("xbr"), said.get("ybr"), "box")
        if degrees % 360:
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            return Label(name, segmentation=values.turned_box(box, middle, degrees, "box"), attributes=attributes)
        return Label(name, box, attributes=attributes)

    def _mask(self, said: Mapping[str, str]) -> dict[str, Any]:
        """Runs of pixels row by row within a box, outside the mask first."""
        across, down = self._size
        if across is None or down is None:
            raise InvalidInput("mask", "needs the size of its image")
        left, top = (round(values.number(said.get(field), field)) for field in ("left", "top"))
        width, height = (values.whole(said.get(field), field) for field in ("width", "height"))
        check_size(width, height, "mask")
        runs = (said.get("rle") or "").split(",", MAX_RUNS)
        if len(runs) > MAX_RUNS:
            raise LimitExceeded("rle: runs", MAX_RUNS)
        if not all(run.strip().isdecimal() and len(run) < 12 for run in runs):
            raise InvalidInput("rle", "must be whole numbers with commas", said.get("rle"))
        lengths = [int(run) for run in runs]
        if sum(lengths) != width * height:
            raise InvalidInput("rle", f"sums to {sum(lengths)} pixels, and its box has {width} × {height}")
        return rle_of(bitmap_of_rows(_inside(lengths), width, height), across, down, left, top)

    def _attributes(self, element: Element, item: str) -> dict[str, Any]:
        found: dict[str, Any] = {child.get("name", ""): child.text for child in element.iter("attribute")}
        if element.get("occluded") == "1":
            found["occluded"] = True
        if element.get("group_id"):
            found["group_id"] = element.get("group_id")
        return values.plain(found, self._findings, item)


def _points(said: Mapping[str, str]) -> list[list[str]]:
    return [pair.split(",") for pair in (said.get("points") or "").split(";")]


def _inside(lengths: list[int]) -> Iterator[tuple[int, int]]:
    at = 0
    for index, length in enumerate(lengths):
        if index % 2:
            yield at, at + length
        at += length
