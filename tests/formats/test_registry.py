"""Formats are found by name, and every source is recognised by exactly one reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataloop.catalog.formats import FORMATS
from dataloop.catalog.task_types import TASK_TYPES
from dataloop.domain.errors import InvalidInput
from dataloop.formats import surface
from dataloop.formats.registry import names_read, names_written, reader_of, recognised, writer_of
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import FormatError
from tests.formats.in_memory import SAMPLES, Files
from tests.pictures import picture

PACKAGE = Path(surface.__file__).parent
JPEG, PNG = picture("JPEG"), picture("PNG")
BOX = "0 0.5 0.5 0.25 0.25\n"
VOC = "<annotation><filename>a.jpg</filename><size><width>24</width><height>16</height></size></annotation>"
COCO = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}
LATE_COCO = {
    "annotations": [{"id": n, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]} for n in range(2000)],
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "categories": [{"id": 1, "name": "cat"}],
}
LINE = {"dataId": ["0" * 32], "annotationType": "detection", "labelInfo": []}

SOURCES = {
    ("coco", "one file"): {"labels.json": json.dumps(COCO)},
    ("coco", "annotations first"): {"labels.json": json.dumps(LATE_COCO)},
    ("coco", "UTF-16"): {"labels.json": json.dumps(COCO).encode("utf-16")},
    ("coco", "folders"): {"annotations/instances_train2017.json": json.dumps(COCO), "train2017/a.jpg": JPEG},
    ("coco", "Roboflow"): {"train/_annotations.coco.json": json.dumps(COCO), "train/a.jpg": JPEG, "README.txt": "x"},
    ("voc", "devkit"): {
        "VOC2012/Annotations/a.xml": VOC,
        "VOC2012/JPEGImages/a.jpg": JPEG,
        "VOC2012/ImageSets/Main/train.txt": "a\n",
        "VOC2012/SegmentationClass/a.png": PNG,
        "labelmap.txt": "background:0,0,0::\n",
    },
    ("voc", "LabelImg"): {"a.xml": '<?xml version="1.0"?>\n' + VOC, "a.jpg": JPEG, "classes.txt": "cat\n"},
    ("yolo", "Ultralytics"): {"data.yaml": "train: images/train\nnames: [cat]\n", "labels/train/a.txt": BOX},
    ("yolo", "Darknet"): {
        "obj.data": "classes = 1\n",
        "obj.names": "cat\n",
        "train.txt": "data/obj_train_data/a.jpg\n",
        "obj_train_data/a.txt": BOX,
        "obj_train_data/a.jpg": JPEG,
    },
    ("yolo", "LabelImg"): {"classes.txt": "cat\n", "a.txt": BOX, "a.jpg": JPEG},
    ("imagenet", "folders"): {"train/cat/a.jpg": JPEG, "val/dog/b.jpg": JPEG, "LICENSE.txt": "x"},
    ("imagenet", "lists"): {"synsets.txt": "cat\n", "train.txt": "train/cat/a.jpg 0\n"},
    ("masks", "VOC"): {
        "labelmap.txt": "background:0,0,0::\n",
        "SegmentationClass/a.png": PNG,
        "JPEGImages/a.jpg": JPEG,
    },
    ("masks", "CamVid"): {"label_colors.txt": "0 0 0 background\n", "train/a.png": PNG, "trainannot/a.png": PNG},
    ("masks", "Roboflow"): {"train/_classes.csv": "Pixel Value, Class\n0, background\n", "train/a_mask.png": PNG},
    ("masks", "names"): {"classes.txt": "background\ncat\n", "masks/a.png": PNG, "images/a.jpg": JPEG},
    ("jsonl", "ours"): {"labels.jsonl": json.dumps(LINE)},
    ("labelme", "one file"): {"a.json": json.dumps({"shapes": [], "imagePath": "a.jpg", "imageData": None})},
    ("label_studio", "export"): {"a.json": '[{"id": 1, "annotations": [{"result": []}], "data": {"image": "a.jpg"}}]'},
    ("ground_truth", "lines"): {"output.manifest": '{"source-ref": "s3://b/a.jpg", "l": 0, "l-metadata": {}}'},
    ("modelarts", "lines"): {"V1.manifest": '{"source": "s3://b/a.jpg", "usage": "TRAIN", "annotation": []}'},
    ("cvat", "images"): {"annotations.xml": "<annotations><version>1.1</version></annotations>", "images/a.jpg": JPEG},
}


@pytest.mark.parametrize("what", SOURCES, ids=" ".join)
def test_a_source_is_recognised_by_one_reader_and_no_other(what: tuple[str, str]) -> None:
    source = Files(SOURCES[what])
    assert [name for name in sorted(names_read()) if reader_of(name).recognises(source)] == [what[0]]
    assert what[0] == recognised(source).NAME


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir()))
def test_a_file_of_the_tool_itself_is_recognised(name: str) -> None:
    assert name == recognised(FolderSource(SAMPLES / name)).NAME


def test_all_formats_have_a_source_above() -> None:
    assert {name for name, _ in SOURCES} == names_read()


@pytest.mark.parametrize("files", [{}, {"a.txt": "hello"}, {"a.json": "{}"}, {"a.xml": "<a/>"}, {"a.jpg": JPEG}])
def test_what_nobody_knows_is_refused_with_the_names_of_what_there_is(files: dict[str, bytes | str]) -> None:
    with pytest.raises(FormatError, match=r"coco, voc.*say which"):
        recognised(Files(files))


def test_what_two_know_is_not_decided_by_chance() -> None:
    with pytest.raises(FormatError, match="could be one of coco, voc"):
        recognised(Files(SOURCES["coco", "one file"] | SOURCES["voc", "LabelImg"]))


@pytest.mark.parametrize("suffix", [".json", ".xml", ".jsonl", ".manifest", ".yaml", ".txt", ".png", ".names", ".csv"])
@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\xff\xff\xff", b"[" * 70_000, b"\0" * 50, b"<" * 99, b"{" * 99])
def test_broken_files_are_nobodys_and_break_no_reader(suffix: str, data: bytes) -> None:
    source = Files({f"a{suffix}": data, f"labels/classes{suffix}": data, f"obj_train_data/b{suffix}": data})
    for name in names_read():
        reader_of(name).recognises(source)


def test_the_catalog_names_what_there_is() -> None:
    assert {name for name, entry in FORMATS.items() if entry.reads} == names_read()
    assert {name for name, entry in FORMATS.items() if entry.writes} == names_written()
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    for name, entry in FORMATS.items():
        assert (entry.name, name in modules) == (name, True)
        if entry.reads:
            assert name == reader_of(name).NAME
        if entry.writes:
            assert name == writer_of(name).NAME
    defined = {
        line.split("(")[0].split(":")[0].removeprefix("class ")
        for path in PACKAGE.glob("*.py")
        if path.stem != "surface"
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("class ") and line.rstrip(":").endswith(("Reader", "Writer"))
    }
    known = [reader_of(name) for name in names_read()], [writer_of(name) for name in names_written()]
    assert {type(entry).__name__ for side in known for entry in side} == defined


def test_the_catalog_speaks_of_task_types() -> None:
    names = {entry.name for entry in TASK_TYPES}
    assert all(entry.kinds and names.issuperset(entry.kinds) for entry in FORMATS.values())


@pytest.mark.parametrize("name", ["", "COCO", "parquet", "tfrecord"])
def test_another_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InvalidInput, match="coco"):
        reader_of(name)
