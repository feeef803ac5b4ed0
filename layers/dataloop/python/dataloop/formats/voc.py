"""Pascal VOC: one XML file a picture, with its size and boxes; lists of names below ImageSets/Main say the splits.

Corners are taken as they stand, in pixels from 0. The original VOC files count from 1, tools of today from 0: the
difference of one pixel is below what either means.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.formats.names import relative_name, split_of_folders, stem_of, uid_in
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.splits import SplitLists
from dataloop.formats.streams import xml_events
from dataloop.formats.surface import Findings, FormatError, Label, Picture
from dataloop.formats.values import box, head_of, names_with, size_of, text

_LOOK_AT = 20
# VOC's own remarks on an object; pose is a word, the others are 0 or 1.
_REMARKS = ("pose", "truncated", "difficult", "occluded")


class VocReader:
    """Reads Annotations/*.xml, or XML files wherever they lie (LabelImg writes them beside the pictures)."""

    NAME = "voc"

    def recognises(self, source: Source) -> bool:
        # ModelArts keeps the boxes of its manifests in files of this kind.
        has_manifest = next(iter(names_with(source, ".manifest")), None) is not None
        found = (head_of(source, name) for name in islice(names_with(source, ".xml"), _LOOK_AT))
        return not has_manifest and any(map(_is_voc, found))

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """Pictures in the order of their XML files' names; a file that is broken is one problem.

        A picture whose objects are all unusable is left out: it is not empty. Raises FormatError for no XML file.
        """
        seen, is_empty = Seen(), True
        with SplitLists(source, "ImageSets/Main/", findings) as lists:
            for name in names_with(source, ".xml"):
                is_empty = False
                try:
                    picture = _read_file(source, name, lists, findings)
                except FormatError as error:
                    # Its reason begins with its item.
                    findings.problem(error.item, error.reason.removeprefix(f"{error.item}: "))
                    continue
                except (DomainError, ValueError) as error:
                    findings.problem(name, str(error))
                    continue
                if picture is None:
                    findings.lost("image: none of its labels is sound", name)
                elif seen.add(picture.file_name):
                    yield picture
                else:
                    findings.problem(name, f"{picture.file_name} came before in this source")
        if is_empty:
            raise FormatError("source", "holds no XML file")


def _is_voc(head: bytes) -> bool:
    """A root <annotation>; LabelMe's old XML has one, too, and outlines its objects with <polygon><pt>."""
    start = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="replace")
    root = start.find("<annotation")
    return root >= 0 and start[root + 11 : root + 12] in (">", " ", "\n", "\r", "\t") and "<pt>" not in start


def _read_file(source: Source, name: str, lists: SplitLists, findings: Findings) -> Picture | None:
    """None when the file names objects and none of them is sound."""
    width = height = file_name = root = None
    labels: list[Label] = []
    objects = depth = 0
    with source.open(name) as stream:
        for event, element in xml_events(stream, name):
            depth += 1 if event == "start" else -1
            if root is None:
                root = element
                if element.tag != "annotation":
                    raise InvalidInput("root", "must be <annotation>", element.tag)
            if event == "start" or depth != 1:
                continue
            if element.tag == "object":
                objects += 1
                if objects > MAX_LABELS:
                    raise LimitExceeded("objects", MAX_LABELS)
                _take_object(element, f"{name}: object {objects}", labels, findings)
            elif element.tag == "size":
                width, height = size_of(element.findtext("width"), element.findtext("height"))
            elif element.tag == "filename":
                file_name = (element.text or "").strip()
            elif element.tag == "segmented" and (element.text or "").strip() == "1":
                findings.lost("mask beside the XML file (read them as `masks`)", name)
            root.clear()
    if objects and not labels:
        return None
    picture_name = _picture_name(name, file_name)
    split = lists.split_of(stem_of(name)) or split_of_folders(posixpath.dirname(name).split("/"))
    return Picture(picture_name, "detection", tuple(labels), width, height, split, uid_in(picture_name))


def _picture_name(name: str, file_name: str | None) -> str:
    """The picture lies where the XML file lies; JPEGImages/ stands beside Annotations/ and mirrors its folders."""
    folders = posixpath.dirname(name).split("/")
    if "Annotations" in folders:
        place = len(folders) - 1 - folders[::-1].index("Annotations")
        folders[place] = "JPEGImages"
    # Without a <filename> the XML file's own name is all there is; the suffix stays unknown.
    found = relative_name(file_name) if file_name else stem_of(name)
    return posixpath.join("/".join(folders), posixpath.basename(found))


def _take_object(element: Element, item: str, labels: list[Label], findings: Findings) -> None:
    try:
        labels.append(_label(element, item, findings))
    except DomainError as error:
        findings.problem(item, str(error))


def _label(element: Element, item: str, findings: Findings) -> Label:
    """Raises InvalidInput, LimitExceeded."""
    bounds = element.find("bndbox")
    if bounds is None:
        raise InvalidInput("bndbox", "is missing")
    x1, y1, x2, y2 = (bounds.findtext(corner) for corner in ("xmin", "ymin", "xmax", "ymax"))
    for part in ("part", "polygon", "point"):
        if element.find(part) is not None:
            findings.lost(part, item)
    remarks: dict[str, Any] = {}
    for remark in _REMARKS:
        value = (element.findtext(remark) or "").strip()
        if value not in ("", "0", "Unspecified"):
            remarks[remark] = value[:64] if remark == "pose" else True
    for attribute in element.iterfind("attributes/attribute"):
        attribute_name, said = attribute.findtext("name"), attribute.findtext("value")
        if attribute_name and said is not None:
            remarks[attribute_name[:64]] = said[:64]
    return Label(text(element.findtext("name"), "name"), box(x1, y1, x2, y2, "bndbox"), attributes=remarks)
