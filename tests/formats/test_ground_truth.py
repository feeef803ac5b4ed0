"""Augmented manifests of Ground Truth: lines as labelling jobs write them, wrong ones, and what our writer makes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from PIL import Image

from dataloop.formats.bitmaps import bitmap_of
from dataloop.formats.ground_truth import GroundTruthReader
from dataloop.formats.ground_truth_writer import MASK_ATTRIBUTE, GroundTruthWriter, colour_of
from dataloop.formats.pixels import box_of, labels_of, segmentation_of, size_of
from dataloop.formats.surface import ExportImage, Findings, FormatError, Picture
from tests.formats.in_memory import SAMPLES, Files, Written, decoded, read_all
from tests.formats.versions import export_image, label_row, labels_in, versions
from tests.pictures import png_header

EXAMPLES = settings(max_examples=60, deadline=None)
MANIFEST = (SAMPLES / "ground_truth/output.manifest").read_bytes()


def floor() -> bytes:
    """A mask as the tool stores it: 6 × 4 pixels, tile left, rug right, one pixel of a colour without a class."""
    image = Image.new("RGB", (6, 4), "#ffffff")
    image.paste("#2ca02c", (0, 0, 2, 4))
    image.paste("#1f77b4", (4, 1, 6, 3))
    image.putpixel((3, 3), (1, 2, 3))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_a_manifest_as_labelling_jobs_write_it() -> None:
    """The copy of the job's output has its mask in a folder of its own."""
    files = Files({"output.manifest": MANIFEST, "output/5_2025-04-21T13:48:00.091190.png": floor()})
    assert GroundTruthReader().recognises(files)
    pictures, findings = read_all(GroundTruthReader(), files)
    one, two, three, four, five, six = pictures
    assert (one.file_name, one.kind, one.width, one.height) == ("photos/one.jpg", "detection", 500, 400)
    assert [(label.label, label.box) for label in one.labels] == [
        ("cup", (111, 134, 172, 262)),
        ("plate", (161, 250, 191, 280)),
    ]
    # People's confidence says how far they agreed; a machine's is a score.
    assert [(label.score, label.attributes) for label in one.labels] == [
        (None, {"confidence": 0.8}),
        (None, {"confidence": 0.9}),
    ]
    assert [(label.score, label.attributes) for label in two.labels] == [(0.61, {})]
    assert (three.labels, three.kind) == ((), "detection")
    assert (four.kind, four.labels[0].label) == ("classification", "kitchen")
    assert (five.kind, [(label.label, label.score) for label in five.labels]) == (
        "multilabel_classification",
        [("tidy", 0.95), ("bright", 0.77), ("old", 0.2)],
    )
    assert (six.kind, six.width, six.height) == ("semantic_segmentation", 6, 4)
    tile, rug = six.labels
    assert decoded(tile.segmentation).tolist() == [[1, 1, 0, 0, 0, 0]] * 4
    assert decoded(rug.segmentation).sum() == 4
    assert decoded(rug.segmentation)[1:3, 4:6].all()
    assert one.attributes["source"] == "s3://kitchen-bucket/photos/one.jpg"
    assert findings.losses == {"picture without labels": 1, "pixels of a colour without a class": 1}
    assert [problem["item"] for problem in findings.problems] == ["output.manifest: line 8"]
    assert "no worker" in findings.problems[0]["reason"]


def line(answer: Any, metadata: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"source-ref": "s3://b/a.jpg", "job": answer, "job-metadata": metadata} | fields)


def boxes(*annotations: Any, **fields: Any) -> str:
    answer = {"image_size": [{"width": 40, "height": 30, "depth": 3}], "annotations": list(annotations)}
    facts = {"type": "groundtruth/object-detection", "class-map": {"0": "cup"}, "objects": []}
    return line(answer, facts | fields)


SOUND = {"class_id": 0, "left": 1, "top": 2, "width": 3, "height": 4}
CLASS = {"type": "groundtruth/image-classification", "class-name": "cup", "confidence": 0.5}
SEVERAL = {"type": "groundtruth/image-classification-multilabel", "class-map": {"1": "cup"}}
MASK = {
    "type": "groundtruth/semantic-segmentation",
    "internal-color-map": {"1": {"class-name": "a", "hex-color": "#010203"}},
}


def test_of_several_jobs_the_one_that_says_most_counts_or_the_one_that_is_asked_for() -> None:
    text = json.dumps(json.loads(boxes(SOUND)) | {"room": 1, "room-metadata": CLASS})
    (picture,), findings = read_all(GroundTruthReader(), Files({"a.manifest": text}))
    assert picture.kind == "detection"
    assert findings.losses == {"label attribute beside another": 1}
    (picture,), findings = read_all(GroundTruthReader("room"), Files({"a.manifest": text}))
    assert (picture.kind, picture.labels[0].label) == ("classification", "cup")
    assert not findings.losses


def test_an_adjustment_counts_before_what_it_adjusts() -> None:
    adjusted = json.loads(boxes(SOUND | {"left": 9}))
    text = json.dumps(json.loads(boxes(SOUND)) | {"again": adjusted["job"], "again-metadata": adjusted["job-metadata"]})
    (picture,), _ = read_all(GroundTruthReader(), Files({"a.manifest": text}))
    assert picture.labels[0].box == (9, 2, 12, 6)


def test_a_mask_of_early_jobs_has_class_numbers() -> None:
    numbers = Image.new("L", (3, 2), 0)
    numbers.putpixel((1, 0), 5)
    stream = io.BytesIO()
    numbers.save(stream, "PNG")
    metadata = {"type": "groundtruth/semantic-segmentation", "internal-color-map": {"5": {"class-name": "tree"}}}
    text = json.dumps({"source-ref": "s3://b/a.jpg", "x-ref": "s3://b/m/1.png", "x-metadata": metadata})
    (picture,), _ = read_all(GroundTruthReader(), Files({"a.manifest": text, "m/1.png": stream.getvalue()}), "stop")
    assert decoded(picture.labels[0].segmentation).tolist() == [[0, 1, 0], [0, 0, 0]]


WRONG: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "is not JSON"),
    "a list": ("[]", "is not an object"),
    "no address": ('{"source-ref": 7}', "source-ref"),
    "an address outside": (boxes(SOUND).replace("s3://b/a.jpg", "s3://b/../../a.jpg"), "stay inside"),
    "no address at all": (boxes(SOUND).replace("s3://b/a.jpg", "s3://[/a.jpg"), "no address"),
    "half a character": (boxes(SOUND).replace("a.jpg", "\\\\ud800.jpg").replace("\\\\", "\\"), "half a character"),
    "boxes that are no list": (line({"annotations": 3}, {"type": "groundtruth/object-detection"}), "annotations"),
    "a size that is none": (boxes(SOUND).replace('"width": 40', '"width": "x"'), "width"),
    "too many boxes": (boxes(*[SOUND] * 10_001), "at most 10000"),
    "a class that is not in the map": (line(7, SEVERAL | {"type": CLASS["type"]}), "class-map"),
    "classes that are no list": (line(7, SEVERAL), "list"),
    "a confidence of 2": (line(7, CLASS | {"confidence": 2}), "0 to 1"),
    "a mask that is not there": (line("s3://b/none.png", MASK), "not among the files"),
    "a mask that is no picture": (line("s3://b/text.png", MASK), "no readable mask"),
    "a mask without colours": (line("s3://b/mask.png", MASK | {"internal-color-map": 3}), "internal-color-map"),
    "a colour that is none": (
        line("s3://b/mask.png", MASK | {"internal-color-map": {"1": {"class-name": "a", "hex-color": "red"}}}),
        "colour",
    ),
    "a mask that is too large": (line("s3://b/bomb.png", MASK), "pixels"),
}


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_named_and_the_others_are_read(text: str, reason: str) -> None:
    good = boxes(SOUND).replace("a.jpg", "good.jpg")
    files = Files(
        {
            "a.manifest": f"{good}\n\n{text}\n",
            "mask.png": floor(),
            "text.png": b"text",
            "bomb.png": png_header(100_000, 100_000),
        }
    )
    pictures, findings = read_all(GroundTruthReader(), files)
    assert [picture.file_name for picture in pictures] == ["good.jpg"]
    assert [problem["item"] for problem in findings.problems] == ["a.manifest: line 3"]
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match="line 3"):
        read_all(GroundTruthReader(), files, "stop")


@pytest.mark.parametrize(
    "wrong",
    [{"left": float("nan")}, {"width": 0}, {"height": -3}, {"class_id": 9}, {"top": float("inf")}, {"left": "x"}],
)
def test_a_wrong_box_is_named_and_the_others_are_read(wrong: dict[str, Any]) -> None:
    (picture,), findings = read_all(GroundTruthReader(), Files({"a.manifest": boxes(SOUND, SOUND | wrong)}))
    assert [label.box for label in picture.labels] == [(1, 2, 4, 6)]
    assert [problem["item"] for problem in findings.problems] == ["a.manifest: line 1: annotation 1"]


def test_a_line_that_names_a_picture_again_is_a_problem() -> None:
    pictures, findings = read_all(GroundTruthReader(), Files({"a.manifest": f"{boxes(SOUND)}\n{boxes()}"}))
    assert len(pictures) == 1
    assert findings.problems[0]["item"] == "a.manifest: line 2"


def written(images: list[ExportImage], prefix: str = "") -> tuple[Written, Findings]:
    target, findings = Written(), Findings("stop")
    GroundTruthWriter(prefix).write(iter(images), labels_in(images), target, findings)
    return target, findings


def by_image(images: list[ExportImage], pictures: list[Picture]) -> list[tuple[ExportImage, Picture]]:
    found = {picture.uid: picture for picture in pictures}
    assert len(found) == len(pictures)
    return [(image, found[image.row["uid"]]) for image in images if image.row["uid"] in found]


@EXAMPLES
@given(versions("box"))
def test_boxes_come_back_in_whole_pixels_with_their_scores(images: list[ExportImage]) -> None:
    target, findings = written(images)
    pictures, _ = read_all(GroundTruthReader(), target.as_source(), "stop")
    assert len(pictures) == len(images)
    rounded = 0
    for image, picture in by_image(images, pictures):
        size, rows = size_of(image.row), list(labels_of(image.row))
        has_scores = any(row["score"] is not None for row in rows)
        assert (picture.split, picture.file_name, picture.kind) == (
            image.split,
            f"images/{image.file_name}",
            "detection",
        )
        assert (picture.width, picture.height) == size
        assert picture.attributes["other_names"] == [image.file_name]
        for row, label in zip(rows, picture.labels, strict=True):
            corners = box_of(row, size)
            assert corners is not None
            assert label.box is not None
            assert label.label == row["label"]
            assert all(abs(one - other) <= 0.5 for one, other in zip(corners, label.box, strict=True))
            rounded += label.box != corners
            # Beside scores, a label without one has the confidence 1: the manifest knows no other way.
            assert label.score == (1 if has_scores and row["score"] is None else row["score"])
    assert findings.losses.get("box rounded to whole pixels", 0) == rounded


@EXAMPLES
@given(versions("whole", max_labels=3))
def test_classes_come_back(images: list[ExportImage]) -> None:
    is_single = all(len(list(labels_of(image.row))) <= 1 for image in images)
    target, findings = written(images)
    pictures, reading = read_all(GroundTruthReader(), target.as_source(), "stop")
    unlabelled = [image for image in images if is_single and not list(labels_of(image.row))]
    assert len(pictures) == len(images) - len(unlabelled)
    assert findings.losses.get("image without a class", 0) == len(unlabelled)
    assert reading.losses.get("picture without labels", 0) == len(unlabelled)
    for image, picture in by_image(images, pictures):
        assert picture.kind == ("classification" if is_single else "multilabel_classification")
        assert [label.label for label in picture.labels] == list(
            dict.fromkeys(r["label"] for r in labels_of(image.row))
        )


@EXAMPLES
@given(versions("polygons", "mask"))
def test_masks_come_back_as_one_a_class(images: list[ExportImage]) -> None:
    target, _ = written(images)
    pictures, _ = read_all(GroundTruthReader(MASK_ATTRIBUTE), target.as_source(), "stop")
    assert len(pictures) == len(images)
    for image, picture in by_image(images, pictures):
        width, height = size = size_of(image.row)
        painted: list[str | None] = [None] * (width * height)
        for row in labels_of(image.row):
            for place, value in enumerate(bitmap_of(segmentation_of(row, size), *size).tobytes()):
                painted[place] = row["label"] if value else painted[place]
        found: list[str | None] = [None] * (width * height)
        for label in picture.labels:
            for place, value in enumerate(decoded(label.segmentation).ravel().tolist()):
                found[place] = label.label if value else found[place]
        assert found == painted


def test_the_addresses_have_the_prefix_that_is_asked_for() -> None:
    image = export_image(1, (9, 9), [label_row("cat", (9, 9), (1, 1, 5, 5))], file_name="d/one.jpg")
    target, _ = written([image], "s3://bucket/export/")
    line = json.loads(target.files["train.manifest"])
    assert line["source-ref"] == "s3://bucket/export/images/d/one.jpg"
    assert line["labels-metadata"]["type"] == "groundtruth/object-detection"
    assert line["labels"]["annotations"] == [{"class_id": 0, "left": 1, "top": 1, "width": 4, "height": 4}]
    assert target.files.keys() == {"train.manifest", "val.manifest", "test.manifest"}


def test_what_the_format_cannot_hold_is_counted() -> None:
    size = (40, 30)
    labels = [
        label_row("cat", size, (1, 1, 5, 5), score=0.5),
        label_row("cat", size, polygons=[[1, 1, 9, 1, 9, 9]], crowd=True),
        label_row("dark", size),
    ]
    _, findings = written([export_image(1, size, labels, attributes={"region": "CN"}, group="hall", method="manual")])
    assert findings.losses == {
        "group": 1,
        "attributes": 1,
        "labelling method": 1,
        "crowd": 1,
        "mask": 1,
        "label of the whole image": 1,
        "label without a score among some with one": 1,
    }


def test_colours_of_classes_are_all_different() -> None:
    assert len({colour_of(number) for number in range(256)}) == 256
