"""One file to download for an export that has several: the artefact, what lies beside it, and a list of its labels."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dataloop.gateways.objects import Bucket

ARCHIVE = "archive.zip"
# One label a line, in the order of the network's outputs: what programs for devices read.
LABELS = "labels.txt"
# Zip entries carry a date; one fixed makes the archive the same for the same content.
_DATE = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20


def write_archive(
    artifacts: Bucket, prefix: str, files: Iterable[Mapping[str, Any]], labels: Iterable[str], texts: Mapping[str, str]
) -> dict[str, Any]:
    """Pack an export's files, its labels and some texts below the same prefix; the entry for the task's result.

    files: {"name", "key"} each. Again it makes the same bytes. Cost: 1 GET a file and 1 PUT.
    """
    written = {LABELS: "".join(f"{label}\n" for label in labels), **texts}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, ARCHIVE)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(files, key=lambda each: str(each["name"])):
                if file["name"] not in written:
                    with archive.open(_entry(str(file["name"])), "w", force_zip64=True) as target:
                        _, stream = artifacts.open(str(file["key"]))
                        while chunk := stream.read(_CHUNK):
                            target.write(chunk)
            for name, text in sorted(written.items()):
                archive.writestr(_entry(name), text)
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        key = f"{prefix}/{ARCHIVE}"
        artifacts.upload(path, key)
        return {"name": ARCHIVE, "key": key, "sha256": sha256, "size_bytes": path.stat().st_size}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry
