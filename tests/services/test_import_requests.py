"""Imports by request: every readable format, both policies, and what is left after a crash, a repeat or a stop."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from moto.backends import get_backend

from dataloop.catalog.formats import FORMATS
from dataloop.domain.errors import DomainError, IllegalTransition, InvalidInput, NotFound
from dataloop.domain.residency import Clearance
from dataloop.domain.tasks import Task
from dataloop.services import importing, importing_parts
from dataloop.services.steps import run_step
from tests.actions import info, meta, put, run_build
from tests.core import RAW, Core
from tests.handlers import handle
from tests.services.label_files import BOX, FILES, KINDS, NAMES, PICTURES

COCO = json.loads(str(FILES["coco"]["labels.json"]))


def step(core: Core, name: str, task_id: str, **given: Any) -> Any:
    return run_step(core.again(), {"step": name, "input": {"tenant": "default", "task_id": task_id, **given}})


def part_keys(core: Core, prefix: str) -> list[str]:
    return sorted(key for key in core.objects() if key.startswith(prefix))


def run_import(core: Core, task_id: str) -> Task:
    """The states of dataset_import, one after the other; an error ends the task as the machine does."""
    try:
        plan = step(core, "import.read", task_id)
        for key in part_keys(core, plan["parts_prefix"]):
            step(core, "import.register", task_id, part_key=key)
        step(core, "import.finish", task_id, attempt=plan["attempt"])
    except DomainError as error:
        core.again().tasks.fail("default", task_id, type(error).__name__, str(error))
    return core.services.tasks.read("default", task_id)


def ask(core: Core, **body: Any) -> Task:
    """A request, and its import."""
    return run_import(core, core.services.importing.request("default", body).id)


def store(core: Core, files: dict[str, Any], folder: str = "imports/demo/") -> None:
    for name, body in files.items():
        data = (
            body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        )
        core.clients.s3.put_object(Bucket=RAW, Key=folder + name, Body=data)


def photograph(core: Core, folder: str = "demo/") -> list[str]:
    """Two registered pictures; returns their uids."""
    uids = []
    for name in NAMES:
        uid, notice = put(core, folder + name)
        core.services.registering.register_object(notice)
        uids.append(uid)
    return uids


def annotations(core: Core) -> dict[str, Any]:
    """What is registered, by uid."""
    read = core.services.annotating.get
    return {item["data_ids"][0]: item | {"labels": read("default", item["id"]).labels} for item in core.entity("ANN")}


def archive(files: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        for name, body in files.items():
            packed.writestr(name, body)
    return target.getvalue()


def test_a_picture_is_found_below_the_folder_that_its_file_leaves_out(core: Core) -> None:
    # given COCO's own layout: instances_val2017.json names b.jpg, which lies in val2017/; and another b.jpg in train2017/
    uids = {}
    for place in ("train2017/a.jpg", "val2017/b.jpg", "train2017/b.jpg"):
        uids[place], notice = put(core, f"demo/images/{place}")
        core.services.registering.register_object(notice)
    files = {"annotations/instances_train2017.json": "a.jpg", "annotations/instances_val2017.json": "b.jpg"}
    store(core, {name: one_image(named) for name, named in files.items()})

    # when
    task = ask(core, prefix="imports/demo", images="demo")

    # then each file means the picture of its split
    assert (task.status, task.result["registered"]) == ("SUCCEEDED", 2)
    assert set(annotations(core)) == {uids["train2017/a.jpg"], uids["val2017/b.jpg"]}


def test_a_name_that_several_pictures_have_is_not_guessed(core: Core) -> None:
    for folder in ("one", "two"):
        core.services.registering.register_object(put(core, f"demo/{folder}/a.jpg")[1])
    store(core, {"labels.json": one_image("a.jpg"), "other.json": one_image("three/a.jpg")})
    for name in ("labels.json", "other.json"):
        task = ask(core, object_name=f"imports/demo/{name}", images="demo")
        assert (task.status, annotations(core)) == ("FAILED", {})
        assert "no such file in the bucket" in str(task.error)


def test_shares_of_a_picture_that_is_just_being_registered_get_its_size_from_the_object(core: Core) -> None:
    # given a picture called by its uid, whose information came before its object's event
    uid, _ = put(core, "elsewhere/a.jpg")
    core.clients.s3.copy_object(Bucket=RAW, Key=f"demo/{uid}.jpg", CopySource={"Bucket": RAW, "Key": "elsewhere/a.jpg"})
    core.services.registering.register_metadata("default", {"uid": uid, "region": "EU"})
    store(core, {"data.yaml": "names: [cat]", f"labels/{uid}.txt": "0 0.5 0.5 0.5 0.5"})
    task = ask(core, prefix="imports/demo", images="demo", format="yolo", on_error="skip")
    assert task.status == "SUCCEEDED"
    assert uid in annotations(core)


def one_image(file_name: str) -> dict[str, Any]:
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}
    return {
        "images": [{"id": 1, "file_name": file_name}],
        "annotations": [entry],
        "categories": [{"id": 1, "name": "cat"}],
    }


@pytest.mark.parametrize("packed", [False, True], ids=["prefix", "zip"])
@pytest.mark.parametrize("name", [name for name, entry in FORMATS.items() if entry.reads])
def test_every_readable_format_is_recognised_and_comes_in(core: Core, name: str, packed: bool) -> None:
    # given the pictures where the format expects them, and its label files beside or in an archive
    uids = photograph(core, "demo/" + PICTURES.get(name, ""))
    if packed:
        store(core, {"labels.zip": archive(FILES[name] or {"README.txt": "a page"})})
        task = ask(core, object_name="imports/demo/labels.zip", images="demo")
    elif FILES[name]:
        store(core, FILES[name])
        task = ask(core, prefix="imports/demo/", images="demo/")
    else:
        task = ask(core, prefix="demo")
    # then each picture has its cat, where it is
    assert (task.status, task.result.get("registered")) == ("SUCCEEDED", 2), task.error or task.result
    assert (task.result["format"], task.result["failed"], task.result["missing"]) == (name, 0, 0)
    found = annotations(core)
    assert set(found) == set(uids)
    for item in found.values():
        assert item["type"] == KINDS.get(name, "detection")
        (label,) = item["labels"]
        assert label["label"] == "cat"
        if KINDS.get(name) is None:
            assert label["bbox_xyxy"] == pytest.approx(BOX, abs=0.01 if name == "yolo" else 1)


def test_importing_the_same_in_two_formats_says_it_once(core: Core) -> None:
    photograph(core)
    store(core, FILES["coco"] | FILES["cvat"])
    assert ask(core, object_name="imports/demo/labels.json", images="demo").status == "SUCCEEDED"
    before = core.entity("ANN")
    assert ask(core, object_name="imports/demo/annotations.xml", images="demo").status == "SUCCEEDED"
    assert core.entity("ANN") == before


def wrong(**changes: Any) -> dict[str, Any]:
    """The COCO file with one label more, which is wrong."""
    bad = {"id": 9, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5]} | changes
    return COCO | {"annotations": [*COCO["annotations"], bad]}


@pytest.mark.parametrize(
    ("body", "item"),
    [
        (wrong(category_id=99), "9"),
        (wrong(bbox=[1, 1, 0, 5]), "9"),
        (wrong(score=7), "9"),
        (COCO | {"images": [*COCO["images"], {"id": 5, "file_name": "three.jpg"}]}, "three.jpg"),
        (COCO | {"images": [COCO["images"][0], COCO["images"][1] | {"width": 48}]}, "two.jpg"),
    ],
    ids=["category", "box", "score", "missing image", "other size"],
)
def test_stop_names_the_item_and_leaves_nothing(core: Core, body: Any, item: str) -> None:
    photograph(core)
    store(core, {"labels.json": body})
    before = core.items()
    task = ask(core, object_name="imports/demo/labels.json", images="demo", on_error="stop")
    assert task.status == "FAILED"
    assert task.error and item in task.error["message"]
    assert [entry for entry in core.items() if entry["pk"].find("|TASK#") < 0] == before


@pytest.mark.parametrize("count", [1, 130])
def test_skip_brings_in_the_rest_and_reports_every_item(core: Core, count: int) -> None:
    uids = photograph(core)
    bad = [{"id": f"b{n}", "image_id": 1, "category_id": 99, "bbox": [1, 1, 5, 5]} for n in range(count)]
    store(core, {"labels.json": COCO | {"annotations": [*COCO["annotations"], *bad]}})
    task = ask(core, object_name="imports/demo/labels.json", images="demo", on_error="skip")
    assert (task.status, task.result["registered"], task.result["failed"]) == ("SUCCEEDED", 2, count)
    assert set(annotations(core)) == set(uids)
    # the first hundred are in the answer, all of them in a file with a link
    assert len(task.result["problems"]) == min(count, 100)
    (file,) = core.services.tasks.files(task)
    assert file["name"] == "report.jsonl" and file["url"].startswith("https://")
    lines = [json.loads(line) for line in core.objects()[task.result["files"][0]["key"]].splitlines()]
    assert len(lines) == count and all("99" in line["reason"] for line in lines)


def test_a_picture_named_by_a_digest_of_somebody_else_is_no_uid(core: Core) -> None:
    """Many datasets name files by MD5, which looks like our uid: it counts only for a picture that we have."""
    name = "0123456789abcdef0123456789abcdef.jpg"
    uid, notice = put(core, f"demo/{name}")
    core.services.registering.register_object(notice)
    mine = f"{uid}.jpg"
    images = [{"id": 0, "file_name": name}, {"id": 1, "file_name": mine}, {"id": 2, "file_name": "f" * 32 + ".jpg"}]
    store(core, {"labels.json": COCO | {"images": images}})
    task = ask(core, object_name="imports/demo/labels.json", images="demo", on_error="skip")
    assert (task.result["registered"], task.result["missing"]) == (2, 1)
    assert set(annotations(core)) == {uid}


def test_what_is_registered_is_linked_into_a_draft_and_can_be_built(core: Core) -> None:
    photograph(core)
    store(core, FILES["coco"])
    draft = core.services.curating.create("default", info())
    task = ask(core, object_name="imports/demo/labels.json", images="demo", dataset_id=draft.id)
    assert (task.result["dataset_id"], task.result["linked"]) == (draft.id, 2)
    run_build(core, core.services.building.request_build("default", draft.id).id)
    assert sum(core.services.curating.get("default", draft.id).report["counts"].values()) == 2


def test_a_split_of_the_source_counts_where_the_client_named_none(core: Core) -> None:
    # given two pictures, of which the client put one into train
    uids = photograph(core)
    core.services.registering.register_metadata("default", meta(uids[0], split="train"))
    lines = [json.loads(line) | {"split": "test"} for line in str(FILES["jsonl"]["labels.jsonl"]).splitlines()]
    store(core, {"labels.jsonl": "\n".join(map(json.dumps, lines))})
    draft = core.services.curating.create("default", info())
    # when a file that puts both into test is imported, before or after more metadata comes
    task = ask(core, object_name="imports/demo/labels.jsonl", images="demo", dataset_id=draft.id)
    assert task.status == "SUCCEEDED", task.error
    core.services.registering.register_metadata("default", meta(uids[1]))
    run_build(core, core.services.building.request_build("default", draft.id).id)
    # then the client's word stands, and the file's counts for the other
    prefix = core.services.curating.get("default", draft.id).manifest_prefix
    objects = core.objects()
    assert uids[0].encode() in objects[f"{prefix}/train.jsonl"]
    assert uids[1].encode() in objects[f"{prefix}/test.jsonl"]
    assert core.services.registering.get("default", uids[1]).meta == {
        k: v for k, v in meta(uids[1]).items() if k != "uid"
    }


@pytest.mark.parametrize("crash_after", [0, 1, 2])
def test_a_crash_in_the_middle_and_a_repeat_end_the_same(
    core: Core, monkeypatch: pytest.MonkeyPatch, crash_after: int
) -> None:
    monkeypatch.setattr(importing_parts, "PART_ITEMS", 1)
    photograph(core)
    store(core, FILES["coco"])
    task_id = core.services.importing.request(
        "default", {"object_name": "imports/demo/labels.json", "images": "demo"}
    ).id
    # given a run that died after some of its parts, with one part done twice
    plan = step(core, "import.read", task_id)
    keys = part_keys(core, plan["parts_prefix"])
    assert len(keys) == plan["parts"] == 2
    for key in [*keys, keys[0]][:crash_after]:
        step(core, "import.register", task_id, part_key=key)
    # when all of it runs again, and the last step once more
    task = run_import(core, task_id)
    step(core, "import.finish", task_id, attempt=plan["attempt"])
    # then each annotation is there once, and counted once
    assert (task.status, task.result["registered"]) == ("SUCCEEDED", 2)
    assert len(core.entity("ANN")) == 2
    assert core.services.tasks.read("default", task_id) == task


def test_a_stopped_import_registers_nothing_more(core: Core) -> None:
    photograph(core)
    store(core, FILES["coco"])
    task_id = core.services.importing.request("default", {"object_name": "imports/demo/labels.json"}).id
    core.services.tasks.stop("default", task_id)
    with pytest.raises(IllegalTransition):
        step(core, "import.read", task_id)
    assert core.entity("ANN") == []


def test_a_large_dropped_file_runs_as_the_machine_and_waits_for_its_images(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "INLINE_BYTES", 10)
    version = core.clients.s3.put_object(
        Bucket=RAW, Key="annotations/demo/labels.json", Body=str(FILES["coco"]["labels.json"]).encode()
    )["VersionId"]
    drop = {"key": "annotations/demo/labels.json", "version_id": version}
    # when the file is heard of (twice), an execution starts, and finds no image
    task_id = core.services.importing.import_file(**drop)
    core.again().importing.import_file(**drop)
    assert executions(core) == [f"import-{task_id}"]
    waiting = run_import(core, task_id)
    assert waiting.status == "RUNNING" and waiting.phase.startswith("waits for 2")
    assert core.entity("ANN") == []
    # when the images have come and the note is worked on
    photograph(core)
    (note,) = notes(core)
    core.again().importing.import_file(**note)
    assert executions(core) == [f"import-{task_id}", f"import-{task_id}-2"]
    done = run_import(core, task_id)
    assert (done.status, done.result["registered"], done.result["missing"]) == ("SUCCEEDED", 2, 0)


def notes(core: Core) -> list[dict[str, Any]]:
    """Notes to import again: moto's own list, because a receive would wait for their delay."""
    queue = get_backend("sqs")[core.settings.account_id][core.settings.region].queues["ingest"]
    return [found["retry_import"] for entry in queue._messages if "retry_import" in (found := json.loads(entry.body))]


def executions(core: Core) -> list[str]:
    machines = get_backend("stepfunctions")[core.settings.account_id][core.settings.region].state_machines
    return sorted(run.name for machine in machines for run in machine.executions)


def test_files_of_the_reserved_area_are_neither_raw_data_nor_imported_unasked(core: Core) -> None:
    store(core, FILES["coco"])
    entry = {"key": "imports/demo/labels.json", "versionId": "v", "sequencer": "1"}
    record = {"eventName": "ObjectCreated:Put", "s3": {"object": entry}}
    event = {"Records": [{"messageId": "1", "body": json.dumps({"Records": [record]})}]}
    assert handle(core, "ingest_object", event) == {"batchItemFailures": []}
    core.clock.move(days=1)
    core.services.sweeping.sweep(full=True)
    assert core.items() == []
    assert core.messages(core.settings.ingest_queue_url) == []


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({}, InvalidInput, "object_name"),
        ({"object_name": "a.json", "prefix": "b"}, InvalidInput, "object_name"),
        ({"object_name": ""}, InvalidInput, "object_name"),
        ({"object_name": 7}, InvalidInput, "object_name"),
        ({"object_name": "\ud800"}, InvalidInput, "object_name"),
        ({"object_name": "tenants/b/secret.json"}, InvalidInput, "object_name"),
        ({"prefix": "/"}, InvalidInput, "prefix"),
        ({"object_name": "a.json", "format": "dxf"}, InvalidInput, "format"),
        ({"object_name": "a.json", "format": ["coco"]}, InvalidInput, "format"),
        ({"object_name": "a.json", "format": "parquet"}, InvalidInput, "format"),
        ({"object_name": "a.json", "on_error": "ignore"}, InvalidInput, "on_error"),
        ({"object_name": "a.json", "on_error": {}}, InvalidInput, "on_error"),
        ({"object_name": "a.json", "images": 5}, InvalidInput, "images"),
        ({"object_name": "a.json"}, NotFound, None),
        ({"prefix": "nowhere"}, NotFound, None),
        ({"object_name": "imports/demo/labels.json", "dataset_id": "nobody"}, NotFound, None),
    ],
)
def test_a_wrong_request_is_refused_and_makes_no_task(
    core: Core, body: dict[str, Any], error: type[DomainError], field: str | None
) -> None:
    store(core, FILES["coco"])
    with pytest.raises(error) as caught:
        core.services.importing.request("default", body)
    assert field is None or caught.value.details()["field"] == field
    assert core.entity("TASK") == []


def test_images_outside_a_keys_clearance_are_refused_item_by_item(core: Core) -> None:
    uids = photograph(core)
    core.services.registering.register_metadata("default", meta(uids[0]) | {"region": "EU"})
    store(core, FILES["coco"])
    body = {"object_name": "imports/demo/labels.json", "images": "demo", "on_error": "skip"}
    task = core.services.importing.request("default", body, clearance=Clearance(regions=frozenset({"EU"})))
    done = run_import(core, task.id)
    assert (done.result["registered"], done.result["failed"]) == (1, 1)
    assert set(annotations(core)) == {uids[0]}


@pytest.mark.parametrize("name", ["labels.zip", "labels.xml", "labels.bin"])
def test_what_is_no_label_file_fails_with_a_reason(core: Core, name: str) -> None:
    store(core, {name: b"\0\1\2" * 50})
    task = ask(core, object_name=f"imports/demo/{name}")
    assert task.status == "FAILED"
    assert task.error and task.error["message"]
