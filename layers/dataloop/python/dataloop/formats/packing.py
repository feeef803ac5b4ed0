"""One archive of a dataset version in a format: labels, pictures if wished for, what was lost, and a page that says so.

Works on the files of a version on disk (docs/manifest.md), so a function and a job make the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from dataloop.catalog.formats import FORMATS
from dataloop.domain.canonical import canonical_json
from dataloop.domain.errors import InvalidInput
from dataloop.domain.raw_data import split_key
from dataloop.domain.splits import SPLITS
from dataloop.formats import registry
from dataloop.formats.surface import ExportImage, Findings, Writer
from dataloop.formats.targets import Target, ZipTarget

# What of a version's files is read.
FILES = (*(f"{split}.jsonl" for split in SPLITS), "objects.jsonl", "label_map.json", "index.json")
# Beside the archive and in it.
REPORT = "report.json"
README = "README.md"
ARCHIVE_SUFFIX = ".zip"
_PIECE = 1 << 20

# Opens the file of a line of objects.jsonl; FileNotFoundError when it is gone.
OpenPicture = Callable[[Mapping[str, Any]], IO[bytes]]


def pack(source: Path, target: Path, spec: Mapping[str, Any], open_picture: OpenPicture) -> dict[str, Any]:
    """Write <spec.file_name> and report.json into the folder `target`; returns the report.

    source: the version's files. spec: file_name, name, version, dataset_id, digest, format, images. Memory is flat in the
    number of images. Raises InvalidInput for files that do not fit together, or a picture whose bytes are not those of
    the version.
    """
    writer = registry.writer_of(str(spec["format"]), {name: spec[name] for name in ("name", "version", "images")})
    labels = json.loads((source / "label_map.json").read_bytes())["labels"]
    index = json.loads((source / "index.json").read_bytes())
    findings = Findings()
    path = target / str(spec["file_name"])
    with path.open("wb") as stream, closing(ZipTarget(stream)) as archive:
        writer.write((image for image, _ in _images(source)), labels, archive, findings)
        pictures = _add_pictures(source, writer, archive, open_picture, findings) if spec["images"] else 0
        report = {
            **{name: spec[name] for name in ("name", "version", "digest", "format")},
            "counts": index["counts"],
            "labels": len(labels),
            "pictures": pictures,
            **findings.to_json(),
        }
        with archive.open(REPORT) as file:
            file.write(canonical_json(report))
        with archive.open(README) as file:
            file.write(_readme(spec, report).encode())
    with path.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    described = {"file_name": path.name, "sha256": sha256, "size_bytes": path.stat().st_size}
    report = report | {"archive": described}
    (target / REPORT).write_bytes(canonical_json(report))
    return report


def _images(source: Path) -> Iterator[tuple[ExportImage, Mapping[str, Any]]]:
    """(image, its line of objects.jsonl), split by split, in the order of uids. Raises InvalidInput."""
    for split in SPLITS:
        with (source / f"{split}.jsonl").open("rb") as rows, (source / "objects.jsonl").open("rb") as objects:
            places = (place for place in map(json.loads, objects) if place["split"] == split)
            for row, place in zip_longest(map(json.loads, rows), places):
                if row is None or place is None or row["uid"] != place["uid"]:
                    raise InvalidInput("objects.jsonl", f"does not fit {split}.jsonl", (row or place)["uid"])
                yield ExportImage(split, row, split_key(place["key"])[1]), place


def _add_pictures(source: Path, writer: Writer, archive: Target, open_picture: OpenPicture, findings: Findings) -> int:
    """The pictures' own files, where the format has them. Returns how many."""
    count = 0
    for image, place in _images(source):
        try:
            stream = open_picture(place)
        except FileNotFoundError:
            findings.problem(image.file_name, "its file is gone")
            continue
        hasher = hashlib.sha256()
        with stream, archive.open(writer.image_name(image)) as file:
            while chunk := stream.read(_PIECE):
                hasher.update(chunk)
                file.write(chunk)
        if hasher.hexdigest() != image.row["sha256"]:
            raise InvalidInput("picture", "its bytes are not those of the version", image.file_name)
        count += 1
    return count


def _readme(spec: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """No date and no task: the same version gives the same page."""
    counts = ", ".join(f"{count} {split}" for split, count in sorted(report["counts"].items()))
    lost = [f"- {what}: {count} times" for what, count in sorted(report["losses"].items())]
    problems = [f"- {entry['item']}: {entry['reason']}" for entry in report["problems"]]
    pictures = f"{report['pictures']} picture files" if spec["images"] else "no picture files: labels only"
    return "\n".join(
        [
            f"# {spec['name']} {spec['version']} as {FORMATS[spec['format']].title}",
            "",
            f"Dataset {spec['dataset_id']}, digest `{spec['digest']}`.",
            f"Images: {counts}. Labels: {report['labels']} names. Here: {pictures}.",
            "",
            "## What this format cannot hold",
            "",
            *(lost or ["Nothing was lost."]),
            "",
            *(["## Problems", "", *problems, ""] if problems else []),
            f"`{REPORT}` has these numbers for programs. Exporting the version again gives the same bytes.",
            "",
        ]
    )
