"""What a writer wrote, its reader reads: every label in its place, and what is missing stands in the loss report."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloop.formats.bitmaps import bitmap_of
from dataloop.formats.pixels import box_of, labels_of, segmentation_of, size_of
from dataloop.formats.registry import reader_of, recognised, writer_of
from dataloop.formats.sources import FolderSource, ZipSource
from dataloop.formats.surface import ExportImage, Findings, Label, Picture
from dataloop.formats.targets import ZipTarget
from tests.formats.versions import export_image, label_row, labels_in, pictures_in, versions, written

# Files on disk for each example: fewer of them say as much.
EXAMPLES = settings(max_examples=40, deadline=None)
# Pixels: both ways are rounded to 1/1000.
CLOSE = 0.0021

Said = tuple[str, tuple[float, ...] | None, Any, float | None, bool]


def said_by_row(image: ExportImage) -> list[Said]:
    size = size_of(image.row)
    return [
        (label["label"], box_of(label, size), segmentation_of(label, size), label["score"], bool(label.get("crowd")))
        for label in labels_of(image.row)
    ]


def said_by_picture(picture: Picture, size: tuple[int, int]) -> list[Said]:
    return [(label.label, *in_pixels(picture, label, size), label.score, label.crowd) for label in picture.labels]


def in_pixels(picture: Picture, label: Label, size: tuple[int, int]) -> tuple[Any, Any]:
    box, segmentation = label.box, label.segmentation
    if picture.in_shares:
        scale = (*size, *size)
        box = None if box is None else tuple(value * times for value, times in zip(box, scale, strict=True))
        if segmentation is not None and not isinstance(segmentation, Mapping):
            segmentation = [[v * size[odd % 2] for odd, v in enumerate(ring)] for ring in segmentation]
    return box, segmentation


def pixels_of(segmentation: Any, size: tuple[int, int]) -> bytes:
    return bytes(bitmap_of(segmentation, *size).tobytes())


def is_close(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) < CLOSE for a, b in zip(one, other, strict=True))


def assert_same(wanted: Sequence[Said], found: Sequence[Said]) -> None:
    """The same labels in the same order; outlines point by point, other masks pixel by pixel."""
    assert [entry[0] for entry in found] == [entry[0] for entry in wanted]
    for (label, box, segmentation, score, crowd), (_, its_box, its_segmentation, its_score, its_crowd) in zip(
        wanted, found, strict=True
    ):
        assert is_close(box, its_box), (label, box, its_box)
        assert (score, crowd) == (its_score, its_crowd)
        if isinstance(segmentation, list):
            assert len(segmentation) == len(its_segmentation)
            assert all(is_close(ring, its) for ring, its in zip(segmentation, its_segmentation, strict=True))
        else:
            assert segmentation == its_segmentation


def by_uid(images: Sequence[ExportImage], pictures: Sequence[Picture]) -> list[tuple[ExportImage, Picture]]:
    """Each image with its picture; none is missing or there twice."""
    found = {picture.uid: picture for picture in pictures}
    assert len(found) == len(pictures)
    assert found.keys() == {image.row["uid"] for image in images}
    return [(image, found[image.row["uid"]]) for image in images]


def round_trip(name: str, images: Sequence[ExportImage]) -> tuple[list[tuple[ExportImage, Picture]], Findings]:
    with tempfile.TemporaryDirectory() as folder:
        findings = written(name, images, Path(folder))
        assert name == recognised(FolderSource(Path(folder))).NAME
        pictures, _ = pictures_in(name, Path(folder))
        return by_uid(images, pictures), findings


def count(images: Sequence[ExportImage], test: Any) -> int:
    return sum(bool(test(label)) for image in images for label in labels_of(image.row))


@EXAMPLES
@given(versions("box", "polygons", "mask"))
def test_coco_holds_boxes_masks_scores_crowds_and_attributes(images: list[ExportImage]) -> None:
    pairs, findings = round_trip("coco", images)
    for image, picture in pairs:
        assert_same(said_by_row(image), said_by_picture(picture, size_of(image.row)))
        assert (picture.split, picture.file_name) == (image.split, image.file_name)
        assert (picture.width, picture.height) == size_of(image.row)
        assert picture.attributes == image.row["attributes"]
    methods = sum(image.row["annotations"][0]["method"] != "" for image in images)
    assert findings.losses == {key: n for key, n in (("group", len(images)), ("labelling method", methods)) if n}


@EXAMPLES
@given(versions("whole"))
def test_coco_and_jsonl_hold_labels_of_whole_pictures(images: list[ExportImage]) -> None:
    for name in ("coco", "jsonl"):
        pairs, _ = round_trip(name, images)
        for image, picture in pairs:
            assert_same(said_by_row(image), said_by_picture(picture, size_of(image.row)))
            assert picture.kind in ("classification", "multilabel_classification")


@EXAMPLES
@given(versions("box", "polygons", "mask"))
def test_jsonl_holds_all_that_a_row_says(images: list[ExportImage]) -> None:
    pairs, findings = round_trip("jsonl", images)
    for image, picture in pairs:
        assert_same(said_by_row(image), said_by_picture(picture, size_of(image.row)))
        assert (picture.split, picture.file_name) == (image.split, image.file_name)
        assert picture.attributes["group"] == image.row["group"]
        assert picture.attributes.get("labelMethod", "") == image.row["annotations"][0]["method"]
        assert image.row["attributes"].items() <= picture.attributes.items()
    assert findings.losses == {}


@EXAMPLES
@given(versions("box", "polygons", "mask", "whole"))
def test_voc_holds_boxes_and_says_what_else_there_was(images: list[ExportImage]) -> None:
    pairs, findings = round_trip("voc", images)
    for image, picture in pairs:
        wanted = [(label, box, None, None, False) for label, box, *_ in said_by_row(image) if box is not None]
        assert_same(wanted, said_by_picture(picture, size_of(image.row)))
        assert (picture.split, picture.width, picture.height) == (image.split, *size_of(image.row))
        assert picture.file_name == writer_of("voc").image_name(image)
    assert_losses(images, findings, "crowd", "mask", "label of the whole image", "score", "attributes")


@EXAMPLES
@given(versions("box", "mask", "whole"))
def test_yolo_holds_boxes_and_says_what_else_there_was(images: list[ExportImage]) -> None:
    box = label_row("cat", (9, 9), (1, 1, 5, 5))
    images.append(export_image(99, (9, 9), [box]))
    pairs, findings = round_trip("yolo", images)
    for image, picture in pairs:
        wanted = [(label, box, None, None, False) for label, box, *_ in said_by_row(image) if box is not None]
        assert_same(wanted, said_by_picture(picture, size_of(image.row)))
        assert (picture.split, picture.width, picture.kind) == (image.split, None, "detection")
    assert_losses(images, findings, "crowd", "mask", "label of the whole image", "score", "attributes")


@EXAMPLES
@given(versions("mask", "polygons"))
def test_yolo_holds_masks_as_one_outline_with_the_same_pixels(images: list[ExportImage]) -> None:
    # Two triangles of one label that lie over each other are one where both are, and none by the even-odd rule.
    for image in images:
        for label in labels_of(image.row):
            label.get("polygons", [])[1:] = []  # type: ignore[attr-defined]
    pairs, findings = round_trip("yolo", images)
    for image, picture in pairs:
        size = size_of(image.row)
        wanted, found = said_by_row(image), said_by_picture(picture, size)
        assert [entry[0] for entry in wanted] == [entry[0] for entry in found]
        for (_, _, segmentation, _, _), (_, _, outline, _, _) in zip(wanted, found, strict=True):
            exact = [[round(value, 4) for value in ring] for ring in outline]
            assert pixels_of(exact, size) == pixels_of(segmentation, size)
        assert picture.kind == "instance_segmentation"
    assert_losses(images, findings, "crowd", "score", "attributes")


@EXAMPLES
@given(versions("whole", max_labels=3))
def test_imagenet_holds_one_label_of_each_picture(images: list[ExportImage]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        findings = written("imagenet", images, Path(folder))
        pictures, _ = pictures_in("imagenet", Path(folder))
    labelled = [image for image in images if labels_in([image])]
    for image, picture in by_uid(labelled, pictures):
        assert [label.label for label in picture.labels] == labels_in([image])[:1]
        assert (picture.kind, picture.split) == ("classification", image.split)
    further = sum(max(0, len(labels_in([image])) - 1) for image in images)
    assert findings.losses.get("further label of an image", 0) == further
    assert findings.losses.get("image without a label", 0) == len(images) - len(labelled)


@EXAMPLES
@given(versions("mask", "polygons", "box"))
def test_masks_hold_the_pixels_of_the_smallest_object(images: list[ExportImage]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        findings = written("masks", images, Path(folder))
        pictures, reading = pictures_in("masks", Path(folder), "skip")
        assert recognised(FolderSource(Path(folder))).NAME == "masks"
    assert reading.failed == 0
    hidden = findings.losses.get("pixels of an object that lies under another", 0)
    empty = findings.losses.get("object that covers no centre of a pixel", 0)
    for image, picture in by_uid(images, pictures):
        size = size_of(image.row)
        wanted = [(label, segmentation) for label, _, segmentation, *_ in said_by_row(image) if segmentation]
        found = [(label, segmentation) for label, _, segmentation, *_ in said_by_picture(picture, size)]
        assert (picture.width, picture.height) == size
        if not hidden and not empty:
            both = [Counter((label, pixels_of(shape, size)) for label, shape in side) for side in (wanted, found)]
            assert both[0] == both[1]
    assert_losses(images, findings, "crowd", "score", "attributes")
    boxes = count(images, lambda label: label["box"] is not None)
    assert findings.losses.get("box", 0) == boxes


def assert_losses(images: list[ExportImage], findings: Findings, *words: str) -> None:
    """The loss report counts what the rows hold, by these words."""
    tests = {
        "crowd": lambda label: label.get("crowd"),
        "mask": lambda label: "mask" in label or "polygons" in label,
        "score": lambda label: label["score"] is not None,
        "label of the whole image": lambda label: label["box"] is None,
    }
    for word in words:
        n = sum(bool(i.row["attributes"]) for i in images) if word == "attributes" else count(images, tests[word])
        assert findings.losses.get(word, 0) == n, word


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "imagenet", "masks", "jsonl"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_an_archive_has_the_same_bytes_each_time_and_is_read_in_place(name: str, data: st.DataObject) -> None:
    images = data.draw(versions("whole" if name == "imagenet" else "polygons"))
    archives = []
    for _ in range(2):
        stream = io.BytesIO()
        target = ZipTarget(stream)
        writer_of(name).write(iter(images), labels_in(images), target, Findings())
        target.close()
        archives.append(stream.getvalue())
    assert archives[0] == archives[1]
    source = ZipSource(io.BytesIO(archives[0]))
    assert name == recognised(source).NAME
    assert list(reader_of(name).read(source, Findings("stop")))


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "imagenet", "masks", "jsonl"])
def test_pictures_of_one_version_never_share_a_place(name: str) -> None:
    label = label_row("cat", (8, 8))
    images = [
        export_image(number, (8, 8), [label], file_name=file_name)
        for number, file_name in enumerate(["a/1.jpg", "b/1.jpg", "a/1.png", "a.jpg"])
    ]
    names = [writer_of(name).image_name(image) for image in images]
    assert len(set(names)) == len(images)
    assert len({Path(place).with_suffix("") for place in names}) == len(images) or name in ("coco", "jsonl")
