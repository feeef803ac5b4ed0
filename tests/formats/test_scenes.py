"""Round trips of real pictures with exact boxes and masks: the demo's composed scenes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.formats.scenes import Dress, version
from dataloop.formats.pixels import size_of
from dataloop.formats.registry import writer_of
from tests.formats.test_round_trips import by_uid, is_close, pixels_of, said_by_picture, said_by_row
from tests.formats.versions import pictures_in, written

SCENES = 12


@pytest.mark.parametrize(
    ("name", "dress"),
    [
        ("coco", "boxes"),
        ("coco", "polygons"),
        ("coco", "masks"),
        ("jsonl", "polygons"),
        ("jsonl", "masks"),
        ("voc", "boxes"),
        ("yolo", "boxes"),
        ("yolo", "polygons"),
        ("yolo", "masks"),
        ("imagenet", "classes"),
        ("masks", "masks"),
    ],
)
def test_every_box_and_every_pixel_comes_back(name: str, dress: Dress, tmp_path: Path) -> None:
    images = version(dress, SCENES, tmp_path / "pictures")
    findings = written(name, images, tmp_path / "export")
    for image in images:
        place = tmp_path / "export" / writer_of(name).image_name(image)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((tmp_path / "pictures" / f"{image.row['uid']}.jpg").read_bytes())
    pictures, _ = pictures_in(name, tmp_path / "export")
    for image, picture in by_uid(images, pictures):
        size = size_of(image.row)
        wanted, found = said_by_row(image), said_by_picture(picture, size)
        if name == "masks":
            # Objects come back in the order of their size.
            wanted, found = (sorted(side, key=lambda entry: entry[1]) for side in (wanted, found))
        assert [entry[0] for entry in found] == [entry[0] for entry in wanted]
        for (_, box, segmentation, *_), (_, its_box, its_segmentation, *_) in zip(wanted, found, strict=True):
            if segmentation is not None:
                exact = its_segmentation
                if not isinstance(exact, dict):
                    exact = [[round(value, 4) for value in ring] for ring in exact]
                assert pixels_of(exact, size) == pixels_of(segmentation, size)
            if its_box is not None:
                assert is_close(box, its_box)
        assert picture.split == image.split
        # The pictures are there, so their names are known in full.
        assert picture.file_name.endswith(".jpg")
    assert set(findings.losses) <= {"group", "labelling method", "box"}
