"""COCO and JSONL files dropped under annotations/: what is good comes in, the rest is named, and no task runs for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.domain.masks import check_segmentation
from dataloop.domain.tasks import Task
from dataloop.services import importing_parts
from tests.actions import image, label, put
from tests.core import RAW, Core

AT = "2026-11-22T12:00:00.000Z"


def drop(core: Core, body: Any, name: str = "labels.json", attempt: int = 12) -> Task:
    """Drop a file and import it; by default this is the last attempt, which waits no longer for files."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    version = core.clients.s3.put_object(Bucket=RAW, Key=f"annotations/{name}", Body=data)["VersionId"]
    id = core.services.importing.import_file(f"annotations/{name}", version, attempt)
    return core.services.tasks.read("default", id)


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "d/one.jpg"}, {"id": 2, "file_name": "d/two.jpg"}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [5, 5, 2, 2], "iscrowd": 1},
        ],
    } | changes


@pytest.fixture
def images(core: Core) -> list[str]:
    return [core.services.annotating.get("default", image(core, name)).data_ids[0] for name in ("one", "two")]


def imported(core: Core) -> list[dict[str, Any]]:
    return [item for item in stored(core) if item["method"] == "import"]


def stored(core: Core) -> list[dict[str, Any]]:
    read = core.services.annotating.get
    return [item | {"labels": list(read("default", item["id"]).labels)} for item in core.entity("ANN")]


def test_a_coco_file_becomes_one_annotation_per_image(core: Core, images: list[str]) -> None:
    task = drop(core, coco())
    assert (task.status, task.result["registered"], task.result["failed"]) == ("SUCCEEDED", 2, 0)
    found = {item["data_ids"][0]: item["labels"] for item in imported(core)}
    assert [entry["bbox_xyxy"] for entry in found[images[0]]] == [[1, 2, 4, 6], [5, 5, 7, 7]]
    # an image without boxes is a statement, too: nothing is there
    assert found[images[1]] == []


def test_importing_again_registers_the_same(core: Core, images: list[str]) -> None:
    drop(core, coco())
    before = imported(core)
    drop(core, coco(), "copy.json")
    assert imported(core) == before


def test_a_folder_of_the_file_is_looked_in_first(core: Core) -> None:
    uid, notice = put(core, "site/x.jpg")
    core.services.registering.register_object(notice)
    task = drop(core, coco(images=[{"id": 1, "file_name": "x.jpg"}]), "site/labels.json")
    assert task.result["registered"] == 1
    assert imported(core)[0]["data_ids"] == [uid]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        {"images": {}},
        {"images": [1]},
        {"images": [{"id": [1], "file_name": "d/one.jpg"}]},
        coco(annotations={"a": 1}),
        coco(categories=[{"id": {}, "name": "cat"}]),
        coco(images=[]),
        {"images": [{"id": 1, "file_name": "\ud800"}]},
        {"images": [{"id": 1, "file_name": "x" * 5000}]},
    ],
)
def test_what_is_no_coco_file_fails_with_a_reason_and_writes_nothing(core: Core, images: list[str], body: Any) -> None:
    task = drop(core, body)
    assert task.status == "FAILED"
    assert task.error and task.error["message"]
    assert imported(core) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"category_id": 8, "bbox": [1, 1, 1, 1]},
        {"category_id": 7, "bbox": [1, 1, 0, 1]},
        {"category_id": 7, "bbox": [1, 1, -1, 1]},
        {"category_id": 7, "bbox": "1111"},
        {"category_id": 7},
        {"category_id": 7, "bbox": [float("nan"), 1, 1, 1]},
        {"category_id": 7, "bbox": [1, 1, float("inf"), 1]},
        {"category_id": 7, "bbox": [1, 1, 10**400, 1]},
        {"category_id": 7, "bbox": [1, 1, 1, 1], "score": 7},
        {"category_id": 7, "bbox": [1, 1, 1, 1], "score": float("nan")},
    ],
)
def test_a_wrong_box_is_named_and_the_other_image_comes_in(
    core: Core, images: list[str], wrong: dict[str, Any]
) -> None:
    good = {"id": 1, "image_id": 2, "category_id": 7, "bbox": [1, 1, 2, 2]}
    task = drop(core, coco(annotations=[good, {"id": 2, "image_id": 1} | wrong]))
    assert task.status == "SUCCEEDED"
    assert task.result["failed"] == 1
    assert task.result["problems"][0]["reason"]
    assert any(item["data_ids"] == [images[1]] and len(item["labels"]) == 1 for item in imported(core))


# The pictures of these tests: 24 × 16.
POLYGON = [[2, 2, 12, 2, 2, 10.5]]
RUNS = {"size": [16, 24], "counts": [52, 2, 330]}


def entry(image_id: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image_id, "category_id": 7} | more


def test_polygons_and_both_forms_of_rle_come_in_as_masks(core: Core, images: list[str]) -> None:
    compressed = check_segmentation(RUNS, "segmentation")
    labels = [
        entry(bbox=[2, 2, 10, 8.5], segmentation=POLYGON, iscrowd=0),
        entry(segmentation=compressed),
        entry(segmentation=RUNS, iscrowd=1),
    ]
    task = drop(core, coco(annotations=labels))
    assert (task.status, task.result["registered"], task.result["failed"]) == ("SUCCEEDED", 2, 0)
    found = {item["data_ids"][0]: item for item in imported(core)}
    assert {item["type"] for item in found.values()} == {"instance_segmentation"}
    assert found[images[0]]["labels"] == [
        {"label": "cat", "bbox_xyxy": [2, 2, 12, 10.5], "segmentation": POLYGON},
        {"label": "cat", "segmentation": compressed},
        {"label": "cat", "segmentation": compressed, "iscrowd": 1},
    ]
    assert found[images[1]]["labels"] == []


@pytest.mark.parametrize(
    ("annotations", "more", "kind"),
    [
        ([], {}, "detection"),
        ([entry(bbox=[1, 1, 2, 2])], {}, "detection"),
        ([entry(bbox=[1, 1, 2, 2], segmentation=[])], {}, "detection"),
        ([entry(bbox=[1, 1, 2, 2], segmentation=POLYGON)], {}, "instance_segmentation"),
        # where some have none, only boxes can be learnt from all
        ([entry(bbox=[1, 1, 2, 2], segmentation=POLYGON), entry(bbox=[3, 3, 2, 2])], {}, "detection"),
        ([entry(), entry(2)], {}, "classification"),
        ([entry(), entry(category_id=8), entry(2)], {}, "multilabel_classification"),
        ([entry()], {}, "multilabel_classification"),
        ([entry(bbox=[])], {}, "multilabel_classification"),
        # the file may say it itself
        ([entry(segmentation=POLYGON)], {"annotationType": "semantic_segmentation"}, "semantic_segmentation"),
        ([entry(segmentation=POLYGON)], {"annotationType": "detection"}, "detection"),
    ],
)
def test_the_type_of_a_file_is_what_it_holds_or_what_it_says(
    core: Core, images: list[str], annotations: list[Any], more: dict[str, Any], kind: str
) -> None:
    categories = [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}]
    task = drop(core, coco(annotations=annotations, categories=categories, **more))
    assert (task.status, task.result["failed"]) == ("SUCCEEDED", 0)
    found = imported(core)
    assert [item["type"] for item in found] == [kind, kind]
    assert sum(len(item["labels"]) for item in found) == len(annotations)


def test_a_type_that_is_no_text_is_refused(core: Core, images: list[str]) -> None:
    task = drop(core, coco(annotationType=["detection"]))
    assert task.status == "FAILED"
    assert task.error and "annotationType" in task.error["message"]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [1, 2, 3, 4, 5, 6],
        {"size": [4, 4], "counts": [1, 2]},
        {"size": [4, 4], "counts": "~~"},
        {"counts": []},
        "polygon",
        7,
    ],
)
def test_a_wrong_mask_is_named_and_the_other_labels_come_in(core: Core, images: list[str], segmentation: Any) -> None:
    wrong = entry(bbox=[1, 1, 2, 2], segmentation=segmentation) | {"id": "wrong"}
    task = drop(core, coco(annotations=[wrong, entry(segmentation=POLYGON), entry(2, segmentation=POLYGON)]))
    assert (task.status, task.result["registered"], task.result["failed"]) == ("SUCCEEDED", 2, 1)
    assert task.result["problems"][0]["item"] == "annotation wrong"
    assert "segmentation" in task.result["problems"][0]["reason"]
    assert [len(item["labels"]) for item in imported(core)] == [1, 1]


def test_masks_come_in_by_jsonl(core: Core) -> None:
    uid = "0" * 32
    good = label(uid, annotationType="polygon", labelInfo=[{"label": "cat", "segmentation": POLYGON}])
    bad = label(uid, annotationType="polygon", labelInfo=[{"label": "cat", "segmentation": [[1, 2, 3]]}])
    task = drop(core, f"{json.dumps(good)}\n{json.dumps(bad)}\n".encode(), "masks.jsonl")
    assert (task.result["registered"], task.result["failed"]) == (1, 1)
    assert "labelInfo[0].segmentation[0]" in task.result["problems"][0]["reason"]
    assert imported(core) == []
    assert stored(core)[0]["labels"] == [{"label": "cat", "segmentation": POLYGON}]


def test_ids_that_come_twice_are_named_and_boxes_are_not_doubled(core: Core, images: list[str]) -> None:
    twice = [{"id": 1, "file_name": "d/one.jpg"}, {"id": 1, "file_name": "d/two.jpg"}]
    task = drop(core, coco(images=twice))
    assert task.result["failed"] == 1
    assert "before" in task.result["problems"][0]["reason"]
    assert sum(len(item["labels"]) for item in imported(core)) == 2


def test_boxes_of_an_unknown_image_are_named(core: Core, images: list[str]) -> None:
    task = drop(core, coco(annotations=[{"id": 1, "image_id": 99, "category_id": 7, "bbox": [1, 1, 1, 1]}]))
    assert "99" in task.result["problems"][0]["item"]


def test_missing_files_are_waited_for_and_come_in_when_they_arrive(core: Core) -> None:
    image(core, "one")
    core.messages(core.settings.ingest_queue_url)
    # given a file that names an image which is not there yet
    task = drop(core, coco(), attempt=1)
    assert task.status == "RUNNING"
    (message,) = [json.loads(entry.body) for entry in _queued(core) if "retry_import" in entry.body]
    # when the image has come and the note is worked on
    image(core, "two")
    core.services.importing.import_file(**message["retry_import"])
    # then the import ends with both
    ended = core.services.tasks.read("default", task.id)
    assert (ended.status, ended.result["registered"], ended.result["missing"]) == ("SUCCEEDED", 2, 0)


def _queued(core: Core) -> list[Any]:
    """Messages of the ingest queue, delayed ones too: moto's own list, because a receive would wait for them."""
    from moto.backends import get_backend

    backend = get_backend("sqs")[core.settings.account_id][core.settings.region]
    return list(backend.queues["ingest"]._messages)


def test_files_that_never_come_are_reported_at_the_end(core: Core) -> None:
    image(core, "one")
    task = drop(core, coco(), attempt=12)
    assert (task.status, task.result["registered"], task.result["missing"]) == ("SUCCEEDED", 1, 1)
    nothing = drop(core, coco(images=[{"id": 1, "file_name": "nowhere.jpg"}]), "none.json")
    assert nothing.status == "FAILED"
    assert nothing.error and "no such file" in nothing.error["message"]


def test_a_jsonl_file_reports_its_bad_lines(core: Core) -> None:
    uid = "0" * 32
    good = json.dumps(label(uid))
    wrong = [
        good.replace("10]", "NaN]"),
        good.replace("10]", "1e999]"),
        json.dumps(label(uid, labelInfo=[{"label": 5}])),
    ]
    lines = [good, "", "not json", "[1]", '{"dataId": "x"}', "[" * 100_000, *wrong]
    task = drop(core, "\n".join(lines).encode(), "labels.jsonl")
    assert (task.status, task.result["registered"], task.result["failed"]) == ("SUCCEEDED", 1, 7)
    assert any(problem["item"] == "line 3" for problem in task.result["problems"])


def test_a_part_is_as_small_as_its_lines_are_large(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    # given lines of about 300 bytes, and room for two of them in a part
    monkeypatch.setattr(importing_parts, "PART_BYTES", 500)
    lines = [json.dumps(label(f"{n:032x}", owner="o" * 150)) for n in range(5)]
    task = drop(core, "\n".join(lines).encode(), "large.jsonl")
    assert task.result["registered"] == 5
    parts = [body for key, body in core.objects().items() if "/parts/" in key]
    assert [body.count(b"\n") for body in parts] == [2, 2, 1]


def test_another_kind_of_file_is_refused_and_an_ended_import_is_not_repeated(core: Core) -> None:
    task = drop(core, b"<xml/>", "labels.xml")
    assert task.status == "FAILED"
    version = core.clients.s3.head_object(Bucket=RAW, Key="annotations/labels.xml")["VersionId"]
    core.services.importing.import_file("annotations/labels.xml", version)
    assert core.services.tasks.read("default", task.id) == task
