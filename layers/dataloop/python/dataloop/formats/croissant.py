"""Croissant 1.0: a description in JSON-LD of the tables that the Parquet writer makes, for loaders that know no layout.

Source: the Croissant format specification of MLCommons; read and checked with its package mlcroissant.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from dataloop.formats.names import SPLITS
from dataloop.formats.parquet import ParquetWriter
from dataloop.formats.surface import ExportImage, Findings
from dataloop.formats.targets import Target

DESCRIPTION = "croissant.json"
STANDARD = "http://mlcommons.org/croissant/1.0"
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
# The names of the standard's context: loaders warn about any other.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {name: f"cr:{name}" for name in _TERMS}
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff")


# What the standard takes for a version: three numbers. People write v2 and 2.1, too.
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", re.IGNORECASE)


class CroissantWriter:
    """about: the dataset's name, version, description, license, url, datePublished, creator, as schema.org has them; and
    `images`: are the pictures' files there, too (True unless said otherwise)? Only then are they described.
    """

    NAME = "croissant"

    def __init__(self, about: Mapping[str, Any] | None = None) -> None:
        self._about = {"name": "dataset"} | dict(about or {})
        self._has_files = bool(self._about.pop("images", True))
        version = str(self._about.pop("version", ""))
        self._about.setdefault("description", f"Version {version} of the dataset {self._about['name']}, from Dataloop.")
        if numbers := _VERSION.fullmatch(version):
            self._about["version"] = ".".join(number or "0" for number in numbers.groups())
        self._tables = ParquetWriter()

    def image_name(self, image: ExportImage) -> str:
        return self._tables.image_name(image)

    def write(self, images: Iterable[ExportImage], labels: Sequence[str], target: Target, findings: Findings) -> None:
        hashed = _HashedTarget(target)
        self._tables.write(images, labels, hashed, findings)
        with target.open(DESCRIPTION) as stream:
            stream.write(json.dumps(self._description(hashed.sha256, labels), indent=2, ensure_ascii=False).encode())

    def _description(self, tables: Mapping[str, str], labels: Sequence[str]) -> dict[str, Any]:
        sets, records = (_FILE_SETS, [_PICTURE_RECORDS]) if self._has_files else (_FILE_SETS[:1], [])
        return {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": STANDARD,
            **self._about,
            "distribution": [*(_table(name, sha256) for name, sha256 in tables.items()), *sets],
            "recordSet": [_splits(), _labels(labels), _images(), *records],
        }


class _HashedTarget:
    """A target that knows the digest of each file that was written."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.sha256: dict[str, str] = {}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with self._target.open(name) as stream:
            hashing = _Hashing(stream)
            yield hashing  # type: ignore[misc]
            self.sha256[name] = hashing.hasher.hexdigest()


class _Hashing:
    """What a writer of Parquet asks of a stream."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._written = 0
        self.hasher = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hasher.update(data)
        self._written += len(data)
        return self._stream.write(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._stream.flush()


def _table(name: str, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


_FILE_SETS = (
    {
        "@type": "cr:FileSet",
        "@id": "tables",
        "name": "tables",
        "description": "One table a split, one row an image.",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    },
    {
        "@type": "cr:FileSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "The files of the images.",
        "encodingFormat": list(_PICTURES),
        "includes": "images/**",
    },
)
_PICTURE_RECORDS = {
    "@type": "cr:RecordSet",
    "@id": "files",
    "name": "files",
    "description": "The images' own files.",
    "field": [
        {
            "@type": "cr:Field",
            "@id": "files/name",
            "name": "name",
            "dataType": "sc:Text",
            "source": {"fileSet": {"@id": "pictures"}, "extract": {"fileProperty": "fullpath"}},
        },
        {
            "@type": "cr:Field",
            "@id": "files/content",
            "name": "content",
            "dataType": "sc:ImageObject",
            "source": {"fileSet": {"@id": "pictures"}, "extract": {"fileProperty": "content"}},
        },
    ],
}


def _splits() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": split} for split in SPLITS],
    }


def _labels(labels: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "dataType": "sc:Enumeration",
        "key": {"@id": "labels/class"},
        "field": [
            {"@type": "cr:Field", "@id": "labels/class", "name": "class", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": "labels/name", "name": "name", "dataType": "sc:Text"},
        ],
        "data": [{"labels/class": number, "labels/name": label} for number, label in enumerate(labels)],
    }


def _images() -> dict[str, Any]:
    columns = {
        "file_name": "sc:Text",
        "uid": "sc:Text",
        "sha256": "sc:Text",
        "width": "sc:Integer",
        "height": "sc:Integer",
        "split": "sc:Text",
        "group": "sc:Text",
        "attributes": "sc:Text",
    }
    fields = [_column(name, kind) for name, kind in columns.items()]
    # Checked by loaders against the splits above.
    fields[list(columns).index("split")]["references"] = {"field": {"@id": "splits/name"}}
    parts = {"label": "sc:Text", "class": "sc:Integer", "bbox": "sc:Float", "score": "sc:Float"}
    objects = {
        "@type": "cr:Field",
        "@id": "images/objects",
        "name": "objects",
        "description": "Labels; bbox is x1, y1, x2, y2 in pixels, and missing for a label of the whole image.",
        "repeated": True,
        # Four numbers: the standard's BoundingBox cannot be repeated within something that is.
        "subField": [
            _part(name, kind) | ({"repeated": True} if name == "bbox" else {}) for name, kind in parts.items()
        ],
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "key": {"@id": "images/uid"},
        "field": [*fields, objects],
    }


def _column(name: str, kind: str) -> dict[str, Any]:
    source = {"fileSet": {"@id": "tables"}, "extract": {"column": name}}
    return {"@type": "cr:Field", "@id": f"images/{name}", "name": name, "dataType": kind, "source": source}


def _part(name: str, kind: str) -> dict[str, Any]:
    source = {"fileSet": {"@id": "tables"}, "extract": {"column": "objects"}, "transform": {"jsonPath": name}}
    return {"@type": "cr:Field", "@id": f"images/objects/{name}", "name": name, "dataType": kind, "source": source}
