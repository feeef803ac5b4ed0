"""The images that segmentation is measured on: exact masks, and no pixel in two splits."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.training import composed, nuclei
from dataloop_inference.masks import decode
from dataloop_inference.predictions import Rle


def wheel(folder: Path, numbers: np.ndarray) -> Path:
    """A wheel with an image in which each nucleus is as bright as its number."""
    path = folder / "stardist-0.0-none.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, pixels in (("img2d", 10 + numbers), ("mask2d", numbers)):
            buffer = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint16)).save(buffer, "TIFF")
            archive.writestr(f"stardist/data/images/{name}.tif", buffer.getvalue())
    return path


def test_tiles_show_their_part_of_the_image_with_the_masks_of_what_they_show(tmp_path: Path) -> None:
    numbers = np.zeros((512, 512), np.int64)
    # One nucleus in each half, one over the border of two test tiles, one that a tile shows three pixels of.
    for number, (top, left, bottom, right) in enumerate(
        [(10, 20, 40, 60), (100, 400, 120, 420), (120, 450, 140, 470), (253, 390, 280, 391)], start=1
    ):
        numbers[top:bottom, left:right] = number
    path = wheel(tmp_path, numbers)
    tiles = list(nuclei.tiles(path, "test"))
    assert [len(tile.labels) for tile in tiles] == [2, 1, 1, 0]
    whole, cut = (decode(Rle(128, 128, label["mask"]["counts"])) for label in tiles[0].labels)
    assert np.argwhere(whole).min(axis=0).tolist() == [100, 16]
    assert whole.sum() == 400
    assert cut.sum() == 8 * 20
    assert tiles[0].labels[0]["box"] == [16 / 128, 100 / 128, 20 / 128, 20 / 128]
    with Image.open(io.BytesIO(tiles[0].content)) as image:
        assert image.size == (128, 128)
        assert len(set(np.asarray(image)[whole].tolist())) == 1
    assert all(len(tile.labels) <= 1 for tile in nuclei.tiles(path, "train"))
    assert not any(tile.labels for tile in nuclei.tiles(path, "val"))


def test_a_wheel_without_the_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.whl"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(nuclei.NucleiUnavailable, match=r"other.whl does not hold the image"):
        nuclei.read(path)


def test_composed_scenes_carry_what_each_task_type_needs() -> None:
    (scene,), (present,) = composed.scenes("train", 1, 3, 96), composed.presence("train", 1, 3, 96)
    assert scene.content == present.content
    assert {label["label"] for label in scene.labels} == {label["label"] for label in present.labels}
    for label in scene.labels:
        mask = decode(Rle(*label["mask"]["size"], label["mask"]["counts"]))
        ys, xs = np.nonzero(mask)
        left, top, width, height = (value * 96 for value in label["box"])
        assert (xs.min(), ys.min()) == pytest.approx((left, top))
        assert (xs.max() + 1, ys.max() + 1) == pytest.approx((left + width, top + height))
