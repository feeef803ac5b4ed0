"""ModelArts' manifests: JSON lines, each a sample's address and its labels; those of objects are in a VOC file each.

Source of the fields: Huawei Cloud, "Specifications for Importing a Manifest File".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.formats import values
from dataloop.formats.modelarts_voc import read_voc
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.streams import json_lines, parse_json
from dataloop.formats.surface import Findings, FormatError, Label, Picture

SUFFIXES = (".manifest", ".jsonl", ".json")
CLASSIFICATION = "image_classification"
DETECTION = "object_detection"
SEGMENTATION = "image_segmentation"
_LOOKS = 20
_KEYS = re.compile(rb'^(\xef\xbb\xbf)?\s*\{.*?"source"\s*:', re.DOTALL)
_OWN_KEYS = re.compile(rb'"(annotation|usage|sample-type|inference-loc|hard)"\s*:')
_ACTIVE = "@modelarts:"


class ModelArtsReader:
    """Image classes, objects and segments. Samples without labels, and those that are texts, sounds or videos, are losses."""

    NAME = "modelarts"

    def recognises(self, source: Source) -> bool:
        names = islice(values.names_with(source, *SUFFIXES), _LOOKS)
        return any(_is_manifest(source, name) for name in names)

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """The pictures of all manifests. Cost: one file for each picture with objects."""
        names = [name for name in values.names_with(source, *SUFFIXES) if _is_manifest(source, name)]
        if not names:
            raise FormatError("ModelArts", "holds no manifest with `source` and `annotation`")
        seen = Seen()
        for name in names:
            for item, picture in _pictures(source, name, findings):
                if seen.add(picture.file_name):
                    yield picture
                else:
                    findings.problem(item, f"speaks of {picture.file_name}, which another line has spoken of")


def _is_manifest(source: Source, name: str) -> bool:
    line = values.head_of(source, name).split(b"\n", 1)[0]
    is_other = b'-metadata"' in line or b'"source-ref"' in line
    return not is_other and _KEYS.match(line) is not None and _OWN_KEYS.search(line) is not None


def _pictures(source: Source, name: str, findings: Findings) -> Iterator[tuple[str, Picture]]:
    def problem(line: str, reason: str) -> None:
        findings.problem(f"{name}: {line}", reason)

    with source.open(name) as stream:
        for number, line in json_lines(stream, problem):
            item = f"{name}: line {number}"
            try:
                picture = _Sample(line, item, source, name, findings).picture()
            except FormatError:
                raise
            except (InvalidInput, LimitExceeded) as error:
                findings.problem(item, str(error))
                continue
            except values.NothingUsable as nothing:
                nothing.report(findings, item)
                continue
            if picture is not None:
                yield item, picture


class _Sample:
    """One line: one sample."""

    def __init__(self, line: Mapping[str, Any], item: str, source: Source, name: str, findings: Findings) -> None:
        self._line = line
        self._item = item
        self._source = source
        self._name = name
        self._findings = findings
        self._size: tuple[int | None, int | None] = (None, None)
        self._kinds: set[str] = set()

    def picture(self) -> Picture | None:
        """None for a sample that is no picture, or has no label yet."""
        address = self._line.get("source")
        if isinstance(address, str) and address.startswith("content://"):
            self._findings.lost("sample that is a text", self._item)
            return None
        file_name = values.file_name_of(address, "source")
        entries = self._line.get("annotation") or []
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise InvalidInput("annotation", "must be a list of objects", entries)
        if len(entries) > MAX_LABELS:
            raise LimitExceeded("annotation", MAX_LABELS, len(entries))
        labels = [label for entry in entries for label in self._labels(entry)]
        if not self._kinds:
            self._findings.lost("sample without labels", self._item)
            return None
        if len(labels) > MAX_LABELS:
            raise LimitExceeded("objects", MAX_LABELS, len(labels))
        kept, tags = values.objects_first(labels, self._findings, self._item)
        width, height = self._size
        return Picture(
            file_name,
            self._kind(kept),
            tuple(kept),
            width,
            height,
            split=values.split_of(self._line.get("usage")),
            attributes=values.addressed(address, file_name) | self._facts(self._line) | tags,
        )

    def _kind(self, labels: list[Label]) -> str:
        if SEGMENTATION in self._kinds and all(label.segmentation is not None for label in labels):
            return "semantic_segmentation"
        return values.kind_of(labels)

    def _labels(self, entry: Mapping[str, Any]) -> list[Label]:
        kind = str(entry.get("type", "")).removeprefix("modelarts/")
        if kind not in (CLASSIFICATION, DETECTION, SEGMENTATION):
            self._findings.lost(f"label of type {values.shown(kind)}", self._item)
            return []
        self._kinds.add(kind)
        if kind == CLASSIFICATION:
            name = values.text(entry.get("name"), "name")
            return [Label(name, score=_score(entry), attributes=self._facts(entry) | self._properties(entry))]
        address = entry.get("annotation-loc", entry.get("annotation_loc"))
        if address is None:
            raise InvalidInput("annotation-loc", "must say where the VOC file of the objects is")
        style = entry.get("annotation-format", entry.get("annotation_format", "PASCAL VOC"))
        if style != "PASCAL VOC":
            raise InvalidInput("annotation-format", "must be PASCAL VOC", style)
        found = values.find_file(self._source, self._name, str(address))
        if found is None:
            raise InvalidInput("annotation-loc", "is not among the files", address)
        try:
            with self._source.open(found) as stream:
                self._size, labels = read_voc(stream, found, self._findings)
        except FormatError as error:
            # One picture's file, not the manifest, is broken.
            raise InvalidInput("annotation-loc", str(error)) from error
        return labels

    def _properties(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of a label; some versions write them as JSON in a text."""
        found = entry.get("property")
        if isinstance(found, str):
            found = parse_json(found.encode("utf-8", "replace"), "property")
        if not isinstance(found, Mapping):
            return {}
        own = {name: value for name, value in found.items() if not str(name).startswith(_ACTIVE)}
        return values.plain(own, self._findings, self._item)

    def _facts(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """How hard, and who said it; the same names in samples and labels."""
        names = ("hard", "hard-coefficient", "annotated-by", "creation-time")
        found = values.plain({name: said.get(name) for name in names}, self._findings, self._item)
        if isinstance(found.get("hard"), str):
            found["hard"] = found["hard"].lower() in ("true", "1")
        return found


def _score(entry: Mapping[str, Any]) -> float | None:
    confidence = entry.get("confidence")
    return None if confidence in (None, "") else values.score(confidence, "confidence")
