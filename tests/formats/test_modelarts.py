"""ModelArts' manifests: lines and VOC files as its exports have them, wrong ones, and what our writer makes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from dataloop.formats.modelarts import ModelArtsReader
from dataloop.formats.modelarts_writer import ModelArtsWriter
from dataloop.formats.pixels import box_of, labels_of, rings_of, size_of
from dataloop.formats.sources import FolderSource
from dataloop.formats.surface import ExportImage, Findings, FormatError
from tests.formats.in_memory import SAMPLES, Files, Written, read_all
from tests.formats.versions import export_image, label_row, labels_in, versions

EXAMPLES = settings(max_examples=60, deadline=None)


def test_a_manifest_as_modelarts_writes_it() -> None:
    source = FolderSource(SAMPLES / "modelarts")
    findings = Findings("stop")
    assert ModelArtsReader().recognises(source)
    flowers, cat, street, bike = ModelArtsReader().read(source, findings)
    assert (flowers.file_name, flowers.kind, flowers.split) == ("flowers/8705462313.jpg", "classification", "train")
    assert [(label.label, label.score) for label in cat.labels] == [("cat", None), ("animal", 0.8)]
    assert cat.labels[0].attributes == {
        "color": "white",
        "kind": "Persian cat",
        "hard": True,
        "hard-coefficient": 0.8,
        "annotated-by": "human",
        "creation-time": "2025-01-23 11:30:30",
    }
    assert (cat.kind, cat.split, cat.attributes["hard"]) == ("multilabel_classification", "val", True)
    bag, boots, ball = street.labels
    assert (street.split, street.width, street.height, street.kind) == ("test", 767, 959, "detection")
    assert (bag.box, bag.score) == ((108, 101, 251, 238), 0.75)
    assert bag.attributes == {"occluded": True, "colour": "绿色", "颜色2": "蓝色"}
    assert boots.segmentation == [[373, 264, 500, 198, 437, 76]]  # its last point repeats the first
    assert len(ball.segmentation[0]) == 144  # type: ignore[index]
    assert (bike.kind, bike.labels[0].segmentation) == ("semantic_segmentation", [[71, 48, 75, 73, 49, 69]])
    assert findings.losses == {
        "shape point": 1,
        "circle, kept as polygon": 1,
        "sample without labels": 2,
        "sample that is a text": 1,
        "label of type audio_classification": 1,
    }


def voc(objects: str, size: str = "<size><width>40</width><height>30</height></size>") -> str:
    return f"<annotation><filename>a.jpg</filename>{size}{objects}</annotation>"


def entry(shape: str, name: str = "cup") -> str:
    return f"<object><name>{name}</name>{shape}</object>"


BOX = entry("<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>")


def manifest(*annotations: Any, **fields: Any) -> str:
    return json.dumps({"source": "s3://b/a.jpg", "annotation": list(annotations)} | fields)


def objects_in(address: str) -> dict[str, Any]:
    return {"type": "modelarts/object_detection", "annotation-loc": address, "annotation-format": "PASCAL VOC"}


def test_the_type_may_lack_its_prefix_and_names_their_hyphens() -> None:
    text = manifest({"type": "object_detection", "annotation_loc": "./voc/a.xml", "annotation_format": "PASCAL VOC"})
    (picture,), _ = read_all(ModelArtsReader(), Files({"m/a.manifest": text, "m/voc/a.xml": voc(BOX)}), "stop")
    assert picture.labels[0].box == (1, 2, 5, 6)


def test_objects_of_several_files_are_put_together() -> None:
    files = Files(
        {"a.manifest": manifest(objects_in("1.xml"), objects_in("2.xml")), "1.xml": voc(BOX), "2.xml": voc(BOX)}
    )
    (picture,), _ = read_all(ModelArtsReader(), files, "stop")
    assert len(picture.labels) == 2


def test_a_file_without_objects_says_that_nothing_is_there() -> None:
    files = Files({"a.manifest": manifest(objects_in("1.xml")), "1.xml": voc("")})
    (picture,), findings = read_all(ModelArtsReader(), files, "stop")
    assert (picture.labels, picture.kind) == ((), "detection")
    assert not findings.losses


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>' + voc(entry("", "&b;"))
FOREIGN = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + voc(entry("", "&a;"))
WRONG: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "is not JSON"),
    "no address": ('{"source": 7, "annotation": []}', "source"),
    "an address outside": (manifest(source="obs://b/../../a"), "stay inside"),
    "no list": (json.dumps({"source": "s3://b/a.jpg", "annotation": 3}), "annotation"),
    "no objects": (manifest(3), "annotation"),
    "too many labels": (manifest(*[{}] * 10_001), "at most 10000"),
    "a class without a name": (manifest({"type": "modelarts/image_classification"}), "name"),
    "a confidence of 3": (manifest({"type": "image_classification", "name": "a", "confidence": 3}), "0 to 1"),
    "no file of the objects": (manifest({"type": "object_detection"}), "annotation-loc"),
    "another format": (manifest(objects_in("1.xml") | {"annotation-format": "COCO"}), "PASCAL VOC"),
    "a file that is not there": (manifest(objects_in("s3://b/none.xml")), "not among the files"),
    "a file outside": (manifest(objects_in("../../etc/passwd")), "not among the files"),
    "no XML": (manifest(objects_in("text.xml")), "is not XML"),
    "another XML": (manifest(objects_in("other.xml")), "must be <annotation>"),
    "another encoding": (manifest(objects_in("latin.xml")), "is not XML"),
    "an entity bomb": (manifest(objects_in("bomb.xml")), "DTD"),
    "an entity that is a file": (manifest(objects_in("foreign.xml")), "DTD"),
    "endless nesting": (manifest(objects_in("deep.xml")), "deeper than 64"),
    "a million elements in one object": (manifest(objects_in("wide.xml")), "elements of one object"),
    "too many objects": (manifest(objects_in("many.xml")), "at most 10000"),
}
FILES = {
    "text.xml": "text",
    "other.xml": "<annotations/>",
    "latin.xml": '<?xml version="1.0" encoding="utf-8"?><annotation>é</annotation>'.encode("latin-1"),
    "bomb.xml": BOMB,
    "foreign.xml": FOREIGN,
    "deep.xml": "<annotation>" + "<a>" * 1_000,
    "wide.xml": voc(f"<object>{'<a/>' * 101_001}</object>"),
    "many.xml": voc(BOX * 10_001),
    "good.xml": voc(BOX),
}


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_sample_is_named_and_the_others_are_read(text: str, reason: str) -> None:
    good = manifest(objects_in("good.xml"), source="s3://b/good.jpg")
    files = Files({"a.manifest": f"{good}\n{text}\n"} | FILES)
    pictures, findings = read_all(ModelArtsReader(), files)
    assert [picture.file_name for picture in pictures] == ["good.jpg"]
    assert [problem["item"] for problem in findings.problems] == ["a.manifest: line 2"]
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match="line 2"):
        read_all(ModelArtsReader(), files, "stop")


WRONG_OBJECTS = {
    "no name": entry("", ""),
    "no shape": entry(""),
    "NaN": BOX.replace(">1<", ">nan<"),
    "an infinite corner": BOX.replace(">5<", ">1e999<"),
    "a box without width": BOX.replace(">5<", ">1<"),
    "half a polygon": entry("<polygon><x1>1</x1><y1>2</y1><x2>3</x2></polygon>"),
    "a circle that is none": entry("<circle><cx>1</cx><cy>1</cy></circle>"),
    "a confidence that is none": BOX.replace("<bndbox>", "<confidence>x</confidence><bndbox>"),
}


@pytest.mark.parametrize("wrong", WRONG_OBJECTS.values(), ids=WRONG_OBJECTS)
def test_a_wrong_object_is_named_and_the_others_are_read(wrong: str) -> None:
    files = Files({"a.manifest": manifest(objects_in("1.xml")), "1.xml": voc(BOX + wrong)})
    (picture,), findings = read_all(ModelArtsReader(), files)
    assert [label.box for label in picture.labels] == [(1, 2, 5, 6)]
    assert [problem["item"] for problem in findings.problems] == ["1.xml: object 1"]
    with pytest.raises(FormatError, match="object 1"):
        read_all(ModelArtsReader(), files, "stop")


def test_a_sample_that_is_named_again_is_a_problem() -> None:
    text = manifest({"type": "image_classification", "name": "a"})
    pictures, findings = read_all(ModelArtsReader(), Files({"a.manifest": f"{text}\n{text}"}))
    assert len(pictures) == 1
    assert findings.problems[0]["item"] == "a.manifest: line 2"


def written(images: list[ExportImage], prefix: str = "") -> tuple[Written, Findings]:
    target, findings = Written(), Findings("stop")
    ModelArtsWriter(prefix).write(iter(images), labels_in(images), target, findings)
    return target, findings


def close(one: Any, other: Any) -> bool:
    return all(abs(a - b) < 0.0021 for a, b in zip(one, other, strict=True))


@EXAMPLES
@given(versions("box", "polygons", "mask"))
def test_boxes_and_outlines_come_back(images: list[ExportImage]) -> None:
    target, findings = written(images)
    pictures, _ = read_all(ModelArtsReader(), target.as_source(), "stop")
    found = {picture.file_name: picture for picture in pictures}
    has_objects = bool(labels_in(images))
    for image in images if has_objects else ():
        picture, size = found[f"images/{image.file_name}"], size_of(image.row)
        assert (picture.split, picture.width, picture.height) == (image.split, *size)
        wanted: list[Any] = []
        for row in labels_of(image.row):
            # An object in pieces comes back as several.
            pieces = [(None, ring) for ring in rings_of(row.get("polygons", []), size)] or [(box_of(row, size), None)]
            wanted += [(row["label"], row["score"], *piece) for piece in pieces]
        for (name, score, box, ring), label in zip(wanted, picture.labels, strict=True):
            assert (label.label, label.score) == (name, score)
            assert box is None or close(box, label.box)
            assert ring is None or close(ring, label.segmentation[0])  # type: ignore[index]
    counts: Counter[str] = Counter()
    for image in images:
        for row in labels_of(image.row):
            counts["mask"] += "mask" in row
            counts["crowd"] += bool(row.get("crowd"))
            counts["object in pieces, written as several"] += len(row.get("polygons", [])) > 1
    for word, count in counts.items():
        assert findings.losses.get(word, 0) == count, word


@EXAMPLES
@given(versions("whole", max_labels=3))
def test_classes_come_back_with_their_scores(images: list[ExportImage]) -> None:
    target, findings = written(images)
    pictures, reading = read_all(ModelArtsReader(), target.as_source(), "stop")
    found = {picture.file_name: picture for picture in pictures}
    unlabelled = 0
    for image in images:
        rows = list(labels_of(image.row))
        unlabelled += not rows
        if rows:
            picture = found[f"images/{image.file_name}"]
            assert [(label.label, label.score) for label in picture.labels] == [(r["label"], r["score"]) for r in rows]
    assert reading.losses.get("sample without labels", 0) == unlabelled
    assert findings.losses.get("image without a class", 0) == unlabelled


def test_addresses_usage_and_who_labelled() -> None:
    image = export_image(1, (9, 9), [label_row("cat", (9, 9), (1, 1, 5, 5))], split="val", method="auto")
    target, _ = written([image], "obs://bucket/export/")
    line = json.loads(target.files["dataset.manifest"])
    uid = image.row["uid"]
    assert line["source"] == "obs://bucket/export/images/site/1.jpg"
    assert (line["usage"], line["sample-type"], line["id"]) == ("EVAL", 0, uid)
    assert line["annotation"] == [
        {
            "type": "modelarts/object_detection",
            "annotated-by": "modelarts/active-learning",
            "annotation-loc": f"obs://bucket/export/annotation/{uid}.xml",
            "annotation-format": "PASCAL VOC",
        }
    ]


def test_what_xml_cannot_spell_is_counted() -> None:
    size = (9, 9)
    image = export_image(1, size, [label_row("a\x01b", size, (1, 1, 5, 5))])
    target, findings = written([image])
    (picture,), _ = read_all(ModelArtsReader(), target.as_source(), "stop")
    assert picture.labels[0].label == "a\ufffdb"
    assert findings.losses["character that XML cannot hold"] == 1
