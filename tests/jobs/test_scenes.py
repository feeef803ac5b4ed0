"""Composed scenes: deterministic, exact boxes, nothing shared between the parts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloop_demo import scenes
from dataloop_demo.scenes import PHOTOS, ScenesUnavailable, compose, export_coco


def test_the_same_seed_gives_the_same_bytes_and_a_longer_run_the_same_start() -> None:
    first = [scene.sha256 for scene in compose("train", 4, seed=1, size=96)]
    longer = [scene.sha256 for scene in compose("train", 7, seed=1, size=96)]
    assert longer[:4] == first
    assert len(set(longer)) == 7
    assert first != [scene.sha256 for scene in compose("train", 4, seed=2, size=96)]


def test_parts_share_neither_digits_nor_photographs() -> None:
    parts = {kind: list(compose(kind, 60, seed=3, size=64)) for kind in ("train", "val", "test")}
    digits = [{i for scene in found for i in scene.digit_ids} for found in parts.values()]
    photos = [{scene.background for scene in found} for found in parts.values()]
    declared = [{file for _, file in PHOTOS[part]} for part in ("train", "val", "test")]
    for groups in (digits, photos, declared):
        assert sum(map(len, groups)) == len(set().union(*groups))


def test_held_out_is_val_and_test() -> None:
    assert {scene.part for scene in compose("heldout", 6, seed=1, size=64)} == {"val", "test"}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        list(compose("nonsense", 1, seed=1))  # type: ignore[arg-type]


def test_boxes_are_the_bounds_of_the_ink(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((128, 128, 3), 100, np.float32)
    monkeypatch.setattr(scenes, "_background", lambda *_: grey.copy())
    for scene in compose("train", 12, seed=8, size=128, max_digits=1):
        pixels = np.asarray(Image.open(io.BytesIO(scene.image_bytes))).astype(float)
        # JPEG at quality 90 moves flat pixels by little; ink differs by 70 in luminance or more.
        ys, xs = np.nonzero(np.abs(pixels.mean(axis=2) - 100) > 20)
        (box,) = scene.boxes
        np.testing.assert_allclose(box, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=2.5)


def test_inks_are_the_digits_pixels_and_fill_their_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((128, 128, 3), 100, np.float32)
    monkeypatch.setattr(scenes, "_background", lambda *_: grey.copy())
    for scene in compose("train", 12, seed=8, size=128):
        pixels = np.asarray(Image.open(io.BytesIO(scene.image_bytes))).astype(float)
        differs = np.abs(pixels.mean(axis=2) - 100) > 15
        for ink, (left, top, right, bottom) in zip(scene.inks, scene.boxes, strict=True):
            assert ink.shape == (bottom - top, right - left)
            assert ink.any(axis=0)[[0, -1]].all()
            assert ink.any(axis=1)[[0, -1]].all()
            shown = differs[round(top) : round(bottom), round(left) : round(right)]
            # JPEG and the soft rim of a stroke move the edge by about a pixel.
            assert (ink & shown).sum() > 0.7 * (ink | shown).sum()


def test_boxes_stay_inside_and_apart() -> None:
    for scene in compose("heldout", 40, seed=4, size=96):
        assert len(scene.boxes) == len(scene.labels) == len(scene.digit_ids) >= 1
        for number, (left, top, right, bottom) in enumerate(scene.boxes):
            assert 0 <= left < right <= 96
            assert 0 <= top < bottom <= 96
            for other in scene.boxes[:number]:
                assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom


def test_the_coco_folder_is_what_coco_readers_expect(tmp_path: Path) -> None:
    for path in export_coco(tmp_path, train=3, heldout=2, size=64):
        document = json.loads(path.read_text())
        names = {category["id"]: category["name"] for category in document["categories"]}
        assert names[1] == "0"
        for image in document["images"]:
            with Image.open(tmp_path / "images" / image["file_name"]) as opened:
                assert opened.size == (image["width"], image["height"]) == (64, 64)
        ids = {image["id"] for image in document["images"]}
        assert {annotation["image_id"] for annotation in document["annotations"]} <= ids
        assert all(a["area"] == a["bbox"][2] * a["bbox"][3] > 0 for a in document["annotations"])


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ScenesUnavailable, match="mlxtend"):
        scenes._package_file("mlxtend", "data/data/not_there.gz")
