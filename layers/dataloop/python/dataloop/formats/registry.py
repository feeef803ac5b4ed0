"""Readers and writers by name, and the reader that recognises a source. A format is loaded when it is first asked for:
Parquet needs a library that the Lambda functions do not carry."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from dataloop.domain.errors import InvalidInput
from dataloop.formats.sources import Source
from dataloop.formats.surface import FormatError, Reader, Writer

_READERS = {
    "coco": "coco.CocoReader",
    "voc": "voc.VocReader",
    "yolo": "yolo.YoloReader",
    "labelme": "labelme.LabelMeReader",
    "cvat": "cvat.CvatReader",
    "imagenet": "imagenet.ImageNetReader",
    "masks": "masks.MasksReader",
    "ground_truth": "ground_truth.GroundTruthReader",
    "modelarts": "modelarts.ModelArtsReader",
    "label_studio": "label_studio.LabelStudioReader",
    "jsonl": "jsonl.JsonlReader",
}
_WRITERS = {
    "coco": "coco_writer.CocoWriter",
    "voc": "voc_writer.VocWriter",
    "yolo": "yolo_writer.YoloWriter",
    "imagenet": "imagenet.ImageNetWriter",
    "masks": "masks_writer.MasksWriter",
    "ground_truth": "ground_truth_writer.GroundTruthWriter",
    "modelarts": "modelarts_writer.ModelArtsWriter",
    "jsonl": "jsonl.JsonlWriter",
    "parquet": "parquet.ParquetWriter",
    "croissant": "croissant.CroissantWriter",
}
_DESCRIBING = ("croissant",)


def reader_of(name: str) -> Reader:
    """The reader of a format. Raises InvalidInput(format) for a name that none has."""
    reader: Reader = _made(_READERS, name, "imported")
    return reader


def writer_of(name: str, about: Mapping[str, Any] | None = None) -> Writer:
    """The writer of a format. about: name, version, images, … of the dataset, for the formats that describe it.

    Raises InvalidInput(format) for a name that none has.
    """
    writer: Writer = _made(_WRITERS, name, "exported", *([about] if name in _DESCRIBING else []))
    return writer


def recognised(source: Source) -> Reader:
    """The one reader that knows a source by names and first bytes. Raises FormatError when none does, or several do.

    Cost: up to eleven listings and some twenty reads of 64 KB each.
    """
    found = [reader for reader in map(reader_of, _READERS) if reader.recognises(source)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(reader.NAME for reader in found)
        raise FormatError("source", f"could be one of {names}: say which format it is")
    raise FormatError("source", f"is of no format that is known ({', '.join(_READERS)}): say which it is")


def _made(table: dict[str, str], name: str, done: str, *given: object) -> Any:
    if name not in table:
        raise InvalidInput("format", f"cannot be {done}; these can: {', '.join(table)}", name)
    module, _, kind = table[name].partition(".")
    return getattr(importlib.import_module(f"dataloop.formats.{module}"), kind)(*given)


def names_read() -> frozenset[str]:
    """The formats that have a reader."""
    return frozenset(_READERS)


def names_written() -> frozenset[str]:
    """The formats that have a writer."""
    return frozenset(_WRITERS)
