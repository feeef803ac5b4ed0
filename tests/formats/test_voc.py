"""Pascal VOC: files as tools write them, and files that are wrong."""

from __future__ import annotations

import pytest

from dataloop.domain.annotations import MAX_LABELS
from dataloop.formats.surface import Findings, FormatError, Picture
from dataloop.formats.voc import VocReader
from tests.formats.in_memory import Files, read_all

OBJECT = """<object><name>{name}</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
    <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>{more}</object>"""


def thing(name: str = "cat", x1: str = "1", y1: str = "2", x2: str = "30", y2: str = "40.5", more: str = "") -> str:
    return OBJECT.format(name=name, x1=x1, y1=y1, x2=x2, y2=y2, more=more)


def file_of(*objects: str, name: str = "a.jpg", size: str = "<width>640</width><height>480</height>") -> str:
    return (
        f"<annotation><folder>x</folder><filename>{name}</filename><size>{size}</size>{''.join(objects)}</annotation>"
    )


def read(files: dict[str, bytes | str], policy: str = "skip") -> tuple[list[Picture], Findings]:
    return read_all(VocReader(), Files(files), policy)


def test_a_devkit_with_lists_of_its_splits() -> None:
    files: dict[str, bytes | str] = {
        "VOC/Annotations/a.xml": file_of(thing(), thing("dog", more="<part><name>head</name></part>")),
        "VOC/Annotations/b c.xml": file_of(name="b c.jpg"),
        "VOC/Annotations/d.xml": file_of(thing(), name="d.png"),
        "VOC/ImageSets/Main/train.txt": "a\n",
        "VOC/ImageSets/Main/val.txt": '"b c"\r\n',
        "VOC/ImageSets/Main/cat_train.txt": "a 1\n",
    }
    (a, b, d), findings = read(files, "stop")
    assert (a.file_name, a.split, a.width, a.height, a.kind) == ("VOC/JPEGImages/a.jpg", "train", 640, 480, "detection")
    assert [(label.label, label.box) for label in a.labels] == [("cat", (1, 2, 30, 40.5)), ("dog", (1, 2, 30, 40.5))]
    assert a.labels[0].attributes == {"pose": "Left", "truncated": True}
    assert (b.file_name, b.split, b.labels) == ("VOC/JPEGImages/b c.jpg", "val", ())
    assert d.split is None
    assert findings.losses == {"part": 1}


def test_files_beside_their_pictures() -> None:
    cvat = "<attributes><attribute><name>worn</name><value>yes</value></attribute></attributes>"
    files = {
        "train/a.xml": file_of(thing(more=cvat), name="a.jpg"),
        "val/b.xml": file_of(),
    }
    (a, b), _ = read(dict(files), "stop")
    assert (a.file_name, a.split, a.labels[0].attributes["worn"]) == ("train/a.jpg", "train", "yes")
    assert (b.file_name, b.split) == ("val/a.jpg", "val")


def test_a_box_drawn_from_the_lower_right_corner_is_the_same_box() -> None:
    (a,), _ = read({"a.xml": file_of(thing(x1="30", y1="40", x2="1", y2="2"))}, "stop")
    assert a.labels[0].box == (1, 2, 30, 40)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (thing(x1="nan"), "finite"),
        (thing(x2="inf"), "finite"),
        (thing(x2="1e999"), "finite"),
        (thing(x1="9" * 5000), "finite"),
        (thing(x1="one"), "must be a number"),
        (thing(x2="1"), "x2 > x1"),
        (thing(name=""), "name"),
        (thing(name="x" * 300), "name"),
        ("<object><name>cat</name></object>", "bndbox"),
        ("<object><name>cat</name><bndbox/></object>", "number"),
    ],
)
def test_a_wrong_object_is_named_and_the_others_are_read(wrong: str, reason: str) -> None:
    files: dict[str, bytes | str] = {"a.xml": file_of(wrong, thing()), "b.xml": file_of(wrong, name="b.jpg")}
    (a,), findings = read(files)
    assert [label.label for label in a.labels] == ["cat"]
    assert [problem["item"] for problem in findings.problems] == ["a.xml: object 1", "b.xml: object 1"]
    assert reason in findings.problems[0]["reason"]
    assert findings.losses == {"image: none of its labels is sound": 1}
    with pytest.raises(FormatError, match="object 1"):
        read(files, "stop")


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not XML"),
        (b"<annotation>", "is not XML"),
        (file_of(thing()).encode()[:-30], "is not XML"),
        (file_of(thing("größe")).encode("latin-1"), "is not XML"),
        (b"<html/>", "must be <annotation>"),
        (f"{BOMB}]><annotation><filename>&j;</filename></annotation>".encode(), "DTD or entities"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>', "DTD or entities"),
        (b'<!DOCTYPE annotation SYSTEM "http://127.0.0.1/x.dtd"><annotation/>', "DTD or entities"),
        (b"<annotation>" + b"<a>" * 10_000, "deeper"),
        (file_of(name="../../etc/passwd").encode(), "inside its folder"),
        (file_of(name="/etc/passwd").encode(), "inside its folder"),
        (file_of(size="<width>-1</width><height>2</height>").encode(), "above 0"),
        (file_of(*[thing()] * (MAX_LABELS + 1)).encode(), "at most 10000"),
        (file_of(name="good.jpg").encode(), "came before"),
    ],
)
def test_a_broken_file_is_named_and_the_others_are_read(data: bytes, reason: str) -> None:
    (good,), findings = read({"a.xml": file_of(thing(), name="good.jpg"), "b.xml": data})
    assert good.file_name == "good.jpg"
    assert [problem["item"] for problem in findings.problems] == ["b.xml"]
    assert reason in findings.problems[0]["reason"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_that_the_file_declares_are_read(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>{file_of(thing("größe"))}'
    (a,), _ = read({"a.xml": data.encode(encoding)}, "stop")
    assert a.labels[0].label == "größe"


def test_a_name_in_two_lists_is_a_problem_and_the_first_list_counts() -> None:
    lists: dict[str, bytes | str] = {f"ImageSets/Main/{split}.txt": "a\n" for split in ("train", "test")}
    (a,), findings = read({"Annotations/a.xml": file_of()} | lists)
    assert (a.split, findings.failed) == ("test", 1)
    assert findings.problems[0]["item"] == "ImageSets/Main/train.txt: line 1"


def test_a_source_without_xml_is_refused() -> None:
    with pytest.raises(FormatError, match="no XML"):
        read({"a.txt": ""})
