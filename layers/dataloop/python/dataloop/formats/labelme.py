"""LabelMe's JSON (wkentaro/labelme, versions 3 to 5): one file a picture, coordinates in pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dataloop.domain.annotations import MAX_LABELS, MAX_TEXT
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.formats import values
from dataloop.formats.bitmaps import mask_in_text, rle_of
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.streams import parse_json
from dataloop.formats.surface import Findings, FormatError, Label, Picture

# Ours: such a file may hold its whole picture in base64; a camera's has up to 30 MB.
MAX_FILE_BYTES = 64 * 1024 * 1024
# How many files of a folder `recognises` opens.
_LOOKS = 3
# Where names are sorted, the whole picture comes before the shapes.
_SHAPES = re.compile(rb'^\s*\{.*"(?:shapes"\s*:\s*\[|imageData"\s*:)', re.DOTALL)
_UNKEPT = ("line", "linestrip", "point", "points")


class LabelMeReader:
    """Rectangles, polygons, circles and masks become labels; shapes of one group and label are one object in pieces.

    Lines and points are losses. Flags that are set are labels of the whole picture, where the file has no shape.
    """

    NAME = "labelme"

    def recognises(self, source: Source) -> bool:
        for looks, name in enumerate(values.names_with(source, ".json")):
            if looks == _LOOKS:
                break
            if _SHAPES.match(values.head_of(source, name).removeprefix(b"\xef\xbb\xbf")):
                return True
        return False

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """One picture a file. Files that are no LabelMe JSON, and second files for one picture, are problems."""
        seen, is_found = Seen(), False
        for name in values.names_with(source, ".json"):
            is_found = True
            try:
                content = parse_json(source.read(name, MAX_FILE_BYTES), name)
                picture = _Reading(name, findings).picture(content)
            except FormatError:
                raise
            except (InvalidInput, LimitExceeded) as error:
                findings.problem(name, str(error))
                continue
            except values.NothingUsable as nothing:
                nothing.report(findings, name)
                continue
            if seen.add(picture.file_name):
                yield picture
            else:
                findings.problem(name, f"speaks of {picture.file_name}, which another file has spoken of")
        if not is_found:
            raise FormatError("LabelMe", "holds no .json file")


class _Reading:
    """One file."""

    def __init__(self, name: str, findings: Findings) -> None:
        self._name = name
        self._findings = findings

    def picture(self, content: object) -> Picture:
        if not isinstance(content, Mapping) or not isinstance(content.get("shapes"), list):
            raise InvalidInput("shapes", "is missing: this is no LabelMe file")
        path = content.get("imagePath")
        if not isinstance(path, str) or not path.strip():
            raise InvalidInput("imagePath", "must name the picture", path)
        if len(content["shapes"]) > MAX_LABELS:
            raise LimitExceeded("shapes", MAX_LABELS, len(content["shapes"]))
        file_name = values.beside(self._name, path, self._findings)
        self._size = values.size_of(content.get("imageWidth"), content.get("imageHeight"))
        labels = self._labels(content["shapes"])
        if content["shapes"] and not labels:
            raise values.NothingUsable
        tags = self._flags(content.get("flags"))
        attributes: dict[str, Any] = {}
        if tags and labels:
            self._findings.lost("label of the whole picture beside objects", self._name)
            attributes["tags"] = ", ".join(tags)[:MAX_TEXT]
        elif not content["shapes"]:
            labels = [Label(tag) for tag in tags]
        width, height = self._size
        return Picture(file_name, values.kind_of(labels), tuple(labels), width, height, attributes=attributes)

    def _flags(self, flags: object) -> list[str]:
        """Names of the flags that are set; those with two underscores are the tool's own."""
        if not isinstance(flags, Mapping):
            return []
        return [values.text(flag, "flags") for flag, is_set in flags.items() if is_set is True and flag[:2] != "__"]

    def _labels(self, shapes: list[object]) -> list[Label]:
        labels: list[Label] = []
        pieces: dict[tuple[object, str], int] = {}
        for index, shape in enumerate(shapes):
            item = f"{self._name}: shape {index}"
            try:
                label = self._label(shape, item)
            except (InvalidInput, LimitExceeded) as error:
                self._findings.problem(item, str(error))
                continue
            if label is None:
                continue
            group = label.attributes.get("group_id")
            if group is None or not isinstance(label.segmentation, list):
                labels.append(label)
                continue
            at = pieces.setdefault((group, label.label), len(labels))
            if at == len(labels):
                labels.append(label)
            else:
                whole = labels[at]
                outlines = [*(whole.segmentation or ()), *label.segmentation]
                labels[at] = Label(label.label, segmentation=outlines, attributes=whole.attributes)
        return labels

    def _label(self, shape: object, item: str) -> Label | None:
        """A shape as label; None for one that has no area."""
        if not isinstance(shape, Mapping):
            raise InvalidInput("shape", "must be an object", shape)
        name = values.text(shape.get("label"), "label")
        kind = shape.get("shape_type") or "polygon"  # before version 3.5 there were only polygons
        points = shape.get("points")
        if kind in _UNKEPT:
            self._findings.lost(f"shape {kind}", item)
            return None
        attributes = self._attributes(shape, item)
        if kind == "rectangle":
            first, second = self._two(points)
            return Label(name, values.box(*first, *second, "points"), attributes=attributes)
        if kind in ("polygon", "oriented_rectangle"):
            return Label(name, segmentation=values.outline(points, "points"), attributes=attributes)
        if kind == "circle":
            centre, rim = self._two(points)
            radius = math.dist(centre, rim)
            self._findings.lost("circle, kept as polygon", item)
            outline = values.ellipse(*centre, radius, radius, "points")
            return Label(name, segmentation=outline, attributes=attributes)
        if kind == "mask":
            return Label(name, segmentation=self._mask(shape.get("mask"), points), attributes=attributes)
        raise InvalidInput("shape_type", "is none that LabelMe has", kind)

    def _two(self, points: object) -> tuple[tuple[float, float], tuple[float, float]]:
        if not isinstance(points, list) or len(points) != 2:
            raise InvalidInput("points", "must be two points", points)
        return values.point(points[0], "points[0]"), values.point(points[1], "points[1]")

    def _mask(self, mask: object, points: object) -> dict[str, Any]:
        """A picture of the mask within its box, whose first point is the mask's own first pixel."""
        (left, top), _ = self._two(points)
        width, height = self._size
        if width is None or height is None:
            raise InvalidInput("mask", "needs imageWidth and imageHeight")
        return rle_of(mask_in_text(mask, "mask"), width, height, round(left), round(top))

    def _attributes(self, shape: Mapping[str, Any], item: str) -> dict[str, Any]:
        found = {"group_id": shape.get("group_id"), "description": shape.get("description")}
        flags = shape.get("flags")
        if isinstance(flags, Mapping):
            found |= {name: True for name, is_set in flags.items() if is_set is True}
        return values.plain(found, self._findings, item)
