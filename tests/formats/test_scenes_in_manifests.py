"""Round trips of real pictures with exact boxes and masks (the demo's composed scenes) for manifests and tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.formats.scenes import Dress, version
from dataloop.formats.bitmaps import bitmap_of
from dataloop.formats.ground_truth import GroundTruthReader
from dataloop.formats.ground_truth_writer import MASK_ATTRIBUTE
from dataloop.formats.pixels import box_of, labels_of, segmentation_of, size_of
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import Findings
from tests.formats.test_round_trips import pixels_of, said_by_picture, said_by_row
from tests.formats.versions import pictures_in, written

SCENES = 12


@pytest.mark.parametrize(
    ("name", "dress"),
    [
        ("ground_truth", "boxes"),
        ("ground_truth", "classes"),
        ("modelarts", "boxes"),
        ("modelarts", "polygons"),
        ("modelarts", "classes"),
    ],
)
def test_every_label_comes_back(name: str, dress: Dress, tmp_path: Path) -> None:
    images = version(dress, SCENES, tmp_path / "pictures")
    findings = written(name, images, tmp_path / "export")
    pictures, _ = pictures_in(name, tmp_path / "export")
    found = {picture.file_name: picture for picture in pictures}
    assert len(found) == len(images)
    for image in images:
        picture, size = found[f"images/{image.file_name}"], size_of(image.row)
        assert picture.split == image.split
        wanted, said = said_by_row(image), said_by_picture(picture, size)
        if dress != "polygons":
            assert said == wanted
            continue
        pieces = [(label, [ring]) for label, _, rings, *_ in wanted for ring in rings]
        assert [entry[0] for entry in said] == [label for label, _ in pieces]
        for (_, ring), (_, _, its, *_) in zip(pieces, said, strict=True):
            assert pixels_of(its, size) == pixels_of(ring, size)
    assert set(findings.losses) <= {"group", "labelling method", "object in pieces, written as several"}


def test_every_pixel_of_every_class_comes_back_from_ground_truth(tmp_path: Path) -> None:
    images = version("masks", SCENES, tmp_path / "pictures")
    written("ground_truth", images, tmp_path / "export")
    reader = GroundTruthReader(MASK_ATTRIBUTE)
    found = {picture.uid: picture for picture in reader.read(FolderSource(tmp_path / "export"), Findings("stop"))}
    for image in images:
        size = size_of(image.row)
        wanted: dict[str, bytes] = {}
        for label in labels_of(image.row):
            drawn = bitmap_of(segmentation_of(label, size), *size).tobytes()
            before = wanted.get(label["label"], bytes(len(drawn)))
            wanted[label["label"]] = bytes(one | other for one, other in zip(drawn, before, strict=True))
        picture = found[image.row["uid"]]
        assert {label.label: pixels_of(label.segmentation, size) for label in picture.labels} == wanted


def test_tables_hold_every_box_and_mask(tmp_path: Path) -> None:
    images = version("masks", SCENES, tmp_path / "pictures")
    assert written("parquet", images, tmp_path / "export").losses == {}
    rows = pq.read_table(tmp_path / "export/data").to_pylist()
    found = {row["uid"]: row for row in rows}
    for image in images:
        kept = [(entry["label"], tuple(entry["bbox"]), entry["mask"]) for entry in found[image.row["uid"]]["objects"]]
        size = size_of(image.row)
        assert kept == [(label["label"], box_of(label, size), label["mask"]) for label in labels_of(image.row)]
