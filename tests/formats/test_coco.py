"""COCO's JSON: lists in any order, of any size, and files that are wrong."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dataloop.domain.annotations import MAX_LABELS
from dataloop.domain.masks import check_segmentation
from dataloop.formats.coco import CocoReader
from dataloop.formats.surface import Findings, FormatError, Picture
from tests.docs.pages import ROOT
from tests.formats.in_memory import Files, Made, read_all

POLYGON = [[2, 2, 12, 2, 2, 10.5]]
RUNS = {"size": [16, 24], "counts": [52, 2, 330]}


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "d/one.jpg"}, {"id": 2, "file_name": "d/two.jpg"}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 1, "category_id": 8, "bbox": [5, 5, 2, 2], "iscrowd": 1},
        ],
    } | changes


def entry(image_id: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image_id, "category_id": 7} | more


def read(document: Any, name: str = "labels.json", policy: str = "skip") -> tuple[list[Picture], Findings]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_all(CocoReader(), Files({name: data}), policy)


@pytest.mark.parametrize("order", list(itertools.permutations(["images", "annotations", "categories"])), ids=",".join)
def test_the_lists_may_come_in_any_order(order: tuple[str, ...]) -> None:
    document = coco()
    pictures, findings = read({"info": {"year": 2026}} | {name: document[name] for name in order}, policy="stop")
    one, two = pictures
    assert [(label.label, label.box, label.crowd) for label in one.labels] == [
        ("cat", (1, 2, 4, 6), False),
        ("dog", (5, 5, 7, 7), True),
    ]
    # an image without boxes is a statement, too: nothing is there
    assert (two.file_name, two.labels, two.kind) == ("d/two.jpg", (), "detection")
    assert findings.to_json() == Findings("stop").to_json()


def test_facts_of_an_image_are_read() -> None:
    image = {"id": "x", "file_name": ".\\d\\one.jpg", "width": 640, "height": 480, "uid": "0" * 32}
    label = {
        "id": 1,
        "image_id": "x",
        "category_id": 7,
        "bbox": [1, 1, 2, 2],
        "score": 0.5,
        "attributes": {"worn": True},
    }
    (found,), _ = read(coco(images=[image | {"attributes": {"site": "a"}}], annotations=[label]), policy="stop")
    assert (found.file_name, found.width, found.height, found.uid) == ("d/one.jpg", 640, 480, "0" * 32)
    assert (found.attributes, found.labels[0].attributes, found.labels[0].score) == ({"site": "a"}, {"worn": True}, 0.5)


def test_masks_come_in_one_form() -> None:
    compressed = check_segmentation(RUNS, "segmentation")
    annotations = [entry(segmentation=POLYGON), entry(segmentation=RUNS), entry(segmentation=compressed, iscrowd=1)]
    (one, two), _ = read(coco(annotations=annotations), policy="stop")
    assert [label.segmentation for label in one.labels] == [POLYGON, compressed, compressed]
    assert [label.crowd for label in one.labels] == [False, False, True]
    assert one.kind == two.kind == "instance_segmentation"


@pytest.mark.parametrize(
    ("annotations", "more", "kind"),
    [
        ([], {}, "detection"),
        ([entry(bbox=[1, 1, 2, 2])], {}, "detection"),
        ([entry(bbox=[1, 1, 2, 2], segmentation=[])], {}, "detection"),
        ([entry(bbox=[1, 1, 2, 2], segmentation=POLYGON)], {}, "instance_segmentation"),
        ([entry(bbox=[1, 1, 2, 2], segmentation=POLYGON), entry(bbox=[3, 3, 2, 2])], {}, "detection"),
        ([entry(), entry(2)], {}, "classification"),
        ([entry(), entry(category_id=8), entry(2)], {}, "multilabel_classification"),
        ([entry()], {}, "multilabel_classification"),
        ([entry(segmentation=POLYGON)], {"annotationType": "semantic_segmentation"}, "semantic_segmentation"),
        ([entry(segmentation=POLYGON)], {"annotationType": None}, "instance_segmentation"),
    ],
)
def test_what_a_file_is_about_is_what_it_says_or_holds(annotations: Any, more: dict[str, Any], kind: str) -> None:
    pictures, _ = read(coco(annotations=annotations) | more, policy="stop")
    assert {picture.kind for picture in pictures} == {kind}
    assert sum(len(picture.labels) for picture in pictures) == len(annotations)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"category_id": 9, "bbox": [1, 1, 1, 1]}, "is not among the categories (got 9)"),
        ({"category_id": "7", "bbox": [1, 1, 1, 1]}, "is not among the categories (got '7')"),
        ({"bbox": [1, 1, 0, 1]}, "above 0"),
        ({"bbox": [1, 1, -1, 1]}, "above 0"),
        ({"bbox": "1111"}, "must be [x, y, width, height]"),
        ({"bbox": {"x": 1}}, "must be [x, y, width, height]"),
        ({}, "must be [x, y, width, height]"),
        ({"bbox": [float("nan"), 1, 1, 1]}, "finite"),
        ({"bbox": [1, 1, float("inf"), 1]}, "finite"),
        ({"bbox": [1, 1, 10**400, 1]}, "finite"),
        ({"bbox": [1.5, 1, 10**400, 1]}, "finite"),
        ({"bbox": [1, 1, 1, 1], "score": 7}, "score"),
        ({"bbox": [1, 1, 1, 1], "score": float("nan")}, "score"),
        ({"segmentation": [[1, 2, 3, 4]]}, "3 points"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "finite"),
        ({"segmentation": {"size": [4, 4], "counts": "~~"}}, "counts"),
        ({"segmentation": {"size": [10**6, 10**6], "counts": []}}, "size"),
    ],
)
def test_a_wrong_label_is_named_and_the_others_are_read(wrong: dict[str, Any], reason: str) -> None:
    bad = {"id": "bad", "image_id": 1, "category_id": 7} | wrong
    document = coco(annotations=[bad, entry(bbox=[1, 1, 2, 2]), entry(2, bbox=[1, 1, 2, 2])])
    pictures, findings = read(document)
    assert [len(picture.labels) for picture in pictures] == [1, 1]
    assert (findings.failed, findings.problems[0]["item"]) == (1, "annotation bad")
    assert reason in findings.problems[0]["reason"]
    with pytest.raises(FormatError, match="annotation bad"):
        read(document, policy="stop")


def test_an_image_whose_labels_are_all_wrong_is_not_called_empty() -> None:
    pictures, findings = read(coco(annotations=[entry(bbox=[1, 1, 0, 0])]))
    assert [picture.file_name for picture in pictures] == ["d/two.jpg"]
    assert (findings.failed, findings.losses) == (1, {"image: none of its labels is sound": 1})


def test_under_stop_nothing_is_given_before_what_is_wrong_is_found() -> None:
    document = coco(annotations=[entry(bbox=[1, 1, 2, 2]), entry(2, category_id=99, bbox=[1, 1, 2, 2])])
    pictures = CocoReader().read(Files({"a.json": json.dumps(document)}), Findings("stop"))
    with pytest.raises(FormatError, match="categories"):
        next(pictures)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 1, "file_name": "two.jpg"}], "has an id that came before"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "one.jpg"}], "came before in this source"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2}], "file_name"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": ["a"]}], "file_name"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "../../etc/passwd"}], "inside its folder"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "/etc/passwd"}], "inside its folder"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "C:\\x.jpg"}], "inside its folder"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "a\0.jpg"}], "inside its folder"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "\ud800.jpg"}], "half a character"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": "\udfff"}], "file_name"),
        ([{"id": 1, "file_name": "one.jpg"}, {"id": 1, "file_name": "\udfff"}], "came before"),
    ],
)
def test_a_wrong_image_is_named_and_the_other_keeps_its_labels(images: list[Any], reason: str) -> None:
    pictures, findings = read(coco(images=images))
    assert [(picture.file_name, len(picture.labels)) for picture in pictures] == [("one.jpg", 2)]
    assert findings.failed == 1
    assert reason in findings.problems[0]["reason"]
    json.dumps(findings.to_json(), ensure_ascii=False).encode()


def test_labels_of_an_unknown_image_are_named_once() -> None:
    _, findings = read(coco(annotations=[entry(99, bbox=[1, 1, 1, 1]), entry(99, bbox=[1, 1, 1, 1])]))
    assert findings.problems == [{"item": "image 99", "reason": "is not among the images"}]


def test_one_name_for_two_categories_and_two_names_for_one() -> None:
    categories = [{"id": 7, "name": "cat"}, {"id": 8, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 9, "name": " "}]
    (one, _), findings = read(coco(categories=categories))
    assert [label.label for label in one.labels] == ["cat", "cat"]
    assert [problem["item"] for problem in findings.problems] == ["category 7", "category 9"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"images": [' + b"[" * 100_000,
        b'{"images": [' + b"1" * 5000 + b"]}",
        b"\xff\xfe\x00",
        b'{"images": {}}',
        b'{"images": null}',
        b'{"images": [1]}',
        b'{"images": [], "images": []}',
        b'{"images": [] "categories": []}',
        b'{"images": [],}',
        b'{"images": [{}}',
        b'{"images": []} {"images": []}',
        b'{"images": [], "annotations": {"a": 1}}',
        b'{"images": [{"id": [1], "file_name": "a.jpg"}]}',
        b'{"images": [], "annotations": [{"segments_info": []}]}',
        b'{"images": [], "annotationType": ["detection"]}',
        '{"images": [{"id": 1, "file_name": "größe.jpg"}]}'.encode("latin-1"),
        json.dumps(coco()).encode()[:-20],
        json.dumps(coco()).encode("utf-16")[:-21],
    ],
)
def test_what_is_no_coco_file_is_refused_whatever_the_policy(data: bytes) -> None:
    for policy in ("skip", "stop"):
        with pytest.raises(FormatError, match=r"labels\.json"):
            read(data, policy=policy)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_all_encodings_of_json_are_read(encoding: str) -> None:
    document = coco(images=[{"id": 1, "file_name": "größe 猫 😀.jpg"}])
    (one,), _ = read(json.dumps(document, ensure_ascii=False).encode(encoding), policy="stop")
    assert one.file_name == "größe 猫 😀.jpg"


def test_files_of_a_split_are_read_together_and_say_their_split() -> None:
    documents = {
        "set/annotations/instances_train2017.json": coco(images=[{"id": 1, "file_name": "a.jpg"}]),
        "set/annotations/instances_val2017.json": coco(images=[{"id": 1, "file_name": "b.jpg"}]),
        "set/annotations/captions_val2017.json": coco(),
    }
    pictures, findings = read_all(CocoReader(), Files({name: json.dumps(body) for name, body in documents.items()}))
    assert [(picture.file_name, picture.split) for picture in pictures] == [
        ("set/a.jpg", "train"),
        ("set/b.jpg", "val"),
    ]
    assert findings.losses == {"file beside instances_*.json (captions, keypoints)": 1}


def test_a_folder_says_the_split_where_the_file_does_not() -> None:
    document = json.dumps(coco(images=[{"id": 1, "file_name": "a.jpg"}]))
    (found,), _ = read_all(CocoReader(), Files({"valid/_annotations.coco.json": document}), "stop")
    assert (found.file_name, found.split) == ("valid/a.jpg", "val")


def test_an_image_with_more_labels_than_an_annotation_may_have_is_named() -> None:
    annotations = [entry(bbox=[1, 1, 2, 2])] * (MAX_LABELS + 1)
    pictures, findings = read(coco(annotations=annotations))
    assert [picture.file_name for picture in pictures] == ["d/two.jpg"]
    assert findings.problems[0]["item"] == "d/one.jpg"


@pytest.mark.slow
def test_a_million_objects_in_one_file_are_read_in_flat_memory() -> None:
    few, many = (read_apart(annotations) for annotations in (50_000, 1_000_000))
    assert many["labels"] == 1_000_000
    assert many["peak_mb"] < few["peak_mb"] + 20


def read_apart(annotations: int) -> dict[str, float]:
    """Read in a process of its own, whose memory is nobody else's."""
    command = [sys.executable, "-m", "tests.formats.long_coco", str(annotations)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def test_one_endless_value_ends_with_an_error_and_not_with_the_memory() -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"images": [{"file_name": "'
        for _ in range(100):
            yield b"x" * (1 << 20)
        yield b'"}]}'

    with pytest.raises(FormatError, match="JSON"):
        list(CocoReader().read(Made("a.json", parts, b""), Findings()))
