"""LabelMe's JSON: shapes as its versions write them, and files that are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.formats.labelme import LabelMeReader
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import Findings, FormatError
from tests.formats.in_memory import SAMPLES, Files, decoded, read_all


def file_of(*shapes: dict[str, Any], **fields: Any) -> str:
    """A file of LabelMe with a picture of 40 × 30."""
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None}
    return json.dumps(content | {"imageHeight": 30, "imageWidth": 40} | fields)


def rectangle(label: str, x1: float, y1: float, x2: float, y2: float, **fields: Any) -> dict[str, Any]:
    return {"label": label, "points": [[x1, y1], [x2, y2]], "shape_type": "rectangle"} | fields


def test_a_file_as_labelme_writes_it() -> None:
    source = FolderSource(SAMPLES / "labelme")
    findings = Findings("stop")
    assert LabelMeReader().recognises(source)
    flags, kitchen = LabelMeReader().read(source, findings)
    assert (flags.file_name, flags.kind, [label.label for label in flags.labels]) == (
        "flags.jpg",
        "classification",
        ["cat"],
    )
    assert (kitchen.file_name, kitchen.width, kitchen.height) == ("kitchen.jpg", 40, 30)
    cup, plate, spoon, crumb = kitchen.labels
    assert cup.box == (10.0, 8.0, 30.0, 28.5)  # drawn from the lower right corner
    assert cup.attributes == {"description": "left of the plate", "chipped": True}
    assert plate.segmentation == [[1, 2, 30, 2, 30, 20], [1, 22, 30, 22, 30, 28]]  # one object in two pieces
    assert kitchen.kind == "detection"  # one of its objects has a box only
    mask = decoded(crumb.segmentation)
    assert mask[4:6, 35:38].tolist() == [[1, 0, 1], [1, 1, 0]]
    assert mask.sum() == 4
    xs, ys = spoon.segmentation[0][::2], spoon.segmentation[0][1::2]  # type: ignore[index]
    assert (min(xs), max(xs), min(ys), max(ys)) == (15, 25, 15, 25)  # radius 5 around 20, 20
    assert findings.losses == {
        "folder of a picture outside the source": 1,
        "circle, kept as polygon": 1,
        "shape linestrip": 1,
    }


def test_the_picture_is_found_from_the_folder_of_its_file() -> None:
    files = {
        "labels/a.json": file_of(imagePath="../images/a.jpg"),
        "labels/b.json": file_of(imagePath="..\\images\\b.jpg"),
        "labels/c.json": file_of(imagePath="c.jpg"),
        "labels/d.json": file_of(imagePath="D:\\work\\d.jpg"),
    }
    pictures, findings = read_all(LabelMeReader(), Files(files))
    assert [picture.file_name for picture in pictures] == ["images/a.jpg", "images/b.jpg", "labels/c.jpg", "d.jpg"]
    assert findings.losses == {"folder of a picture outside the source": 1}


def test_a_picture_without_shapes_shows_nothing() -> None:
    (picture,), findings = read_all(LabelMeReader(), Files({"a.json": file_of()}))
    assert (picture.labels, picture.kind) == ((), "detection")
    assert not findings.losses


def test_a_picture_of_lines_alone_is_not_one_that_shows_nothing() -> None:
    line = {"label": "edge", "points": [[1, 1], [5, 5]], "shape_type": "line"}
    pictures, findings = read_all(LabelMeReader(), Files({"a.json": file_of(line)}))
    assert pictures == []
    assert findings.losses == {"shape line": 1, "image: none of its labels is sound": 1}
    assert findings.failed == 0


def test_flags_beside_shapes_become_an_attribute_and_a_loss() -> None:
    files = Files({"a.json": file_of(rectangle("cup", 1, 1, 5, 5), flags={"blurred": True, "dark": False})})
    (picture,), findings = read_all(LabelMeReader(), files)
    assert picture.attributes == {"tags": "blurred"}
    assert findings.losses == {"label of the whole picture beside objects": 1}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a box without width": (rectangle("cup", 5, 1, 5, 9), "x2 > x1"),
    "a number that is none": (rectangle("cup", float("nan"), 1, 5, 9), "finite"),
    "an infinite number": (rectangle("cup", 1, 1, float("inf"), 9), "finite"),
    "one point": ({"label": "cup", "points": [[1, 2]], "shape_type": "rectangle"}, "two points"),
    "points that are numbers": ({"label": "cup", "points": [1, 2, 3], "shape_type": "polygon"}, "pair x, y"),
    "two points of a polygon": ({"label": "cup", "points": [[1, 2], [3, 4]], "shape_type": "polygon"}, "at least 3"),
    "a polygon on a line": ({"label": "cup", "points": [[1, 1], [2, 2], [3, 3]]}, "encloses nothing"),
    "no label": (rectangle("", 1, 1, 5, 5), "label"),
    "half a character": (rectangle("\ud800", 1, 1, 5, 5), "half a character"),
    "an unknown shape": ({"label": "cup", "points": [], "shape_type": "blob"}, "shape_type"),
    "a circle without radius": ({"label": "c", "points": [[1, 1], [1, 1]], "shape_type": "circle"}, "radii"),
    "a mask of text": ({"label": "c", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "%"}, "base64"),
    "a mask that is no picture": (
        {"label": "c", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "AAAA"},
        "mask",
    ),
    "not even an object": ("cup", "object"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize(("shape", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_named_and_the_others_are_read(shape: dict[str, Any], reason: str) -> None:
    files = Files({"a.json": file_of(rectangle("cup", 1, 1, 5, 5), shape)})
    (picture,), findings = read_all(LabelMeReader(), files)
    assert [label.box for label in picture.labels] == [(1, 1, 5, 5)]
    assert [problem["item"] for problem in findings.problems] == ["a.json: shape 1"]
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match=r"a\.json: shape 1"):
        read_all(LabelMeReader(), files, "stop")


BROKEN = {
    "an empty file": (b"", "is not JSON"),
    "a cut file": (file_of()[:50].encode(), "is not JSON"),
    "another encoding": ('{"shapes": [], "imagePath": "照片.jpg"}'.encode("gbk"), "is not JSON"),
    "endless nesting": (b"[" * 100_000, "is not JSON"),
    "a list": (b"[]", "no LabelMe file"),
    "no name of a picture": (file_of(imagePath="").encode(), "imagePath"),
    "a name that is a folder": (file_of(imagePath="..").encode(), "stay inside"),
    "a wrong size": (file_of(imageWidth=-4).encode(), "width"),
    "too many shapes": (file_of(*[{}] * 10_001).encode(), "at most 10000"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_and_the_others_are_read(data: bytes, reason: str) -> None:
    files = Files({"bad.json": data, "good.json": file_of(rectangle("cup", 1, 1, 5, 5))})
    pictures, findings = read_all(LabelMeReader(), files)
    assert [picture.file_name for picture in pictures] == ["a.jpg"]
    assert [problem["item"] for problem in findings.problems] == ["bad.json"]
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match=r"bad\.json"):
        read_all(LabelMeReader(), files, "stop")


def test_a_second_file_for_a_picture_is_a_problem() -> None:
    files = Files({"a.json": file_of(rectangle("cup", 1, 1, 5, 5)), "b.json": file_of()})
    pictures, findings = read_all(LabelMeReader(), files)
    assert len(pictures) == 1
    assert findings.problems[0]["item"] == "b.json"
    assert "a.jpg" in findings.problems[0]["reason"]


def test_utf_16_and_a_byte_order_mark_are_read() -> None:
    text = file_of(rectangle("чашка", 1, 1, 5, 5))
    files = {"a.json": text.encode("utf-16"), "b.json": b"\xef\xbb\xbf" + text.replace("a.jpg", "b.jpg").encode()}
    pictures, _ = read_all(LabelMeReader(), Files(files), "stop")
    assert [picture.labels[0].label for picture in pictures] == ["чашка", "чашка"]


def test_a_file_that_begins_with_its_whole_picture_is_recognised() -> None:
    content = json.loads(file_of(rectangle("cup", 1, 1, 5, 5), imageData="A" * 200_000))
    files = Files({"a.json": json.dumps(content, sort_keys=True)})
    assert LabelMeReader().recognises(files)
    (picture,), _ = read_all(LabelMeReader(), files, "stop")
    assert len(picture.labels) == 1


def test_a_folder_without_json_is_not_of_the_format() -> None:
    assert not LabelMeReader().recognises(Files({"a.xml": "<annotations/>"}))
    with pytest.raises(FormatError, match=r"no \.json"):
        read_all(LabelMeReader(), Files())
