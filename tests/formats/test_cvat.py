"""CVAT's XML: shapes as its export writes them, and files that are wrong or hostile."""

from __future__ import annotations

import pytest

from dataloop.formats.cvat import CvatReader
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import Findings, FormatError
from tests.formats.in_memory import SAMPLES, Files, decoded, read_all

LABELS = "<meta><task><labels><label><name>car</name></label></labels></task></meta>"


def file_of(shapes: str = "", image: str = 'name="a.jpg" width="40" height="30"', meta: str = LABELS) -> str:
    head = '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
    return f'{head}{meta}<image id="0" {image}>{shapes}</image></annotations>'


BOX = '<box label="car" xtl="1" ytl="2" xbr="5" ybr="6"/>'


def test_a_file_as_cvat_writes_it() -> None:
    source = FolderSource(SAMPLES / "cvat")
    findings = Findings("stop")
    assert CvatReader().recognises(source)
    first, empty, tagged = CvatReader().read(source, findings)
    box, turned, lane, mask = first.labels
    assert (first.file_name, first.split, first.width, first.height) == ("street/a.jpg", "train", 80, 60)
    assert (box.box, box.attributes) == ((10.5, 12, 30.5, 20.25), {"colour": "red", "occluded": True})
    # Turned by 90° around its middle 50, 25: 20 × 10 becomes 10 × 20.
    assert turned.segmentation == [[55, 15, 55, 35, 45, 35, 45, 15]]
    assert lane.segmentation == [[1, 2, 30, 2, 30, 40]]
    pixels = decoded(mask.segmentation)
    assert pixels[55:58, 76:79].tolist() == [[0, 1, 1], [0, 0, 1], [1, 1, 1]]
    assert pixels.sum() == 6
    assert first.attributes == {"tags": "rain"}
    assert (empty.labels, empty.kind) == ((), "detection")
    assert (tagged.kind, tagged.split, [label.label for label in tagged.labels]) == ("classification", "val", ["rain"])
    assert findings.losses == {
        "shape polyline": 2,
        "shape points": 1,
        "shape skeleton": 1,
        "label of the whole picture beside objects": 1,
        "image: none of its labels is sound": 1,
    }


def test_tracks_of_a_video_are_losses() -> None:
    track = '<track id="3" label="car"><box frame="0" xtl="1" ytl="2" xbr="5" ybr="6" outside="0"/></track>'
    text = file_of(BOX).replace("</annotations>", f"{track}</annotations>")
    (picture,), findings = read_all(CvatReader(), Files({"a.xml": text}), "stop")
    assert len(picture.labels) == 1
    assert findings.examples == {"track of a video": ["a.xml: track 3"]}


def test_an_ellipse_becomes_a_polygon() -> None:
    ellipse = '<ellipse label="car" cx="20" cy="15" rx="10" ry="5" rotation="90"/>'
    (picture,), findings = read_all(CvatReader(), Files({"a.xml": file_of(ellipse)}))
    xs, ys = picture.labels[0].segmentation[0][::2], picture.labels[0].segmentation[0][1::2]  # type: ignore[index]
    assert (min(xs), max(xs), min(ys), max(ys)) == (15, 25, 5, 25)
    assert findings.losses == {"ellipse, kept as polygon": 1}


WRONG = {
    "an unknown label": ('<box label="cat" xtl="1" ytl="2" xbr="5" ybr="6"/>', "labels of the file"),
    "no label": ('<box xtl="1" ytl="2" xbr="5" ybr="6"/>', "label"),
    "a missing corner": ('<box label="car" xtl="1" ytl="2" xbr="5"/>', "finite"),
    "a corner that is no number": ('<box label="car" xtl="1" ytl="2" xbr="x" ybr="6"/>', "number"),
    "NaN": ('<box label="car" xtl="nan" ytl="2" xbr="5" ybr="6"/>', "finite"),
    "infinity": ('<box label="car" xtl="1" ytl="2" xbr="1e400" ybr="6"/>', "finite"),
    "a box without height": ('<box label="car" xtl="1" ytl="2" xbr="5" ybr="2"/>', "y2 > y1"),
    "points of a polygon": ('<polygon label="car" points="1,2;3"/>', "pair"),
    "no points": ('<polygon label="car"/>', "pair"),
    "a mask with too few pixels": ('<mask label="car" rle="1,2" left="1" top="1" width="2" height="2"/>', "sums to 3"),
    "a mask with too many pixels": (
        '<mask label="car" rle="1,99999999999" left="1" top="1" width="2" height="2"/>',
        "sums to",
    ),
    "a mask larger than any image": (
        '<mask label="car" rle="0,9" left="1" top="1" width="99999" height="99999"/>',
        "at most",
    ),
    "a mask below zero": ('<mask label="car" rle="5,-1" left="1" top="1" width="2" height="2"/>', "whole numbers"),
    "a mask outside its image": ('<mask label="car" rle="0,4" left="40" top="1" width="2" height="2"/>', "no pixel"),
    "an ellipse without radius": ('<ellipse label="car" cx="1" cy="1" rx="0" ry="2"/>', "radii"),
}


@pytest.mark.parametrize(("shape", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_named_and_the_others_are_read(shape: str, reason: str) -> None:
    files = Files({"a.xml": file_of(BOX + shape)})
    (picture,), findings = read_all(CvatReader(), files)
    assert [label.box for label in picture.labels] == [(1, 2, 5, 6)]
    assert len(findings.problems) == 1
    assert findings.problems[0]["item"].startswith("a.xml: a.jpg: ")
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match=r"a\.jpg"):
        read_all(CvatReader(), files, "stop")


def test_a_shape_that_belongs_to_no_image_is_not_read() -> None:
    text = (
        f"<annotations><a><image name='x.jpg'>{BOX}</image></a><image name='a.jpg'><a>{BOX}</a></image></annotations>"
    )
    pictures, _ = read_all(CvatReader(), Files({"a.xml": text}), "stop")
    assert [(picture.file_name, picture.labels) for picture in pictures] == [("a.jpg", ())]


WRONG_IMAGES = {
    "no name": ('width="40" height="30"', "name"),
    "a name that leads outside": ('name="../../etc/passwd" width="40" height="30"', "stay inside"),
    "a width that is no number": ('name="a.jpg" width="x" height="30"', "width"),
    "a width of half a pixel": ('name="a.jpg" width="4.5" height="30"', "width"),
}


@pytest.mark.parametrize(("image", "reason"), WRONG_IMAGES.values(), ids=WRONG_IMAGES)
def test_a_wrong_image_is_named(image: str, reason: str) -> None:
    pictures, findings = read_all(CvatReader(), Files({"a.xml": file_of(BOX, image)}))
    assert pictures == []
    assert reason in findings.problems[0]["reason"]


def test_an_image_with_too_many_objects_is_refused_whole() -> None:
    text = file_of(BOX * 10_001).replace("</annotations>", '<image name="b.jpg"/></annotations>')
    pictures, findings = read_all(CvatReader(), Files({"a.xml": text}))
    assert [picture.file_name for picture in pictures] == ["b.jpg"]
    assert "at most 10000" in findings.problems[0]["reason"]


def test_a_picture_that_is_named_twice_counts_once() -> None:
    files = Files({"a.xml": file_of(BOX), "b.xml": file_of()})
    pictures, findings = read_all(CvatReader(), files)
    assert len(pictures) == 1
    assert findings.problems == [{"item": "b.xml: a.jpg", "reason": "is named a second time"}]
