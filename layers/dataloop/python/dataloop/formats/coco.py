"""COCO's instances files: one JSON document with images, annotations and categories, in any order and of any size.

Ours beside the standard: an `annotationType` of the file, a `uid` of an image, `attributes` of both, a `score`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from typing import IO, Any

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.geometry import check_xyxy
from dataloop.domain.masks import check_segmentation
from dataloop.formats.json_stream import parts
from dataloop.formats.names import relative_name, split_in, split_of_folders, stem_of
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.spool import Spool, packed, unpacked
from dataloop.formats.surface import Findings, FormatError, Label, Picture
from dataloop.formats.values import head_of, names_with, plain, text
from dataloop.formats.values import score as checked_score

LISTS = ("images", "annotations", "categories")
# Ours: the largest public label maps have some twenty thousand names (ImageNet-21k).
MAX_CATEGORIES = 100_000
# Files whose beginning is looked at to recognise the format.
_LOOK_AT = 20
_is_list = re.compile(r'"(?:images|categories)"\s*:\s*\[|"image_id"\s*:').search
_is_other = re.compile(r'"(?:shapes|result|segments_info)"\s*:\s*[\[{]').search

_INSERT_IMAGE = "INSERT OR IGNORE INTO images VALUES (?, ?, ?)"
_INSERT_LABEL = "INSERT INTO labels (image, category, entry) VALUES (?, ?, ?)"
# The labels of an image in the order of the file, the images too; an image without labels has one row of NULLs.
_JOIN = """SELECT images.place, images.entry, labels.category, labels.entry
    FROM images LEFT JOIN labels ON labels.image = images.id ORDER BY images.place, labels.place"""
_STRANGERS = "SELECT DISTINCT image FROM labels WHERE image NOT IN (SELECT id FROM images)"


class CocoReader:
    """Reads every COCO file of a source; where some are called instances_*, only those."""

    NAME = "coco"

    def recognises(self, source: Source) -> bool:
        found = names_with(source, ".json")
        return any(_looks_like_coco(source, name) for name in islice(found, _LOOK_AT))

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """Pictures in the order of the files. An image whose labels are all unusable is left out: it is not empty.

        Everything that can be wrong is reported before the first picture of a file. Disk: about the size of the file.
        Raises FormatError: no JSON, no COCO, ids that are neither numbers nor texts, panoptic files.
        """
        seen = Seen()
        for file in _files(source, findings):
            with source.open(file) as stream:
                yield from _read_file(stream, file, seen, findings)


def _looks_like_coco(source: Source, name: str) -> bool:
    head = head_of(source, name)
    text = head.decode(json.detect_encoding(head), errors="replace").lstrip()
    return text.startswith("{") and _is_list(text) is not None and _is_other(text) is None


def _files(source: Source, findings: Findings) -> list[str]:
    found = list(names_with(source, ".json"))
    if len(found) > 1:
        found = [name for name in found if _looks_like_coco(source, name)]
    if not found:
        raise FormatError("source", "holds no COCO file (.json with a list `images`)")
    instances = [name for name in found if posixpath.basename(name).startswith("instances")]
    for name in found if instances else ():
        if name not in instances:
            findings.lost("file beside instances_*.json (captions, keypoints)", name)
    return instances or found


@dataclass
class _Document:
    """What was met in one file. labels: how many of each category are sound so far, and how many of them have masks."""

    name: str
    kind: str | None = None
    categories: dict[bytes, str] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    images: int = 0
    has_objects: bool = False
    bare: int = 0
    labels: dict[bytes, list[int]] = field(default_factory=dict)

    def is_sound(self, category: bytes, entry: Sequence[Any] | None) -> bool:
        if entry is None or category not in self.categories:
            return False
        return not self.has_objects or entry[1] is not None or entry[2] is not None


def _read_file(stream: IO[bytes], name: str, seen: Seen, findings: Findings) -> Iterator[Picture]:
    document = _Document(name)
    with Spool(
        "TABLE images (place INTEGER PRIMARY KEY, id BLOB UNIQUE, entry BLOB)",
        "TABLE labels (place INTEGER PRIMARY KEY, image BLOB, category BLOB, entry BLOB)",
    ) as spool:
        for key, what, value in parts(stream, name):
            if what == "entry" and key in LISTS:
                _take_entry(document, key, _checked(name, key, value), spool, findings)
            else:
                _take_field(document, key, what, value)
        if "images" not in document.lists:
            raise FormatError(name, "is not COCO: it has no list `images`")
        spool.run("CREATE INDEX labels_of_image ON labels (image)")
        _report_labels(document, spool, findings)
        kind = document.kind or _guess(document, spool)
        for _, rows in groupby(spool.rows(_JOIN), key=itemgetter(0)):
            picture = _picture(document, kind, list(islice(rows, MAX_LABELS + 1)), seen, findings)
            if picture is not None:
                yield picture


def _take_field(document: _Document, key: str, what: str, value: Any) -> None:
    if key == "annotationType" and (what != "value" or value):
        if not isinstance(value, str):
            raise FormatError(document.name, "annotationType: must be a text")
        document.kind = value
    elif key in LISTS:
        if what != "list" and (key == "images" or value):
            raise FormatError(document.name, f"is not COCO: {key} must be a list of objects")
        if key in document.lists:
            raise FormatError(document.name, f"has two fields {key}")
        document.lists.add(key)


def _checked(name: str, key: str, entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise FormatError(name, f"is not COCO: {key} must be a list of objects")
    for id_name in ("id", "image_id", "category_id"):
        if not isinstance(entry.get(id_name), str | int | None):
            raise FormatError(name, f"is not COCO: {key} has a {id_name} that is no number or text")
    if "segments_info" in entry:
        raise FormatError(name, "is COCO's panoptic form, which is not read: export instances")
    return entry


def _take_entry(document: _Document, key: str, entry: Mapping[str, Any], spool: Spool, findings: Findings) -> None:
    if key == "annotations":
        _take_label(document, entry, spool, findings)
    elif key == "categories":
        _take_category(document, entry, findings)
    else:
        document.images += 1
        facts = [entry.get(field) for field in ("file_name", "uid", "width", "height")]
        facts.append(_attributes(entry, findings, f"image {entry.get('id')}"))
        if not spool.add_new(_INSERT_IMAGE, document.images, _key(entry.get("id")), packed(facts)):
            # Whose labels are they? The first image of an id keeps them.
            findings.problem(f"image {entry.get('id')}", f"{entry.get('file_name')!r} has an id that came before")


def _take_category(document: _Document, entry: Mapping[str, Any], findings: Findings) -> None:
    key = _key(entry.get("id"))
    try:
        name = text(entry.get("name"), "name")
    except (InvalidInput, LimitExceeded) as error:
        findings.problem(f"category {entry.get('id')}", str(error))
        return
    if document.categories.setdefault(key, name) != name:
        findings.problem(f"category {entry.get('id')}", f"{name!r} has an id that came before")
    if len(document.categories) > MAX_CATEGORIES:
        raise LimitExceeded(f"{document.name}: categories", MAX_CATEGORIES)
    if entry.get("supercategory") not in (None, "", "none", name):
        findings.lost("supercategory", str(name))
    if entry.get("keypoints"):
        findings.lost("keypoints", str(name))


def _take_label(document: _Document, entry: Mapping[str, Any], spool: Spool, findings: Findings) -> None:
    category = _key(entry.get("category_id"))
    document.has_objects |= bool(entry.get("bbox") or entry.get("segmentation"))
    found = None
    try:
        found = _label_entry(entry, findings)
    except (InvalidInput, LimitExceeded) as error:
        findings.problem(f"annotation {entry.get('id')}", str(error))
    else:
        counts = document.labels.setdefault(category, [0, 0])
        counts[0] += 1
        counts[1] += found[2] is not None
        document.bare += found[1] is None and found[2] is None
    spool.add(_INSERT_LABEL, _key(entry.get("image_id")), category, None if found is None else packed(found))


def _label_entry(entry: Mapping[str, Any], findings: Findings) -> list[Any]:
    """id, box, segmentation, score, crowd, attributes. Raises InvalidInput, LimitExceeded."""
    # Tools that have no box or no mask to say may write an empty list.
    box, segmentation, score = entry.get("bbox") or None, entry.get("segmentation") or None, entry.get("score")
    if entry.get("keypoints"):
        findings.lost("keypoints", f"annotation {entry.get('id')}")
    return [
        entry.get("id"),
        None if box is None else _box(box),
        None if segmentation is None else check_segmentation(segmentation, "segmentation"),
        None if score is None else checked_score(score, "score"),
        bool(entry.get("iscrowd")),
        _attributes(entry, findings, f"annotation {entry.get('id')}"),
    ]


def _box(box: object) -> tuple[float, ...]:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        raise InvalidInput("bbox", "must be [x, y, width, height]", str(box)[:100])
    x, y, width, height = box
    if not (width > 0 and height > 0):
        raise InvalidInput("bbox", "needs a width and a height above 0", str(box)[:100])
    try:
        return tuple(check_xyxy([x, y, x + width, y + height], "bbox"))
    except OverflowError:
        raise InvalidInput("bbox", "must hold finite numbers", str(box)[:100]) from None


def _attributes(entry: Mapping[str, Any], findings: Findings, item: str) -> dict[str, Any]:
    found = entry.get("attributes")
    return plain(found, findings, item) if isinstance(found, dict) else {}


def _key(id: object) -> bytes:
    """An id as bytes: 1 and "1" are two, as in JSON."""
    return repr(int(id) if isinstance(id, bool) else id).encode("utf-8", "surrogatepass")


def _report_labels(document: _Document, spool: Spool, findings: Findings) -> None:
    """Labels without a category or image, and those that say nothing where the others are objects."""
    has_bare = document.has_objects and document.bare > 0
    if has_bare or document.labels.keys() - document.categories.keys():
        for category, data in spool.rows("SELECT category, entry FROM labels WHERE entry IS NOT NULL ORDER BY place"):
            entry = unpacked(data)
            if category not in document.categories:
                reason = f"category_id: is not among the categories (got {category.decode('utf-8', 'replace')})"
                findings.problem(f"annotation {entry[0]}", reason)
            elif not document.is_sound(category, entry):
                findings.problem(f"annotation {entry[0]}", "bbox: must be [x, y, width, height]")
    for (image,) in spool.rows(_STRANGERS):
        findings.problem(f"image {image.decode('utf-8', 'replace')}", "is not among the images")


def _guess(document: _Document, spool: Spool) -> str:
    """What a file is about that does not say so by an `annotationType` of its own."""
    counts = [found for category, found in document.labels.items() if category in document.categories]
    labels, masks = sum(count for count, _ in counts), sum(count for _, count in counts)
    if not labels:
        return "detection"
    if document.has_objects:
        sound = labels - document.bare
        return "instance_segmentation" if masks and masks == sound else "detection"
    groups = (list(rows) for _, rows in groupby(spool.rows(_JOIN), key=itemgetter(0)))
    is_one_each = all(sum(row[2] in document.categories and row[3] is not None for row in rows) == 1 for rows in groups)
    return "classification" if is_one_each else "multilabel_classification"


def _picture(
    document: _Document, kind: str, rows: Sequence[Sequence[Any]], seen: Seen, findings: Findings
) -> Picture | None:
    file_name, uid, width, height, attributes = unpacked(rows[0][1])
    uid = uid if isinstance(uid, str) else None
    try:
        if not isinstance(file_name, str | None) or not (file_name or uid):
            raise InvalidInput("file_name", "must be a non-empty text", str(file_name)[:100])
        name = _placed(document.name, relative_name(file_name)) if file_name else ""
    except InvalidInput as error:
        findings.problem(f"image {file_name!r}"[:150], str(error))
        return None
    if name and not seen.add(name):
        findings.problem(name, "came before in this source")
        return None
    if len(rows) > MAX_LABELS:
        findings.problem(name or str(uid), f"has more than {MAX_LABELS} labels")
        return None
    said = [(category, unpacked(data) if data else None) for _, _, category, data in rows if category is not None]
    sound = [(category, entry) for category, entry in said if entry and document.is_sound(category, entry)]
    if said and not sound:
        findings.lost("image: none of its labels is sound", name)
        return None
    labels = tuple(
        Label(document.categories[category], box, segmentation, score, crowd, attributes)
        for category, (_, box, segmentation, score, crowd, attributes) in sound
    )
    split = split_in(stem_of(document.name)) or split_of_folders(posixpath.dirname(document.name).split("/"))
    return Picture(name, kind, labels, _pixels(width), _pixels(height), split, uid, attributes)


def _placed(file: str, name: str) -> str:
    """A name from the folder that the annotation file lies in; annotations/ stands beside the pictures."""
    folder = posixpath.dirname(file)
    if posixpath.basename(folder) == "annotations":
        folder = posixpath.dirname(folder)
    return posixpath.join(folder, name)


def _pixels(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 31 else None
