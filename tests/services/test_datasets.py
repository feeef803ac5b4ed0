"""Datasets: names are unique, drafts take links, a freeze shuts the door, a build is repeatable and reports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.domain.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from dataloop.services import building
from tests.actions import image, info, label, labelled, put, ready_version, run_build
from tests.core import RAW, Core

FILES = (
    "train.jsonl",
    "val.jsonl",
    "test.jsonl",
    "objects.jsonl",
    "label_map.json",
    "images.manifest",
    "uids.idx",
    "members.txt",
    "index.json",
)


def draft(core: Core, ids: list[str] | None = None, version: str = "1") -> str:
    made = core.services.curating.create("default", info(version=version))
    if ids:
        core.services.curating.link("default", made.id, ids)
    return made.id


def test_a_name_and_version_exist_once_and_versions_share_their_dataset(core: Core) -> None:
    first = core.services.curating.create("default", info())
    with pytest.raises(Conflict):
        core.services.curating.create("default", info())
    second = core.services.curating.create("default", info(version="2"))
    assert first.dataset_id == second.dataset_id
    assert len(core.entity("DSV")) == 2
    assert len(core.entity("DS")) == 1
    assert core.services.curating.find("default", "animals", "2").id == second.id


def test_the_same_request_again_is_the_same_version(core: Core) -> None:
    id = core.services.claiming.id_for("default", "create_dataset", "key-1", info())
    first = core.services.curating.create("default", info(), id)
    again = core.services.claiming.id_for("default", "create_dataset", "key-1", info())
    assert core.services.curating.create("default", info(), again) == first
    with pytest.raises(InvalidInput):
        core.services.claiming.id_for("default", "create_dataset", "key-1", info(version="2"))


def test_names_that_could_read_alike_are_different(core: Core) -> None:
    core.services.curating.create("default", info("a", "bc"))
    core.services.curating.create("default", info("ab", "c"))
    core.services.curating.create("default", info("a1:b", "c"))
    assert len(core.entity("DSV")) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"datasetName": ""}, {"datasetName": "a\n"}, {"datasetVersion": 1}, {"datasetName": "x" * 201}, {"annotationBy": "me"},
     {"remark": 5}, {"split": {"train": -1}}, {"extra": 10**400}, None],
)  # fmt: skip
def test_a_wrong_dataset_writes_nothing(core: Core, wrong: Any) -> None:
    with pytest.raises(InvalidInput):
        core.services.curating.create("default", info() | wrong if wrong else "no object")
    assert core.items() == []


def test_linking_is_a_set_union(core: Core) -> None:
    ids = [core.services.annotating.register("default", label(f"{n:032x}")).id for n in range(3)]
    id = draft(core)
    first = core.services.curating.link("default", id, [ids[1], ids[0], ids[1]])
    again = core.services.curating.link("default", id, [ids[0], ids[1]])
    assert (first.id, first.count) == (again.id, 2)
    core.services.curating.link("default", id, ids)
    assert len([item for item in core.items() if item["sk"].startswith("SEG#")]) == 2


@pytest.mark.parametrize("ids", [[], "abc", None, [1], ["A" * 24], ["a" * 23], {"a": 1}])
def test_a_wrong_list_of_ids_is_refused(core: Core, ids: Any) -> None:
    id = draft(core)
    with pytest.raises(InvalidInput) as refused:
        core.services.curating.link("default", id, ids)
    assert refused.value.field == "annotation_id_list"
    assert core.objects() == {}


def test_unknown_annotations_and_datasets_are_named(core: Core) -> None:
    known = core.services.annotating.register("default", label("0" * 32)).id
    with pytest.raises(NotFound) as unknown:
        core.services.curating.link("default", draft(core), [known, "f" * 24])
    assert (unknown.value.entity, unknown.value.id) == ("annotation", "f" * 24)
    with pytest.raises(NotFound) as nowhere:
        core.services.curating.link("default", "no-such-dataset", [known])
    assert nowhere.value.entity == "dataset"


def test_nothing_can_be_linked_after_the_freeze(core: Core) -> None:
    ids = labelled(core, 3)
    id = draft(core, ids[:2])
    core.services.building.request_build("default", id)
    with pytest.raises(IllegalTransition):
        core.services.curating.link("default", id, ids[2:])


def test_a_link_that_races_with_the_freeze_is_in_or_refused(core: Core) -> None:
    # given a link that has passed its checks and written its ids when the version is frozen
    ids = labelled(core, 3)
    id = draft(core, ids[:2])
    put_object = core.stores.artifacts.put
    frozen: list[Any] = []

    def freeze_between(key: str, body: bytes, content_type: str = "") -> None:
        put_object(key, body, content_type)
        if "/segments/" in key and not frozen:
            frozen.append(core.again().building.request_build("default", id))

    core.stores.artifacts.put = freeze_between
    # when it goes on, then it is refused
    with pytest.raises(IllegalTransition):
        core.services.curating.link("default", id, ids[2:])
    # and the build holds what was linked before, exactly
    assert run_build(core, frozen[0].id)["rows"] == 2


def test_of_two_builds_at_once_one_wins_and_the_other_does_not_spoil_it(core: Core) -> None:
    # given two requests that both saw a draft
    id = draft(core, labelled(core, 3))
    winner = core.services.building.request_build("default", id)
    stale: Any = core.services.building
    seen = core.services.curating.get("default", id)
    stale._get = lambda tenant, version_id: seen.__class__(**{**_fields(seen), "status": "DRAFT", "task_id": None})
    # when the second one freezes
    with pytest.raises(IllegalTransition):
        stale.request_build("default", id)
    # then its task has failed with a reason, and the first build ends well
    assert core.again().curating.get("default", id).status == "BUILDING"
    run_build(core, winner.id)
    assert core.again().curating.get("default", id).status == "READY"
    assert sorted(task["status"] for task in core.entity("TASK")) == ["FAILED", "SUCCEEDED"]


def _fields(entity: Any) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__slots__}


def test_a_failed_build_can_be_built_again_and_a_ready_one_cannot(core: Core) -> None:
    id = draft(core, labelled(core, 2))
    first = core.services.building.request_build("default", id)
    core.services.tasks.fail("default", first.id, "Broken", "the disk was full")
    assert core.services.curating.get("default", id).status == "FAILED"
    second = core.services.building.request_build("default", id)
    run_build(core, second.id)
    with pytest.raises(IllegalTransition):
        core.services.building.request_build("default", id)
    # the late failure of the first task changes nothing any more
    core.services.tasks.fail("default", first.id, "Broken", "again")
    assert core.services.curating.get("default", id).status == "READY"


@pytest.mark.parametrize("failed", [False, True])
def test_the_same_build_request_after_its_end_answers_its_task(core: Core, failed: bool) -> None:
    id = draft(core, labelled(core, 2))
    task = core.services.building.request_build("default", id, task_id=core.clock.new_id())
    if failed:
        core.services.tasks.fail("default", task.id, "Broken", "x")
    else:
        run_build(core, task.id)
    again = core.services.building.request_build("default", id, task_id=task.id)
    assert (again.id, again.status) == (task.id, "FAILED" if failed else "SUCCEEDED")
    assert core.services.curating.get("default", id).status == ("FAILED" if failed else "READY")


def test_a_build_whose_request_died_before_the_freeze_freezes_when_it_is_swept(core: Core) -> None:
    # given a task without its freeze, as a crash between the two leaves it
    id = draft(core, labelled(core, 2))
    task = core.services.tasks.create("default", "build", f"Dataset#{id}", {"version_id": id})
    # when its execution is started by the sweep
    run_build(core, task.id)
    # then nothing could slip in and the version is ready
    assert core.services.curating.get("default", id).status == "READY"


def test_any_sharding_gives_the_same_bytes(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = labelled(core, 11)
    found = []
    for version, size in (("1", 1000), ("2", 3), ("3", 1)):
        monkeypatch.setattr(building, "PART_IDS", size)
        # the links come in another order and in other pieces, one of them twice
        made = core.services.curating.create("default", info(version=version))
        for start in range(0, 11, size + 1):
            core.services.curating.link("default", made.id, ids[::-1][start : start + size + 1])
        core.services.curating.link("default", made.id, ids)
        run_build(core, core.services.building.request_build("default", made.id).id)
        ready = core.services.curating.get("default", made.id)
        objects = core.objects()
        files = {name: objects[f"{ready.manifest_prefix}/{name}"] for name in FILES}
        found.append((ready.digest, {name: body for name, body in files.items() if name != "index.json"}))
        index = json.loads(files["index.json"])
        assert index["counts"] == {"train": 6, "val": 3, "test": 2}
        assert index["digest"] == ready.digest
    assert found[0] == found[1] == found[2]


def test_every_step_of_a_build_may_run_twice(core: Core) -> None:
    id = draft(core, labelled(core, 5))
    task = core.services.building.request_build("default", id)
    for _ in range(2):
        plan = core.again().building.plan("default", task.id)
        for key in [name for name in core.objects() if name.startswith(plan["parts_prefix"])] * 2:
            core.again().building.join("default", task.id, key)
        reduced = core.again().building.reduce("default", task.id)
    first = core.again().building.mark_ready("default", task.id)
    assert core.again().building.mark_ready("default", task.id) == first
    assert first["digest"] == reduced["digest"]


def test_what_is_missing_is_reported_and_the_rest_is_built(core: Core) -> None:
    # given a sound image, one without object, a truncated one, and a box outside
    good = image(core, "good")
    missing = core.services.annotating.register("default", label("1" * 32)).id
    uid, notice = put(core, "cut.jpg", b"no image")
    core.services.registering.register_object(notice)
    broken = core.services.annotating.register("default", label(uid)).id
    good_uid = core.services.annotating.get("default", good).data_ids[0]
    outside = {"label": "cat", "bbox_xyxy": [500, 500, 600, 600]}
    far = core.services.annotating.register("default", label(good_uid, labelInfo=[outside])).id
    # when it is built
    ready = ready_version(core, [good, missing, broken, far])
    # then the report says so
    assert ready.status == "READY"
    assert ready.report["report"]["counts"] == {"missing_object": 2, "dropped_box": 1}
    assert set(ready.report["report"]["examples"]["missing_object"]) == {missing, broken}
    assert ready.report["counts"] == {"train": 1, "val": 0, "test": 0}


def test_a_build_without_any_image_fails_with_a_reason(core: Core) -> None:
    id = draft(core, [core.services.annotating.register("default", label("1" * 32)).id])
    task = core.services.building.request_build("default", id)
    found = run_build(core, task.id)
    assert not found["passed"]
    ended = core.services.tasks.get("default", task.id)
    assert ended.status == "FAILED"
    assert "missing object" in ended.error["message"]  # type: ignore[index]
    assert core.services.curating.get("default", id).status == "FAILED"


def test_a_build_waits_a_little_for_a_file_whose_event_is_on_its_way(core: Core) -> None:
    # given an uploaded, labelled and linked file whose S3 event has not been handled
    uid, notice = put(core, "d/late.jpg")
    ids = [*labelled(core, 1), core.services.annotating.register("default", label(uid)).id]

    # when the event is handled while the build looks
    core.clock.meanwhile = lambda: core.services.registering.register_object(notice)  # type: ignore[assignment, return-value]
    version = ready_version(core, ids)

    # then the file is in the version
    assert version.report["report"]["counts"] == {}
    assert sum(version.report["counts"].values()) == 2


def test_a_build_does_not_wait_for_what_was_labelled_long_ago(core: Core) -> None:
    ids = [*labelled(core, 1), core.services.annotating.register("default", label("2" * 32)).id]
    core.clock.move(minutes=5)
    before = core.clock.moment
    assert ready_version(core, ids).report["report"]["counts"] == {"missing_object": 1}
    assert core.clock.moment == before


def test_an_object_deleted_after_registration_is_missing(core: Core) -> None:
    ids = labelled(core, 2)
    core.clients.s3.delete_object(Bucket=RAW, Key="d/i0.jpg")
    (marker,) = core.clients.s3.list_object_versions(Bucket=RAW, Prefix="d/i0.jpg")["DeleteMarkers"]
    from dataloop.services.registering import ObjectNotice

    core.services.registering.remove_object(ObjectNotice("d/i0.jpg", marker["VersionId"], "FFFF", True, True))
    assert ready_version(core, ids).report["report"]["counts"] == {"missing_object": 1}


def test_a_download_of_a_draft_leaves_it_a_draft_and_of_a_ready_one_answers_at_once(core: Core) -> None:
    ids = labelled(core, 3)
    id = draft(core, ids[:2])
    task = core.services.building.request_download("default", id)
    run_build(core, task.id)
    ended = core.services.tasks.get("default", task.id)
    body = core.objects()[ended.result["key"]]
    assert len(json.loads(body)["items"]) == 2
    assert len(body) == ended.result["size_bytes"]
    core.services.curating.link("default", id, ids[2:])
    run_build(core, core.services.building.request_build("default", id).id)
    again = core.services.building.request_download("default", id)
    assert again.status == "SUCCEEDED"
    assert len(json.loads(core.objects()[again.result["key"]])["items"]) == 3
