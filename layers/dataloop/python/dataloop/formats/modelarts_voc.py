"""The VOC files of ModelArts, read and written: beside boxes they have polygons and circles, and properties.

Unlike PASCAL's own, their coordinates count from 0: the corners are those that the labelling tool drew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.formats import values
from dataloop.formats.streams import xml_events
from dataloop.formats.surface import Findings, FormatError, Label

# The finest outline that an annotation may have (MAX_POINTS of domain/geometry.py) has two elements a point; what is
# behind it is the object's facts.
MAX_ELEMENTS = 101_000
_UNKEPT = ("point", "line", "dashed", "polyline")
_PLACE = re.compile(r"([xy])(\d+)")


def read_voc(stream: IO[bytes], name: str, findings: Findings) -> tuple[tuple[int | None, int | None], list[Label]]:
    """Size and labels of one file. Objects that cannot be used are problems.

    Raises FormatError for broken or hostile XML, InvalidInput for what is no VOC file or has nothing that can be used,
    LimitExceeded.
    """
    size: tuple[int | None, int | None] = (None, None)
    labels: list[Label] = []
    count = 0
    for child in _children(stream, name):
        if child.tag == "size":
            size = values.size_of(child.findtext("width"), child.findtext("height"))
        if child.tag != "object":
            continue
        item = f"{name}: object {count}"
        count += 1
        if count > MAX_LABELS:
            raise LimitExceeded(f"{name}: objects", MAX_LABELS)
        try:
            label = _label(child, item, findings)
        except FormatError:
            raise
        except (InvalidInput, LimitExceeded) as error:
            findings.problem(item, str(error))
            continue
        if label is not None:
            labels.append(label)
    if count and not labels:
        raise values.NothingUsable
    return size, labels


def _children(stream: IO[bytes], name: str) -> Iterator[Element]:
    """What is directly below the root, one after the other; memory holds one of them."""
    path: list[Element] = []
    elements = 0
    for event, element in xml_events(stream, name):
        if event == "start":
            path.append(element)
            elements += 1
            if element is path[0] and element.tag != "annotation":
                raise InvalidInput(name, "is no VOC file: its root must be <annotation>", element.tag)
            if elements > MAX_ELEMENTS:
                raise LimitExceeded(f"{name}: elements of one object", MAX_ELEMENTS)
            continue
        path.pop()
        if len(path) == 1:
            yield element
            del path[0][:]
            elements = 0


def _label(entry: Element, item: str, findings: Findings) -> Label | None:
    name = values.text(entry.findtext("name"), "name")
    confidence = entry.findtext("confidence")
    score = None if not confidence else values.score(confidence, "confidence")
    for kind in _UNKEPT:
        if entry.find(kind) is not None:
            findings.lost(f"shape {kind}", item)
            return None
    attributes = _attributes(entry, item, findings)
    box, polygon, circle = entry.find("bndbox"), entry.find("polygon"), entry.find("circle")
    if polygon is not None:
        return Label(name, segmentation=_outline(polygon), score=score, attributes=attributes)
    if box is not None:
        left, top, right, bottom = (box.findtext(field) for field in ("xmin", "ymin", "xmax", "ymax"))
        corners = values.box(left, top, right, bottom, "bndbox")
        return Label(name, corners, score=score, attributes=attributes)
    if circle is not None:
        cx, cy, radius = (values.number(circle.findtext(field), field) for field in ("cx", "cy", "r"))
        findings.lost("circle, kept as polygon", item)
        outline = values.ellipse(cx, cy, radius, radius, "circle")
        return Label(name, segmentation=outline, score=score, attributes=attributes)
    raise InvalidInput("object", "has no shape")


def _outline(polygon: Element) -> list[list[float]]:
    """x1, y1, x2, y2, … in whatever order; the last point may repeat the first."""
    places: dict[int, dict[str, str]] = {}
    for child in polygon:
        match = _PLACE.fullmatch(child.tag)
        if match and len(match.group(2)) < 7:
            places.setdefault(int(match.group(2)), {})[match.group(1)] = child.text or ""
    points = [(places[number].get("x"), places[number].get("y")) for number in sorted(places)]
    if len(points) > 3 and points[0] == points[-1]:
        points.pop()
    return values.outline(points, "polygon")


def _attributes(entry: Element, item: str, findings: Findings) -> dict[str, Any]:
    """Flags that are set, and properties in both their spellings."""
    found: dict[str, Any] = {
        flag: True for flag in ("truncated", "occluded", "difficult") if entry.findtext(flag) not in (None, "", "0")
    }
    for child in entry.iterfind("properties/*"):
        key = child.findtext("key")
        if key is not None:
            found[key] = child.findtext("value")
        elif not child.tag.startswith("@modelarts:"):
            found[child.tag] = child.text
    return values.plain(found, findings, item)


def voc_of(file_name: str, size: tuple[int, int], objects: Iterable[Mapping[str, Any]], is_segmented: bool) -> bytes:
    """One file. objects: name, score, and box (x1, y1, x2, y2) or ring ([x, y, x, y, …]) in pixels."""
    root = Element("annotation")
    _texts(root, folder="NA", filename=file_name)
    _texts(SubElement(root, "source"), database="Unknown")
    _texts(SubElement(root, "size"), width=size[0], height=size[1], depth=3)
    _texts(root, segmented=int(is_segmented))
    for entry in objects:
        child = SubElement(root, "object")
        _texts(child, name=entry["name"], pose="Unspecified", truncated=0, occluded=0, difficult=0)
        if entry["score"] is not None:
            _texts(child, confidence=entry["score"])
        if entry.get("ring") is not None:
            ring = entry["ring"]
            places = {f"{'xy'[index % 2]}{index // 2 + 1}": value for index, value in enumerate(ring)}
            _texts(SubElement(child, "polygon"), **places)
        else:
            names = ("xmin", "ymin", "xmax", "ymax")
            _texts(SubElement(child, "bndbox"), **dict(zip(names, entry["box"], strict=True)))
    indent(root)
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _texts(parent: Element, **texts: object) -> None:
    for name, value in texts.items():
        SubElement(parent, name).text = str(value)
