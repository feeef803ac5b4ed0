"""Masks: indices and colours, with the label maps that tools write; and pictures that are wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from dataloop.formats import masks
from dataloop.formats.masks import MasksReader
from dataloop.formats.surface import Findings, FormatError, Picture
from tests.formats.in_memory import Files, decoded, read_all
from tests.pictures import png_header

# Two objects of class 1 and one of class 2; 255 is the border.
CLASSES = [[0, 1, 1, 255], [0, 1, 0, 1], [2, 2, 0, 1]]
OBJECTS = [[0, 1, 1, 255], [0, 1, 0, 2], [3, 3, 0, 2]]
COLOURS = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
VOC_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"


def png(values: Sequence[Sequence[int]], mode: str = "L", colours: dict[int, tuple[int, ...]] | None = None) -> bytes:
    size = (len(values[0]), len(values))
    flat = [value for row in values for value in row]
    if mode in ("RGB", "RGBA"):
        image = Image.new(mode, size)
        image.putdata([(*(colours or COLOURS)[value], 255)[: len(mode)] for value in flat])
    else:
        image = Image.new(mode, size)
        image.putdata(flat)
    if mode == "P":
        palette = colours or COLOURS
        image.putpalette([part for value in range(256) for part in palette.get(value, (0, 0, 0))])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def read(files: dict[str, bytes | str], policy: str = "stop") -> tuple[list[Picture], Findings]:
    return read_all(MasksReader(), Files(files), policy)


def pixels(picture: Picture) -> list[tuple[str, Any]]:
    return [(label.label, decoded(label.segmentation).tolist()) for label in picture.labels]


CAT = [[0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
DOG = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_a_mask_of_classes_is_one_mask_for_each(mode: str) -> None:
    files: dict[str, bytes | str] = {
        "labelmap.txt": VOC_MAP,
        "SegmentationClass/a.png": png(CLASSES, mode),
        "JPEGImages/a.jpg": b"",
        "ImageSets/Segmentation/val.txt": "a\n",
    }
    (a,), _ = read(files)
    assert pixels(a) == [("cat", CAT), ("dog", DOG)]
    assert a.labels[1].box == (0, 2, 2, 3)
    assert (a.file_name, a.width, a.height, a.split) == ("JPEGImages/a.jpg", 4, 3, "val")
    assert a.kind == "semantic_segmentation"


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_mask_of_objects_parts_them(mode: str) -> None:
    colours = {**COLOURS, 1: (1, 2, 3), 2: (4, 5, 6), 3: (7, 8, 9)}
    files: dict[str, bytes | str] = {
        "set/labelmap.txt": VOC_MAP,
        "set/SegmentationClass/a.png": png(CLASSES, "P"),
        "set/SegmentationObject/a.png": png(OBJECTS, mode, colours),
    }
    (a,), _ = read(files)
    one = [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    two = [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert pixels(a) == [("cat", one), ("cat", two), ("dog", DOG)]
    assert (a.file_name, a.kind) == ("set/JPEGImages/a", "instance_segmentation")


def test_colours_that_the_map_leaves_out_are_those_of_voc() -> None:
    files: dict[str, bytes | str] = {"labelmap.txt": "background:::\ncat:::\ndog:::\n"}
    (a,), _ = read(files | {"SegmentationClass/a.png": png(CLASSES, "RGB")})
    assert pixels(a) == [("cat", CAT), ("dog", DOG)]


def test_colours_count_before_values() -> None:
    # CVAT: the map has colours of its own, and the picture's palette is in another order.
    label_map = "dog:0,128,0::\nbackground:0,0,0::\ncat:128,0,0::\n"
    (a,), _ = read({"labelmap.txt": label_map, "SegmentationClass/a.png": png(CLASSES, "P")})
    assert pixels(a) == [("cat", CAT), ("dog", DOG)]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (
            {"label_colors.txt": "0 0 0 Void\n128 0 0 cat\n0 128 0 dog\n", "valannot/a.png": png(CLASSES, "RGB")},
            "val/a",
        ),
        (
            {"_classes.csv": "Pixel Value, Class\n0, background\n1, cat\n2, dog\n", "val/a_mask.png": png(CLASSES)},
            "val/a",
        ),
        ({"classes.txt": "background\ncat\ndog\n", "val/masks/a.png": png(CLASSES)}, "val/images/a"),
    ],
)
def test_label_maps_of_other_tools(files: dict[str, bytes | str], name: str) -> None:
    (a,), _ = read(files)
    assert pixels(a) == [("cat", CAT), ("dog", DOG)]
    assert (a.file_name, a.split) == (name, "val")


def test_a_picture_of_background_alone_shows_nothing() -> None:
    (a,), _ = read({"labelmap.txt": VOC_MAP, "SegmentationClass/a.png": png([[0, 255], [0, 0]])})
    assert (a.labels, a.kind) == ((), "semantic_segmentation")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no readable mask"),
        (png(CLASSES)[:40], "no readable mask"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "no readable mask"),
        (png_header(50_000, 50_000), "pixels"),
        (png_header(2_000_000_000, 2), "pixels"),
        (png_header(30, 30), "no readable mask"),
        (png([[0, 7]]), "does not name"),
        (png([[0, 1]], "RGB", {0: (0, 0, 0), 1: (9, 9, 9)}), "does not name"),
        (png([[0, 1]], "I;16"), "8 bits"),
        (png([list(range(256)), list(range(255, -1, -1))], "RGB", {n: (n, n, 7) for n in range(256)}), "does not name"),
        (png([list(range(300))], "RGB", {n: (n % 256, n // 256, 7) for n in range(300)}), "at most 256"),
    ],
)
def test_a_wrong_mask_is_named_and_the_others_are_read(data: bytes, reason: str) -> None:
    files: dict[str, bytes | str] = {
        "labelmap.txt": VOC_MAP,
        "SegmentationClass/a.png": data,
        "SegmentationClass/b.png": png(CLASSES),
    }
    (b,), findings = read(files, "skip")
    assert b.file_name == "JPEGImages/b"
    assert [problem["item"] for problem in findings.problems] == ["SegmentationClass/a.png"]
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match=r"a\.png"):
        read(files)


def test_a_small_file_cannot_keep_a_reader_busy_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "MAX_VALUE_PIXELS", 4 * 12 - 1)
    for mode in ("P", "RGB"):
        _, findings = read({"labelmap.txt": VOC_MAP, "SegmentationClass/a.png": png(CLASSES, mode)}, "skip")
        assert "values × pixels" in findings.problems[0]["reason"]


@pytest.mark.parametrize(
    ("objects", "reason"),
    [(None, "not found"), (png([[1, 1]]), "another size"), (png([[1, 0, 0, 0], [0] * 4, [0] * 4]), "of no class")],
)
def test_objects_that_do_not_fit_their_classes_are_named(objects: bytes | None, reason: str) -> None:
    files: dict[str, bytes | str] = {
        "labelmap.txt": VOC_MAP,
        "SegmentationClass/a.png": png(CLASSES),
        "SegmentationClass/b.png": png(CLASSES),
        "SegmentationObject/b.png": png(OBJECTS),
    }
    (b,), findings = read(files | ({"SegmentationObject/a.png": objects} if objects else {}), "skip")
    assert b.file_name == "JPEGImages/b"
    assert reason in findings.problems[0]["reason"]


@pytest.mark.parametrize(
    "label_map",
    [
        {"labelmap.txt": "cat:1,2::\n"},
        {"labelmap.txt": "cat:1,2,300::\n"},
        {"labelmap.txt": "cat:1,2,3::\ndog:1,2,3::\n"},
        {"labelmap.txt": ":1,2,3::\n"},
        {"labelmap.txt": "# nothing\n"},
        {"labelmap.txt": b"gr\xf6\xdfe:1,2,3::\n"},
        {"labelmap.txt": "x" * (1 << 20) + "\n"},
        {"label_colors.txt": "1 2 cat\n"},
        {"_classes.csv": "Pixel Value, Class\n999, cat\n"},
        {"_classes.csv": "Pixel Value, Class\n1\n"},
        {},
    ],
)
def test_without_a_sound_label_map_nothing_is_read(label_map: dict[str, bytes | str]) -> None:
    with pytest.raises(FormatError):
        read({"SegmentationClass/a.png": png(CLASSES)} | label_map, "skip")
