"""ImageNet folders: which folder is the class, and what is none."""

from __future__ import annotations

import pytest

from dataloop.formats.imagenet import ImageNetReader, ImageNetWriter
from dataloop.formats.surface import Findings, FormatError, Picture
from tests.formats.in_memory import Files, Written, read_all
from tests.formats.versions import export_image, label_row


def read(*names: str, policy: str = "stop", **lists: str) -> tuple[list[Picture], Findings]:
    files = dict.fromkeys(names, "") | {f"{name}.txt": text for name, text in lists.items()}
    return read_all(ImageNetReader(), Files(files), policy)


def said(pictures: list[Picture]) -> list[tuple[str, str | None, str]]:
    return [(picture.file_name, picture.split, picture.labels[0].label) for picture in pictures]


@pytest.mark.parametrize(
    ("name", "split", "label"),
    [
        ("cat/a.jpg", None, "cat"),
        ("train/cat/a.jpg", "train", "cat"),
        ("validation/cat/a.PNG", "val", "cat"),
        ("cat/train/a.jpg", "train", "cat"),
        ("train/cat/close/a.jpg", "train", "cat"),
        ("train/größe 猫/a.jpg", "train", "größe 猫"),
    ],
)
def test_the_class_is_the_outermost_folder_that_is_no_split(name: str, split: str | None, label: str) -> None:
    pictures, _ = read(name, "test/dog/b.jpg")
    assert (name, split, label) in said(pictures)
    assert {picture.kind for picture in pictures} == {"classification"}


def test_a_folder_around_everything_is_no_class() -> None:
    pictures, _ = read("flowers/train/rose/a.jpg", "flowers/train/tulip/b.jpg", "flowers/val/rose/c.jpg")
    assert [label for _, _, label in said(pictures)] == ["rose", "tulip", "rose"]


def test_one_class_alone_is_read() -> None:
    assert said(read("train/cat/a.jpg", "train/cat/b.jpg")[0]) == [
        ("train/cat/a.jpg", "train", "cat"),
        ("train/cat/b.jpg", "train", "cat"),
    ]


def test_pictures_outside_a_folder_are_named() -> None:
    pictures, findings = read("a.jpg", "cat/b.jpg", f"{'x' * 300}/c.jpg", policy="skip")
    assert said(pictures) == [("cat/b.jpg", None, "cat")]
    assert [problem["item"] for problem in findings.problems] == ["a.jpg", f"{'x' * 300}/c.jpg"[:200]]


def test_lists_say_classes_that_no_folder_can_be_called() -> None:
    lists = {"synsets": "\ufeffa/b\nc\n", "train": "train/a%2Fb/x y.jpg 0\n", "val": "val/c/z.jpg 1\n"}
    pictures, _ = read("train/a%2Fb/x y.jpg", **lists)
    assert said(pictures) == [("train/a%2Fb/x y.jpg", "train", "a/b"), ("val/c/z.jpg", "val", "c")]


@pytest.mark.parametrize("line", ["c/z.jpg 9", "c/z.jpg x", "c/z.jpg -1", "../z.jpg 0", "/z.jpg 0", "c/z.jpg ²"])
def test_a_wrong_line_of_a_list_is_named(line: str) -> None:
    pictures, findings = read(synsets="c\n", train=f"{line}\nc/y.jpg 0\n", policy="skip")
    assert said(pictures) == [("c/y.jpg", "train", "c")]
    assert [problem["item"] for problem in findings.problems] == ["train.txt: line 1"]


@pytest.mark.parametrize("names", [(), ("a.txt",), ("no_label/a.jpg",)])
def test_a_source_without_classes_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="no picture in a folder"):
        read(*names)


def test_names_in_another_encoding_are_refused() -> None:
    with pytest.raises(FormatError, match=r"synsets\.txt"):
        read_all(ImageNetReader(), Files({"synsets.txt": b"gr\xf6\xdfe\n", "train.txt": "a.jpg 0"}))


@pytest.mark.parametrize("label", ["a/b", "..", "no_label", ".", "a\\b", "a:b", "100%", "line\nbreak", "train"])
def test_a_class_may_have_any_name(label: str) -> None:
    image, other = (export_image(place, (8, 8), [label_row(name, (8, 8))]) for place, name in enumerate((label, "cat")))
    target = Written()
    ImageNetWriter().write([image, other], sorted([label, "cat"]), target, Findings())
    target.files[ImageNetWriter().image_name(image)] = b""
    pictures, _ = read_all(ImageNetReader(), target.as_source(), "stop")
    found = {picture.uid: picture.labels[0].label for picture in pictures}
    assert found[image.row["uid"]] == label.replace("\n", "_")
