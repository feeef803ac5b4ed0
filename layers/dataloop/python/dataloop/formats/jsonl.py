"""Our JSON lines: one annotation a line, as clients send it (seed 000), with the picture's name, size and split beside.

{"dataId": ["<uid>"], "annotationType": "detection", "labelInfo": [{"label": "cat", "bbox_xyxy": [1, 2, 30, 40]}],
 "labelMethod": "manual", "fileName": "site/1.jpg", "width": 640, "height": 480, "split": "train"}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from dataloop.domain.annotations import MAX_DATA_IDS, MAX_LABELS
from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.domain.geometry import check_xyxy
from dataloop.domain.masks import check_segmentation
from dataloop.formats.coco_writer import as_json
from dataloop.formats.losses import ATTRIBUTES, BOX, CROWD, GROUP, IMAGE_LABEL, MASK, METHOD, SCORE, SPLIT, note_losses
from dataloop.formats.names import SPLITS, relative_name
from dataloop.formats.pixels import box_of, segmentation_of, size_of
from dataloop.formats.sources import Source
from dataloop.formats.streams import json_lines, parse_json
from dataloop.formats.surface import ExportImage, Findings, FormatError, Label, Picture
from dataloop.formats.survey import Survey, version_kind
from dataloop.formats.targets import Target
from dataloop.formats.values import head_of, names_with, plain, text
from dataloop.formats.values import score as checked_score
from dataloop.formats.values import size_of as checked_size

CARRIED = frozenset({ATTRIBUTES, BOX, CROWD, GROUP, IMAGE_LABEL, MASK, METHOD, SCORE, SPLIT})
_LOOK_AT = 20
# What of a line says who labelled, and how: kept among the picture's attributes under the same names.
_ABOUT = ("labelMethod", "modelName", "modelVersion", "labelScope", "bg", "owner", "supersedes")
_KNOWN = frozenset({"label", "bbox_xyxy", "segmentation", "score", "iscrowd", "attributes"})


class JsonlReader:
    """One picture for each uid of each line: several annotations of one image are several pictures of its name."""

    NAME = "jsonl"

    def recognises(self, source: Source) -> bool:
        return any(_is_ours(head_of(source, name)) for name in islice(names_with(source, ".jsonl"), _LOOK_AT))

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """Pictures in the order of the lines; one line in memory. A line with a wrong label is one problem.

        Raises FormatError for a source without .jsonl files.
        """
        is_empty = True
        for name in names_with(source, ".jsonl"):
            is_empty = False
            with source.open(name) as stream:
                for number, line in json_lines(stream, findings.problem):
                    try:
                        found = _pictures(line, f"line {number}", findings)
                    except DomainError as error:
                        findings.problem(f"line {number}", str(error))
                    else:
                        yield from found
        if is_empty:
            raise FormatError("source", "holds no .jsonl file")


def _is_ours(head: bytes) -> bool:
    try:
        line = parse_json(head.split(b"\n", 1)[0], "line 1")
    except InvalidInput:
        # The first line is longer than what was read, or broken.
        return b'"labelInfo"' in head and b'"dataId"' in head
    return isinstance(line, Mapping) and "labelInfo" in line and ("dataId" in line or "fileName" in line)


def _pictures(line: Mapping[str, Any], item: str, findings: Findings) -> list[Picture]:
    """Raises InvalidInput, LimitExceeded."""
    uids = line.get("dataId")
    uids = [uids] if isinstance(uids, str) else uids
    name = relative_name(text(line["fileName"], "fileName")) if line.get("fileName") else ""
    if not isinstance(uids, list | None) or not (uids or name):
        raise InvalidInput("dataId", "must be a list with the uid of at least one file", uids)
    if len(uids or ()) > MAX_DATA_IDS:
        raise LimitExceeded("dataId", MAX_DATA_IDS, len(uids or ()))
    entries = line.get("labelInfo")
    if not isinstance(entries, list):
        raise InvalidInput("labelInfo", "must be a list")
    if len(entries) > MAX_LABELS:
        raise LimitExceeded("labelInfo", MAX_LABELS, len(entries))
    kind = text(line.get("annotationType"), "annotationType")
    labels = tuple(_label(entry, f"labelInfo[{place}]", findings) for place, entry in enumerate(entries))
    width, height = checked_size(line.get("width"), line.get("height"))
    split = line["split"] if line.get("split") in SPLITS else None
    said = line.get("attributes")
    attributes = plain(said, findings, item) if isinstance(said, Mapping) else {}
    attributes |= {name: line[name] for name in (*_ABOUT, "group") if line.get(name)}
    return [
        Picture(name, kind, labels, width, height, split, None if uid is None else text(uid, "dataId"), attributes)
        for uid in uids or [None]
    ]


def _label(entry: object, field: str, findings: Findings) -> Label:
    if not isinstance(entry, Mapping):
        raise InvalidInput(field, "must be an object with at least a label", str(entry)[:100])
    box, segmentation, score = entry.get("bbox_xyxy"), entry.get("segmentation"), entry.get("score")
    if box is not None:
        x1, y1, x2, y2 = check_xyxy(box, f"{field}.bbox_xyxy")
    more = {name: value for name, value in entry.items() if name not in _KNOWN}
    more |= entry["attributes"] if isinstance(entry.get("attributes"), Mapping) else {}
    return Label(
        text(entry.get("label"), f"{field}.label"),
        None if box is None else (x1, y1, x2, y2),
        None if segmentation is None else check_segmentation(segmentation, f"{field}.segmentation"),
        None if score is None else checked_score(score, f"{field}.score"),
        bool(entry.get("iscrowd")),
        plain(more, findings, field),
    )


class JsonlWriter:
    """annotations/<split>.jsonl: all that a row says. What each annotation is about is guessed for the version as a whole."""

    NAME = "jsonl"

    def image_name(self, image: ExportImage) -> str:
        return f"images/{image.file_name}"

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        with Survey(images) as survey:
            kind = version_kind(survey.has_objects, survey.is_masked, survey.is_single)
            for split in SPLITS:
                lines = _lines(survey.images(split), kind, findings)
                first = next(lines, None)
                if first is not None:
                    with target.open(f"annotations/{split}.jsonl") as file:
                        file.writelines(chain([first], lines))


def _lines(images: Iterable[ExportImage], kind: str, findings: Findings) -> Iterator[bytes]:
    for image in images:
        note_losses(image, findings, CARRIED)
        for annotation in image.row["annotations"]:
            yield as_json(_line(image, annotation, kind)) + b"\n"


def _line(image: ExportImage, annotation: Mapping[str, Any], kind: str) -> dict[str, Any]:
    row = image.row
    width, height = size_of(row)
    line = {
        "dataId": [row["uid"]],
        "annotationType": kind,
        "labelInfo": [_label_info(label, (width, height)) for label in annotation["labels"]],
        "labelMethod": annotation["method"],
        "fileName": image.file_name,
        "width": width,
        "height": height,
        "split": image.split,
    }
    line |= {"attributes": row["attributes"]} if row["attributes"] else {}
    return line | ({"group": row["group"]} if row["group"] != row["uid"] else {})


def _label_info(label: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    found = {
        "label": label["label"],
        "bbox_xyxy": box_of(label, size),
        "segmentation": segmentation_of(label, size),
        "score": label["score"],
        "iscrowd": 1 if label.get("crowd") else None,
    }
    return {name: value for name, value in found.items() if value is not None}
