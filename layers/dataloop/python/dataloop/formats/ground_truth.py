"""Augmented manifests of SageMaker Ground Truth: JSON lines, each a picture's address and what labelling jobs said of it.

A job's answer stands under the job's label attribute, facts about it under the same name with `-metadata`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from PIL import Image, ImageChops

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.ids import UID
from dataloop.formats import values
from dataloop.formats.bitmaps import open_mask, rle_of
from dataloop.formats.names import split_in, stem_of
from dataloop.formats.seen import Seen
from dataloop.formats.sources import Source
from dataloop.formats.streams import json_lines
from dataloop.formats.surface import Findings, FormatError, Label, Picture

SUFFIXES = (".manifest", ".jsonl", ".json")
# How many files `recognises` opens.
_LOOKS = 20
DETECTION = "groundtruth/object-detection"
CLASSIFICATION = "groundtruth/image-classification"
MULTILABEL = "groundtruth/image-classification-multilabel"
SEMANTIC = "groundtruth/semantic-segmentation"
_KINDS = {
    DETECTION: "detection",
    SEMANTIC: "semantic_segmentation",
    MULTILABEL: "multilabel_classification",
    CLASSIFICATION: "classification",
}
# Where a line has several attributes, the kind that says most is taken; of one kind the last, as later jobs adjust.
_BY_WORTH = tuple(_KINDS)
BACKGROUND = "BACKGROUND"
MAX_MASK_FILE_BYTES = 64 * 1024 * 1024
# Ours: colours of one mask; those between two classes come from a mask that was stored as JPEG or scaled.
MAX_COLOURS = 4_096
_KEYS = re.compile(rb'^(\xef\xbb\xbf)?\s*\{.*?"source-ref"\s*:', re.DOTALL)


class GroundTruthReader:
    """Boxes, classes, several classes and segmentation masks of images. attribute: the label attribute to read; else the
    one that says most.

    The confidence of what a machine labelled is a score; that of people is an attribute: it says how far they agreed.
    """

    NAME = "ground_truth"

    def __init__(self, attribute: str | None = None) -> None:
        self._attribute = attribute

    def recognises(self, source: Source) -> bool:
        names = islice(values.names_with(source, *SUFFIXES), _LOOKS)
        return any(_is_manifest(source, name) for name in names)

    def read(self, source: Source, findings: Findings) -> Iterator[Picture]:
        """The pictures of all manifests. Cost for segmentation: the mask of each picture."""
        names = [name for name in values.names_with(source, *SUFFIXES) if _is_manifest(source, name)]
        if not names:
            raise FormatError("Ground Truth", "holds no manifest with `source-ref`")
        seen = Seen()
        for name in names:
            for item, picture in self._pictures(source, name, findings):
                if seen.add(picture.file_name):
                    yield picture
                else:
                    findings.problem(item, f"speaks of {picture.file_name}, which another line has spoken of")

    def _pictures(self, source: Source, name: str, findings: Findings) -> Iterator[tuple[str, Picture]]:
        def problem(line: str, reason: str) -> None:
            findings.problem(f"{name}: {line}", reason)

        with source.open(name) as stream:
            for number, line in json_lines(stream, problem):
                item = f"{name}: line {number}"
                try:
                    picture = _Line(line, item, source, name, findings).picture(self._attribute)
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


def _is_manifest(source: Source, name: str) -> bool:
    return _KEYS.match(values.head_of(source, name).split(b"\n", 1)[0]) is not None


class _Line:
    """One line: one picture."""

    def __init__(self, line: Mapping[str, Any], item: str, source: Source, name: str, findings: Findings) -> None:
        self._line = line
        self._item = item
        self._source = source
        self._name = name
        self._findings = findings
        self._readers: dict[str, Callable[[Any, Mapping[str, Any]], list[Label]]] = {
            DETECTION: self._boxes,
            SEMANTIC: self._masks,
            MULTILABEL: self._classes,
            CLASSIFICATION: self._class,
        }
        self._size: tuple[int | None, int | None] = (None, None)

    def picture(self, wanted: str | None) -> Picture | None:
        """None for a picture that no job has labelled yet."""
        address = self._line.get("source-ref")
        file_name = values.file_name_of(address, "source-ref")
        chosen = self._choose(wanted)
        if chosen is None:
            return None
        attribute, metadata = chosen
        kind = str(metadata["type"])
        if "failure-reason" in metadata:
            raise InvalidInput(attribute, "the job failed on it", metadata["failure-reason"])
        labels = self._readers[kind](self._line[attribute], metadata)
        uid = self._line.get("uid")
        named = ("human-annotated", "creation-date", "job-name")
        attributes = values.plain({key: metadata.get(key) for key in named}, self._findings, self._item)
        return Picture(
            file_name,
            _KINDS[kind],
            tuple(labels),
            *self._size,
            split=split_in(stem_of(self._name)),
            uid=uid if isinstance(uid, str) and UID.fullmatch(uid) else None,
            attributes=values.addressed(address, file_name) | attributes,
        )

    def _choose(self, wanted: str | None) -> tuple[str, Mapping[str, Any]] | None:
        """The label attribute to read, and its metadata."""
        found: list[tuple[int, int, str, Mapping[str, Any]]] = []
        for place, attribute in enumerate(self._line):
            metadata = self._metadata_of(attribute)
            kind = metadata.get("type") if metadata is not None else None
            if metadata is None or wanted not in (None, attribute):
                continue
            if kind in _BY_WORTH:
                found.append((_BY_WORTH.index(kind), -place, attribute, metadata))
            else:
                self._findings.lost(f"job of type {values.shown(kind)}", self._item)
        if not found:
            self._findings.lost("picture without labels", self._item)
            return None
        found.sort(key=lambda entry: entry[:2])
        for _, _, other, _ in found[1:]:
            self._findings.lost("label attribute beside another", f"{self._item}: {values.shown(other)}")
        return found[0][2:]

    def _metadata_of(self, attribute: str) -> Mapping[str, Any] | None:
        """Early jobs named the metadata of `x-ref` without the `-ref`."""
        for name in (f"{attribute}-metadata", f"{attribute.removesuffix('-ref')}-metadata"):
            metadata = self._line.get(name)
            if isinstance(metadata, Mapping) and attribute != "source-ref":
                return metadata
        return None

    def _boxes(self, answer: Any, metadata: Mapping[str, Any]) -> list[Label]:
        if not isinstance(answer, Mapping) or not isinstance(answer.get("annotations"), list):
            raise InvalidInput("annotations", "must be a list", answer)
        sizes = answer.get("image_size")
        if isinstance(sizes, list) and sizes and isinstance(sizes[0], Mapping):
            self._size = values.size_of(sizes[0].get("width"), sizes[0].get("height"))
        entries, objects = answer["annotations"], metadata.get("objects")
        if len(entries) > MAX_LABELS:
            raise LimitExceeded("annotations", MAX_LABELS, len(entries))
        labels = []
        for index, entry in enumerate(entries):
            item = f"{self._item}: annotation {index}"
            try:
                said = objects[index] if isinstance(objects, list) and index < len(objects) else {}
                labels.append(self._box(entry, metadata, said))
            except FormatError:
                raise
            except (InvalidInput, LimitExceeded) as error:
                self._findings.problem(item, str(error))
        if entries and not labels:
            raise values.NothingUsable
        return labels

    def _box(self, entry: object, metadata: Mapping[str, Any], said: object) -> Label:
        if not isinstance(entry, Mapping):
            raise InvalidInput("annotation", "must be an object", entry)
        left, top, width, height = (values.number(entry.get(name), name) for name in ("left", "top", "width", "height"))
        if not (width > 0 and height > 0):
            raise InvalidInput("annotation", "needs a width and a height above 0", f"{width} × {height}")
        box = values.box(left, top, left + width, top + height, "annotation")
        confidence = said.get("confidence") if isinstance(said, Mapping) else None
        return self._label(_name(metadata, entry.get("class_id")), confidence, metadata, box=box)

    def _label(self, name: str, confidence: object, metadata: Mapping[str, Any], **shape: Any) -> Label:
        found = None if confidence is None else values.score(confidence, "confidence")
        if metadata.get("human-annotated") == "no":
            return Label(name, score=found, **shape)
        return Label(name, attributes={} if found is None else {"confidence": found}, **shape)

    def _class(self, answer: Any, metadata: Mapping[str, Any]) -> list[Label]:
        name = metadata.get("class-name")
        name = _name(metadata, answer) if name is None else values.text(name, "class-name")
        return [self._label(name, metadata.get("confidence"), metadata)]

    def _classes(self, answer: Any, metadata: Mapping[str, Any]) -> list[Label]:
        if not isinstance(answer, list):
            raise InvalidInput("label attribute", "must be a list of class numbers", answer)
        if len(answer) > MAX_LABELS:
            raise LimitExceeded("classes", MAX_LABELS, len(answer))
        given = metadata.get("confidence-map")
        confidences = given if isinstance(given, Mapping) else {}
        return [self._label(_name(metadata, key), confidences.get(str(key)), metadata) for key in answer]

    def _masks(self, answer: Any, metadata: Mapping[str, Any]) -> list[Label]:
        """One label for each class that has pixels in the mask file."""
        found = values.find_file(self._source, self._name, answer) if isinstance(answer, str) else None
        if found is None:
            raise InvalidInput("mask", "is not among the files", answer)
        image = open_mask(self._source.read(found, MAX_MASK_FILE_BYTES), found)
        self._size = image.size
        classes = metadata.get("internal-color-map")
        if not isinstance(classes, Mapping) or not all(isinstance(entry, Mapping) for entry in classes.values()):
            raise InvalidInput("internal-color-map", "must name the class of each colour", classes)
        labels = []
        for entry, part in self._parts(image, classes):
            name = values.text(entry.get("class-name"), "class-name")
            if name != BACKGROUND and part.getbbox():
                rle = rle_of(part, *image.size)
                labels.append(self._label(name, entry.get("confidence"), metadata, segmentation=rle))
        return labels

    def _parts(
        self, image: Image.Image, classes: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[Mapping[str, Any], Image.Image]]:
        """Each class with its pixels: those of its colour, or of its number in early maps, which have no colours."""
        if not all("hex-color" in entry for entry in classes.values()):
            if image.mode not in ("L", "P"):
                raise InvalidInput("internal-color-map", "has no colours, and the mask has no class numbers")
            numbers = Image.frombytes("L", image.size, image.tobytes())
            for number, entry in classes.items():
                yield entry, _equal([numbers], [values.number(number, "internal-color-map")])
            return
        rgb = image.convert("RGB")
        colours = rgb.getcolors(MAX_COLOURS)
        if colours is None:
            raise LimitExceeded("colours of a mask", MAX_COLOURS)
        named = {_rgb(entry["hex-color"]): entry for entry in classes.values()}
        for _, colour in colours:
            if colour not in named:
                self._findings.lost("pixels of a colour without a class", f"{self._item}: {colour}")
        for colour, entry in named.items():
            yield entry, _equal(rgb.split(), colour)


def _name(metadata: Mapping[str, Any], key: object) -> str:
    names = metadata.get("class-map")
    name = names.get(str(key)) if isinstance(names, Mapping) else None
    if name is None:
        raise InvalidInput("class_id", "is not in the class-map", key)
    return values.text(name, "class-map")


def _equal(bands: Sequence[Image.Image], wanted: Sequence[float]) -> Image.Image:
    """255 where all bands have their value."""
    part = Image.new("L", bands[0].size, 255)
    for band, value in zip(bands, wanted, strict=True):
        part = ImageChops.multiply(part, band.point([255 if level == value else 0 for level in range(256)]))
    return part


def _rgb(colour: object) -> tuple[int, int, int]:
    if not isinstance(colour, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise InvalidInput("hex-color", "must be a colour such as #2ca02c", colour)
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:], 16)
