"""Datasets and versions made through the protocol: from a folder of files to a built version, and away again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dataloop.domain.errors import Throttled
from tests.actions import label, meta, put, run_build
from tests.core import Core, account
from tests.surfaces.modelarts.documented import check
from tests.surfaces.modelarts.requests import Surface, surface

VOC = """<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height></size>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object></annotation>"""


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as made:
        yield made


@pytest.fixture
def api(core: Core) -> Surface:
    return surface(core)


def photos(core: Core, folder: str, count: int) -> list[str]:
    """Registered images below a folder; returns their uids."""
    uids = []
    for number in range(count):
        uid, notice = put(core, f"{folder}/{number}.jpg")
        core.services.registering.register_object(notice)
        core.services.registering.register_metadata("default", meta(uid))
        uids.append(uid)
    return uids


def source(folder: str) -> list[dict[str, Any]]:
    return [{"data_type": 0, "data_path": f"/raw-bucket/{folder}/"}]


def run_import(core: Core, task_id: str) -> None:
    """The states of dataset_import, one after the other."""
    plan = core.again().importing.read("default", task_id)
    for key in sorted(name for name in core.objects() if name.startswith(plan["parts_prefix"])):
        core.again().importing.register("default", task_id, key)
    core.again().importing.finish("default", task_id, plan["attempt"])


def labelled(core: Core, name: str, count: int = 5) -> None:
    """Link annotations to a dataset's draft, as the SDK does."""
    draft = core.services.curating.find("default", name, "draft")
    ids = [core.services.annotating.register("default", label(uid)).id for uid in photos(core, name, count)]
    core.services.curating.link("default", draft.id, ids)


def published(core: Core, api: Surface, id: str, **body: Any) -> str:
    status, answer = api("POST", f"/{id}/versions", body)
    assert status == 201, answer
    version_id = str(answer["version_id"])
    task_id = core.services.curating.get("default", version_id).task_id
    assert task_id is not None
    assert run_build(core, task_id)["passed"]
    return version_id


def test_from_a_folder_of_pictures(core: Core, api: Surface) -> None:
    # Given pictures that nothing is said of
    photos(core, "bare", 6)

    # When a dataset is made of their folder
    status, answer = api("POST", body={"dataset_name": "bare", "dataset_type": 1, "data_sources": source("bare")})

    # Then it counts them, shows some, and has nothing to import
    assert (status, answer["import_task_id"]) == (201, "")
    (found,) = api.list(file_preview="true")
    assert (found["total_sample_count"], found["annotated_sample_count"], found["status"]) == (6, 0, 1)
    assert found["data_sources"][0]["data_path"] == "/raw-bucket/bare/"
    assert [sample["tags"] for sample in found["samples"]] == [{}] * 4
    check("Body", api("GET", query="file_preview=true")[1], set())


def test_a_folder_named_after_each_class(core: Core, api: Surface) -> None:
    # Given pictures in folders named after their class
    photos(core, "animals/cat", 4)
    photos(core, "animals/dog", 3)

    # When a dataset of classes is made of it
    body = {"dataset_name": "animals", "dataset_type": 0, "data_sources": source("animals")}
    status, answer = api("POST", body=body)

    # Then it is imported, and the labels are there
    assert status == 201 and answer["import_task_id"]
    assert api.list()[0]["status"] == 8
    run_import(core, answer["import_task_id"])
    (found,) = api.list(file_preview="true")
    assert (found["status"], found["annotated_sample_count"], found["total_sample_count"]) == (1, 7, 7)
    assert all(list(sample["tags"].values()) == [1] for sample in found["samples"])


def test_boxes_that_lie_beside_the_pictures(core: Core, api: Surface) -> None:
    for uid in photos(core, "boxes", 3):
        raw = core.services.stores.raw_data.get("default", uid)
        assert raw is not None and raw.facts is not None and raw.location is not None
        name = raw.location.key.rpartition("/")[2]
        text = VOC.format(name=name, width=raw.facts.width, height=raw.facts.height)
        core.clients.s3.put_object(Bucket="raw-bucket", Key=f"boxes/{name[:-4]}.xml", Body=text.encode())

    _, answer = api("POST", body={"dataset_name": "boxes", "dataset_type": 1, "data_sources": source("boxes")})
    run_import(core, answer["import_task_id"])

    (found,) = api.list()
    assert (found["annotated_sample_count"], found["total_sample_count"]) == (3, 3)


def test_labels_that_shall_not_be_imported(core: Core, api: Surface) -> None:
    photos(core, "animals/cat", 2)
    body = {
        "dataset_name": "animals",
        "dataset_type": 0,
        "data_sources": source("animals"),
        "import_annotations": False,
    }

    assert api("POST", body=body)[1]["import_task_id"] == ""


def test_a_version_is_published_and_becomes_the_current_one(core: Core, api: Surface) -> None:
    # Given a dataset with annotated images
    id = api.create("cats", labels=[{"name": "cat", "property": {"@modelarts:color": "#3399ff"}}])
    labelled(core, "cats", 5)

    # When a version is published
    status, answer = api(
        "POST",
        f"/{id}/versions",
        {"version_name": "V001", "description": "first", "train_evaluate_sample_ratio": "0.8"},
    )

    # Then it is being made, and the dataset is being published
    assert status == 201
    version_id = answer["version_id"]
    assert api("GET", f"/{id}/versions/{version_id}")[1]["status"] == 0
    assert api("GET", f"/{id}")[1]["status"] == 6

    # And when its build has ended
    run_build(core, core.services.curating.get("default", version_id).task_id or "")
    status, version = api("GET", f"/{id}/versions/{version_id}")
    seen: set[str] = set()
    check("DatasetVersion", version, seen)
    assert seen >= {"LabelStats", "LabelProperty"}
    assert (version["status"], version["is_current"], version["description"]) == (1, True, "first")
    assert (version["total_sample_count"], version["annotated_sample_count"]) == (5, 5)
    assert version["train_evaluate_sample_ratio"] == "0.80"
    assert set(version["data_statistics"]) >= {"train", "val"}
    (stats,) = version["label_stats"]
    assert (stats["name"], stats["count"], stats["sample_count"]) == ("cat", 5, 5)
    assert stats["property"]["@modelarts:color"] == "#3399ff"
    dataset = api("GET", f"/{id}")[1]
    assert (dataset["current_version_id"], dataset["status"]) == (version_id, 1)


def test_the_draft_goes_on_and_versions_get_numbers(core: Core, api: Surface) -> None:
    id = api.create("series")
    labelled(core, "series", 3)
    first = published(core, api, id)
    core.clock.move(minutes=1)
    draft = core.services.curating.find("default", "series", "draft")
    more = [core.services.annotating.register("default", label(uid)).id for uid in photos(core, "more", 2)]
    core.services.curating.link("default", draft.id, more)
    core.clock.move(minutes=1)
    second = published(core, api, id)

    _, answer = api("GET", f"/{id}/versions")

    assert [(each["version_id"], each["version_name"]) for each in answer["versions"]] == [
        (second, "V002"),
        (first, "V001"),
    ]
    newest, oldest = answer["versions"]
    assert (newest["total_sample_count"], oldest["total_sample_count"]) == (5, 3)
    assert (newest["previous_version_id"], newest["previous_total_sample_count"]) == (first, 3)
    assert newest["add_sample_count"] == 2
    assert answer["total_number"] == 2


def test_versions_are_filtered(core: Core, api: Surface) -> None:
    id = api.create("filtered")
    labelled(core, "filtered", 4)
    published(core, api, id, train_evaluate_sample_ratio="0.5")

    def count(query: str) -> int:
        found: int = api("GET", f"/{id}/versions", query=query)[1]["total_number"]
        return found

    assert (count("status=1"), count("status=4")) == (1, 0)
    assert (count("train_evaluate_ratio=0.4,0.6"), count("train_evaluate_ratio=0.6,1.0")) == (1, 0)
    assert (count("version_format=0"), count("version_format=2")) == (1, 0)


def test_another_version_may_become_the_current_one(core: Core, api: Surface) -> None:
    id = api.create("chosen")
    labelled(core, "chosen", 3)
    first = published(core, api, id)
    core.clock.move(minutes=1)
    second = published(core, api, id)
    assert api("GET", f"/{id}")[1]["current_version_id"] == second

    assert api("PUT", f"/{id}", {"current_version_id": first}) == (200, {"dataset_id": id})

    assert api("GET", f"/{id}")[1]["current_version_id"] == first
    assert api("GET", f"/{id}/versions/{first}")[1]["is_current"] is True


def test_a_published_version_is_the_sdks_too(core: Core, api: Surface) -> None:
    id = api.create("shared")
    labelled(core, "shared", 3)
    version_id = published(core, api, id, version_name="gold-1")

    assert core.services.curating.find("default", "shared", "gold-1").id == version_id


def test_a_name_that_is_taken(core: Core, api: Surface) -> None:
    id = api.create("named")
    labelled(core, "named", 3)
    published(core, api, id, version_name="V001")

    status, answer = api("POST", f"/{id}/versions", {"version_name": "V001"})

    assert (status, answer["error_code"]) == (400, "ModelArts.4371")


def test_a_crash_between_copy_and_build_is_made_good_by_the_same_request(core: Core, api: Surface) -> None:
    # Given a publication that died after its copy was made and before the members were in it
    id = api.create("crashed")
    labelled(core, "crashed", 3)
    draft = core.services.curating.find("default", "crashed", "draft")
    copy = core.services.curating.create_version(
        "default", "crashed", "V001", split=draft.split, info={"copy_of": draft.id}, base_version_id=draft.id
    )

    # When the same request comes again
    version_id = published(core, api, id, version_name="V001")

    # Then it is finished with all its members
    assert version_id == copy.id
    assert api("GET", f"/{id}/versions/{version_id}")[1]["total_sample_count"] == 3


def test_a_draft_of_the_sdk_is_published_under_its_own_name(core: Core, api: Surface) -> None:
    draft = core.services.curating.create(
        "default", {"datasetName": "sdk", "datasetVersion": "7", "annotationType": "object"}
    )
    ids = [core.services.annotating.register("default", label(uid)).id for uid in photos(core, "sdk", 3)]
    core.services.curating.link("default", draft.id, ids)

    assert published(core, api, draft.dataset_id, version_name="7") == draft.id


def test_a_version_is_deleted(core: Core, api: Surface) -> None:
    id = api.create("short")
    labelled(core, "short", 3)
    version_id = published(core, api, id)

    assert api("DELETE", f"/{id}/versions/{version_id}") == (204, {})

    assert api("GET", f"/{id}/versions/{version_id}")[0] == 404
    assert api("GET", f"/{id}/versions")[1] == {"total_number": 0, "versions": []}
    assert api("GET", f"/{id}")[1]["current_version_id"] == ""


def test_a_dataset_is_deleted_and_its_images_stay(core: Core, api: Surface) -> None:
    id = api.create("gone")
    labelled(core, "gone", 3)
    published(core, api, id)

    assert api("DELETE", f"/{id}") == (204, {})

    assert api.list() == []
    assert api("GET", f"/{id}")[0] == 404
    assert len(core.objects("raw-bucket")) == 3
    api.create("gone")


def test_labels_are_added_changed_and_removed(core: Core, api: Surface) -> None:
    id = api.create("words", labels=[{"name": "cat"}, {"name": "dog"}])

    changes = {
        "description": "new",
        "add_labels": [{"name": "pig", "property": {"@modelarts:color": "#3399ff"}}],
        "update_labels": [{"name": "cat", "property": {"@modelarts:shortcut": "C"}}],
        "delete_labels": [{"name": "dog"}],
    }
    assert api("PUT", f"/{id}", changes)[0] == 200

    found = {each["name"]: each["property"] for each in api("GET", f"/{id}/data-annotations/labels")[1]["labels"]}
    assert list(found) == ["cat", "pig"]
    assert found["cat"]["@modelarts:shortcut"] == "C"
    assert found["pig"]["@modelarts:color"] == "#3399ff"
    assert api("GET", f"/{id}")[1]["description"] == "new"


def test_of_two_changes_at_once_none_undoes_the_other(core: Core, api: Surface) -> None:
    # Given two people who read the same labels
    id = api.create("contended", labels=[{"name": "cat"}])
    seen = core.services.curating.dataset("default", id)
    assert api("PUT", f"/{id}", {"add_labels": [{"name": "dog"}]})[0] == 200

    # When the second one writes what he worked out from them
    with pytest.raises(Throttled):
        core.services.collecting.change(seen, {"labels": []})

    # Then the first one's change stands
    labels = api("GET", f"/{id}/data-annotations/labels")[1]["labels"]
    assert [label["name"] for label in labels] == ["cat", "dog"]


def test_a_failed_import_makes_the_dataset_abnormal(core: Core, api: Surface) -> None:
    photos(core, "broken/cat", 1)
    body = {"dataset_name": "broken", "dataset_type": 0, "data_sources": source("broken")}
    task_id = api("POST", body=body)[1]["import_task_id"]

    core.services.tasks.fail("default", task_id, "InvalidInput", "nothing in it")

    assert api.list()[0]["status"] == 4
