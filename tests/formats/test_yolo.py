"""YOLO: the three layouts that are in use, and lines that are wrong."""

from __future__ import annotations

import pytest

from dataloop.formats.surface import Findings, FormatError, Picture
from dataloop.formats.yolo import YoloReader
from tests.formats.in_memory import Files, read_all

YAML = "path: /datasets/x\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: 狗\n"
BOX = "0 0.5 0.5 0.25 0.5\n"


def read(files: dict[str, bytes | str], policy: str = "skip") -> tuple[list[Picture], Findings]:
    return read_all(YoloReader(), Files(files), policy)


def of_lines(lines: str, policy: str = "skip") -> tuple[list[Picture], Findings]:
    return read({"data.yaml": YAML, "labels/train/a.txt": lines, "labels/train/b.txt": BOX}, policy)


def test_ultralytics() -> None:
    files: dict[str, bytes | str] = {
        "data.yaml": YAML,
        "images/train/a.jpg": b"",
        "labels/train/a.txt": BOX + "1 0.1 0.1 0.1 0.2 0.9\n",
        "images/val/b.PNG": b"",
        "labels/val/b.txt": "\n",
        "images/val/c.png": b"",
        "labels/val/d.txt": BOX,
    }
    pictures, findings = read(files, "stop")
    d, a, b, c = pictures
    assert (a.file_name, a.split, a.width, a.in_shares) == ("images/train/a.jpg", "train", None, True)
    assert [(label.label, label.score) for label in a.labels] == [("cat", None), ("狗", 0.9)]
    assert a.labels[0].box == (0.375, 0.25, 0.625, 0.75)
    assert [(picture.file_name, picture.labels) for picture in (b, c)] == [
        ("images/val/b.PNG", ()),
        ("images/val/c.png", ()),
    ]
    assert (d.file_name, d.split) == ("images/val/d", "val")  # the picture is not there: nobody knows its suffix
    assert (b.split, c.kind, findings.losses) == ("val", "detection", {})


def test_roboflow() -> None:
    yaml = "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 0]\nroboflow:\n  license: x\n"
    files: dict[str, bytes | str] = {
        "data.yaml": yaml,
        "README.dataset.txt": "hello",
        "train/images/a.jpg": b"",
        "train/labels/a.txt": BOX,
        "valid/images/b.jpg": b"",
        "valid/labels/b.txt": "1 0.5 0.5 1 1.000001",
    }
    (a, b), _ = read(files, "stop")
    assert [(p.file_name, p.split, p.labels[0].label) for p in (a, b)] == [
        ("train/images/a.jpg", "train", "cat"),
        ("valid/images/b.jpg", "val", "0"),
    ]


def test_darknet_with_lists() -> None:
    files: dict[str, bytes | str] = {
        "obj.data": "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n",
        "obj.names": "cat\ndog\n",
        "train.txt": "data/obj_train_data/a.jpg\ndata/obj_train_data/c.jpg\n",
        "valid.txt": "data/obj_valid_data/b.jpg\n",
        "obj_train_data/a.txt": BOX,
        "obj_valid_data/b.txt": BOX,
    }
    (a, c, b), _ = read(files, "stop")
    assert [(p.file_name, p.split, len(p.labels)) for p in (a, c, b)] == [
        ("obj_train_data/a.jpg", "train", 1),
        ("obj_train_data/c.jpg", "train", 0),
        ("obj_valid_data/b.jpg", "val", 1),
    ]


def test_labelimg() -> None:
    (a,), _ = read({"classes.txt": "cat\n", "a.jpg": b"", "a.txt": BOX}, "stop")
    assert (a.file_name, a.split, a.labels[0].label) == ("a.jpg", None, "cat")


def test_outlines_with_and_without_a_confidence() -> None:
    outline = "0 0.1 0.1 0.5 0.1 0.5 0.5\n1 0 0 1 0 1 1 0 1 0.75\n"
    files: dict[str, bytes | str] = {
        "data.yaml": YAML,
        "labels/a.txt": outline,
        "labels/b.txt": "",
        "images/c.jpg": b"",
    }
    pictures, _ = read(files, "stop")
    (a,) = [picture for picture in pictures if picture.file_name == "images/a"]
    assert [(label.segmentation, label.score) for label in a.labels] == [
        ([[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]], None),
        ([[0, 0, 1, 0, 1, 1, 0, 1]], 0.75),
    ]
    assert {picture.kind for picture in pictures} == {"instance_segmentation"}


def test_boxes_beside_outlines_are_detection() -> None:
    (a, b), _ = of_lines("0 0.1 0.1 0.5 0.1 0.5 0.5\n", "stop")
    assert (a.kind, b.kind) == ("detection", "detection")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.1 0.1", "below 2"),
        ("-1 0.5 0.5 0.1 0.1", "below 2"),
        ("cat 0.5 0.5 0.1 0.1", "below 2"),
        ("²  0.5 0.5 0.1 0.1", "below 2"),
        ("9" * 5000 + " 0.5 0.5 0.1 0.1", "below 2"),
        ("0 0.5 0.5 0.1", "at least four"),
        ("0", "at least four"),
        ("0 nan 0.5 0.1 0.1", "finite"),
        ("0 0.5 inf 0.1 0.1", "finite"),
        ("0 0.5 1e999 0.1 0.1", "finite"),
        ("0 320 240 100 100", "share"),
        ("0 -0.5 0.5 0.1 0.1", "share"),
        ("0 0.5 0.5 0 0.1", "above 0"),
        ("0 0.5 0.5 0.1 0.1 7", "confidence"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "encloses nothing"),
        ("0 a b c d", "number"),
        ("0 " + "0.5 " * 100_010, "at most 50000"),
    ],
)
def test_a_wrong_line_is_named_and_the_others_are_read(line: str, reason: str) -> None:
    (a, _), findings = of_lines(f"{line}\n{BOX}")
    assert len(a.labels) == 1
    assert findings.problems[0]["item"] == "labels/train/a.txt: line 1"
    assert reason in findings.problems[0]["reason"]
    (alone,), findings = of_lines(line)
    assert (alone.file_name, findings.losses) == ("images/train/b", {"image: none of its labels is sound": 1})
    with pytest.raises(FormatError, match="line 1"):
        of_lines(line, "stop")


@pytest.mark.parametrize("data", [b"\xff\xfe0\x00", BOX.encode("utf-16"), b"\x00\x01\x02", BOX.encode() * 10_001])
def test_a_broken_label_file_is_named_and_the_others_are_read(data: bytes) -> None:
    files: dict[str, bytes | str] = {"data.yaml": YAML, "labels/train/a.txt": data, "labels/train/b.txt": BOX}
    (b,), findings = read(files)
    assert b.file_name == "images/train/b"
    assert findings.problems[0]["item"].startswith("labels/train/a.txt")


def test_a_byte_order_mark_is_no_class() -> None:
    files: dict[str, bytes | str] = {"classes.txt": b"\xef\xbb\xbfcat\n", "a.txt": b"\xef\xbb\xbf" + BOX.encode()}
    (a,), _ = read(files, "stop")
    assert a.labels[0].label == "cat"


@pytest.mark.parametrize(
    "yaml",
    [
        "names: 7\n",
        "names: []\n",
        "names: {0: cat, 2: dog}\n",
        "names: [cat, [dog]]\n",
        "names: [cat, '']\n",
        "names: [cat\n",
        "names: [cat]\nkpt_shape: [17, 3]\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b]\n",
        "names: !!python/object/apply:os.system ['true']\n",
        "names: " + "[" * 20_000,
        b"names: [\xe9]\n",
        "names: [cat]\n" + "#" * (1 << 20),
    ],
)
def test_names_that_cannot_be_read_end_the_reading(yaml: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"data\.yaml"):
        read({"data.yaml": yaml, "labels/a.txt": BOX})


def test_a_list_cannot_lead_outside() -> None:
    files: dict[str, bytes | str] = {
        "obj.names": "cat\n",
        "train.txt": "ok/a.jpg\n../../etc/passwd.jpg\n/etc/b.jpg\n",
        "ok/a.txt": BOX,
    }
    (a,), findings = read(files)
    assert (a.file_name, a.split) == ("ok/a.jpg", "train")
    assert [problem["item"] for problem in findings.problems] == ["train.txt: line 2", "train.txt: line 3"]


def test_two_label_files_of_one_picture_are_named() -> None:
    (a,), findings = read({"classes.txt": "cat\n", "images/a.txt": BOX, "labels/a.txt": BOX})
    assert len(a.labels) == 1
    assert findings.problems[0]["item"] == "labels/a.txt"


@pytest.mark.parametrize("files", [{}, {"a.txt": BOX}, {"data.yaml": YAML}])
def test_without_names_or_labels_nothing_is_read(files: dict[str, bytes | str]) -> None:
    with pytest.raises(FormatError, match="source"):
        read(files)
