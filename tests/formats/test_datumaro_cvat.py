"""What datumaro writes for CVAT, we read the same. It runs in an environment of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.formats.parity import agreement_of, line_of, object_of, ours, run
from benchmarks.formats.scenes import Dress, version
from dataloop.formats.cvat import CvatReader
from dataloop.formats.names import exported_name, stem_of
from dataloop.formats.pixels import labels_of, size_of
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import ExportImage, Findings


@pytest.mark.parametrize("dress", ["boxes", "polygons", "classes"])
def test_both_say_the_same_of_real_scenes(dress: Dress, tmp_path: Path) -> None:
    python = os.environ.get("DATUMARO_PYTHON")
    if not python:
        pytest.skip("DATUMARO_PYTHON names no interpreter with datumaro (docs/formats.md)")
    made = version(dress, 30, tmp_path / "pictures")
    # A shape of CVAT has one outline: an object in pieces would come back as several.
    whole = [image for image in made if all(len(label.get("polygons", [0])) == 1 for label in labels_of(image.row))]
    images = [ExportImage(image.split, image.row, exported_name(image)) for image in whole]
    assert len(images) >= 25
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(line_of(image, tmp_path)) + "\n" for image in images), "utf-8")
    run(python, "write", "cvat", tmp_path / "theirs", lines)
    findings = Findings("stop")
    sizes = {image.row["uid"]: size_of(image.row) for image in images}
    found = {}
    for picture in CvatReader().read(FolderSource(tmp_path / "theirs"), findings):
        uid = stem_of(picture.file_name)
        found[uid] = (picture.split or "", [object_of(picture, label, sizes[uid]) for label in picture.labels])
        assert (picture.width, picture.height) == sizes[uid]
    agreement = agreement_of({i.row["uid"]: (i.split, ours(i)) for i in images}, found, dress, sizes)
    assert (agreement.images, agreement.missing, agreement.splits) == (len(images), 0, 0)
    assert agreement.labels >= len(images)
    assert (agreement.box, agreement.mask) == (0, 0)
    assert not findings.losses
