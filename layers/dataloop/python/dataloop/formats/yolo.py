"""YOLO: a text file a picture, a line an object: class number and shares of the picture's width and height.

Four numbers are a box (centre, width, height), five a box with a confidence, six and more an outline x1 y1 x2 y2 …, whose
odd last number is a confidence. The files know no sizes: pictures come `in_shares`, and no picture is opened.

    data.yaml, images/train/a.jpg, labels/train/a.txt       Ultralytics, Roboflow (train/images, train/labels)
    obj.data, obj.names, train.txt, obj_train_data/a.txt    Darknet, CVAT
    classes.txt, a.jpg, a.txt                               LabelImg
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.domain.geometry import MAX_POINTS, check_polygons
from dataloop.formats.names import uid_in
from dataloop.formats.sources import Source
from dataloop.formats.spool import Spool, packed, unpacked
from dataloop.formats.surface import Findings, FormatError, Label, Picture
from dataloop.formats.values import head_of, names_with
from dataloop.formats.values import number as checked_number
from dataloop.formats.values import score as checked_score
from dataloop.formats.yolo_layout import Layout, is_label_file, key_of

# Ours: the outlines of ten thousand objects with some hundred points each.
MAX_LABEL_FILE_BYTES = 64 * 1024 * 1024
# Tools round: a share of 1.000001 is meant to be 1. What is beyond is in pixels.
LARGEST_SHARE = 1.01
_LOOK_AT = 20
_INSERT_IMAGE = "INSERT OR IGNORE INTO images VALUES (?, ?, ?)"
_INSERT_LABELS = "INSERT OR IGNORE INTO labels VALUES (?, ?, ?)"
_JOIN = """SELECT images.name, images.split, labels.name, labels.entry FROM images LEFT JOIN labels USING (key)
    UNION ALL SELECT NULL, NULL, name, entry FROM labels WHERE key NOT IN (SELECT key FROM images) ORDER BY 1, 3"""


class YoloReader:
    """Reads all label files of a source. A picture of the source without one, or with an empty one, shows nothing."""

    NAME = "yolo"

    def recognises(self, source: Source) -> bool:
        if any(_names_classes(source, name) for name in names_with(source, ".yaml", ".yml", ".names", "obj.data")):
            return True
        labels = (name for name in names_with(source, ".txt") if is_label_file(name))
        has_names = any(posixpath.basename(name) == "classes.txt" for name in names_with(source, ".txt"))
        return has_names and any(_is_line(head_of(source, name)) for name in islice(labels, _LOOK_AT))

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """Pictures in the order of their names; those that are not in the source come last, without a suffix.

        All files are read before the first picture comes, because one line decides whether the source is about boxes or
        outlines. Raises FormatError: no names of classes, names that are no list, poses.
        """
        layout = Layout(source, findings)
        with Spool(
            "TABLE images (key TEXT PRIMARY KEY, name TEXT, split TEXT) WITHOUT ROWID",
            "TABLE labels (key TEXT PRIMARY KEY, name TEXT, entry BLOB) WITHOUT ROWID",
        ) as spool:
            layout.list_images(lambda name, split: spool.add(_INSERT_IMAGE, key_of(name), name, split))
            forms: set[bool] = set()
            files = 0
            for name in names_with(source, ".txt"):
                if name in layout.lists or not is_label_file(name):
                    continue
                files += 1
                entry = _read_labels(source, name, layout.names, findings)
                forms |= {outline is not None for _, _, outline, _ in entry or ()}
                if not spool.add_new(_INSERT_LABELS, key_of(name), name, None if entry is None else packed(entry)):
                    findings.problem(name, "another label file of this name belongs to the same picture")
            if not files:
                raise FormatError("source", "holds no label file (.txt)")
            kind = "instance_segmentation" if forms == {True} else "detection"
            for image, split, file, data in spool.rows(_JOIN):
                if file is not None and data is None:
                    findings.lost("image: none of its labels is sound", file)
                    continue
                labels = tuple(_label(entry, layout.names) for entry in unpacked(data)) if data else ()
                name = image or layout.picture_of(file)
                split = split or layout.split_of(name)
                yield Picture(name, kind, labels, split=split, uid=uid_in(name), in_shares=True)


def _names_classes(source: Source, name: str) -> bool:
    head = head_of(source, name)
    if posixpath.basename(name) in ("obj.data", "obj.names"):
        return True
    return (
        name.lower().endswith((".yaml", ".yml"))
        and b"names:" in head
        and any(word in head for word in (b"train:", b"val:", b"nc:", b"path:"))
    )


def _is_line(head: bytes) -> bool:
    words = head.split(b"\n", 1)[0].split()
    return len(words) >= 5 and words[0].isdigit()


def _read_labels(source: Source, name: str, names: Sequence[str], findings: Findings) -> list[Any] | None:
    """Class, box, outline and score of each line; None when there are lines and none of them is sound."""
    try:
        text = source.read(name, MAX_LABEL_FILE_BYTES).decode("utf-8-sig")
        lines = text.splitlines()
        if len(lines) > MAX_LABELS:
            raise LimitExceeded("lines", MAX_LABELS, len(lines))
    except (DomainError, UnicodeDecodeError) as error:
        findings.problem(name, f"is no label file: {error}")
        return None
    found, is_empty = [], True
    for line_number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        is_empty = False
        try:
            found.append(_line(words, len(names)))
        except (InvalidInput, LimitExceeded) as error:
            findings.problem(f"{name}: line {line_number}", str(error))
    return found if found or is_empty else None


def _line(words: Sequence[str], classes: int) -> tuple[int, Any, Any, float | None]:
    """Raises InvalidInput, LimitExceeded."""
    if len(words) > 2 * MAX_POINTS + 2:
        raise LimitExceeded("points", MAX_POINTS, len(words) // 2)
    if not words[0].isascii() or not words[0].isdigit() or int(words[0][:9]) >= classes or len(words[0]) > 9:
        raise InvalidInput("class", f"must be a whole number below {classes}, the number of names", words[0][:50])
    numbers = [checked_number(word, "coordinate") for word in words[1:]]
    if len(numbers) < 4:
        raise InvalidInput("line", "needs a class and at least four numbers", " ".join(words)[:100])
    score = checked_score(numbers.pop(), "confidence") if len(numbers) % 2 else None
    if not all(0 <= value <= LARGEST_SHARE for value in numbers):
        raise InvalidInput("coordinate", "must be a share of the picture from 0 to 1", " ".join(words)[:100])
    if len(numbers) == 4:
        x, y, width, height = numbers
        if not (width > 0 and height > 0):
            raise InvalidInput("box", "needs a width and a height above 0", " ".join(words)[:100])
        return int(words[0]), (x - width / 2, y - height / 2, x + width / 2, y + height / 2), None, score
    return int(words[0]), None, check_polygons([numbers], "outline"), score


def _label(entry: tuple[int, Any, Any, float | None], names: Sequence[str]) -> Label:
    place, box, outline, score = entry
    return Label(names[place], box, outline, score)
