"""GET /v2/{project_id}/datasets: every query parameter of seed 003 on datasets that really are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dataloop.domain.datasets import Dataset, DatasetVersion
from dataloop.domain.splits import SplitPolicy
from tests.actions import label, meta, put
from tests.core import Core, account
from tests.surfaces.modelarts.requests import PROJECT, Surface, surface


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as made:
        yield made


@pytest.fixture
def api(core: Core) -> Surface:
    return surface(core)


def made(core: Core, name: str, version: str = "V001", *, train: float = 0.8, **report: object) -> DatasetVersion:
    """A dataset of the SDK with a version that is ready, as a build leaves it."""
    core.clock.move(seconds=1)
    draft = core.services.curating.create(
        "default",
        {
            "datasetName": name,
            "datasetVersion": version,
            "annotationType": "object",
            "split": {"train": train, "val": round(1 - train, 6)},
        },
    )
    now = core.clock.text()
    core.stores.datasets.move("default", draft.id, "BUILDING", now, task_id="t")
    facts: dict[str, object] = {
        "counts": {"train": 8, "val": 2, "test": 0},
        "labels": ["cat"],
        "statistics": {"cat": {"train": 9, "val": 2, "test": 0}},
    }
    prefix = f"default/manifests/{draft.id}"
    found = {"digest": "d", "manifest_prefix": prefix, "report": facts | report}
    return core.stores.datasets.move("default", draft.id, "READY", now, task_id="t", **found)


def names(found: list[dict[str, object]]) -> list[object]:
    return [dataset["dataset_name"] for dataset in found]


def test_newest_first_ten_a_page(core: Core, api: Surface) -> None:
    for number in range(12):
        core.clock.move(seconds=1)
        api.create(f"d{number:02d}")

    status, answer = api("GET")

    assert (status, answer["total_number"]) == (200, 12)
    assert names(answer["datasets"]) == [f"d{number:02d}" for number in range(11, 1, -1)]


def test_offset_counts_pages(core: Core, api: Surface) -> None:
    for number in range(5):
        core.clock.move(seconds=1)
        api.create(f"d{number}")

    pages = [names(api.list(limit=2, offset=page, order="asc")) for page in range(4)]

    assert pages == [["d0", "d1"], ["d2", "d3"], ["d4"], []]


def test_the_last_page_knows_the_total(api: Surface) -> None:
    api.create("only")

    assert api("GET", query="offset=999999999")[1] == {"total_number": 1, "datasets": []}


def test_by_name_both_ways(core: Core, api: Surface) -> None:
    for name in ("b", "a", "c"):
        core.clock.move(seconds=1)
        api.create(name)

    assert names(api.list(sort_by="dataset_name", order="asc")) == ["a", "b", "c"]
    assert names(api.list(sort_by="dataset_name")) == ["c", "b", "a"]
    assert names(api.list(sort_by="create_time", order="asc")) == ["b", "a", "c"]


def test_names_are_searched_without_regard_to_case(api: Surface) -> None:
    for name in ("Kitchen-1", "kitchen-2", "garden"):
        api.create(name)

    assert sorted(names(api.list(search_content="KITCH"))) == ["Kitchen-1", "kitchen-2"]
    assert names(api.list(search_content="nothing")) == []


def test_types_of_both_surfaces(core: Core, api: Surface) -> None:
    # Given datasets made here and one that came through the SDK with annotations of the type `object`
    for name, type in (("classes", 0), ("outlines", 3), ("texts", 100), ("rows", 400), ("films", 600), ("free", 900)):
        api.create(name, type)
    made(core, "from-the-sdk")

    # Then each is listed under its type
    assert names(api.list(dataset_type=1)) == ["from-the-sdk"]
    found = {type: names(api.list(dataset_type=type)) for type in (0, 3, 100, 400, 600, 900, 101)}
    assert found == {
        0: ["classes"],
        3: ["outlines"],
        100: ["texts"],
        400: ["rows"],
        600: ["films"],
        900: ["free"],
        101: [],
    }


def test_support_export_lets_three_types_through(core: Core, api: Surface) -> None:
    for name, type in (("classes", 0), ("objects", 1), ("outlines", 3), ("texts", 100), ("free", 900)):
        api.create(name, type)

    assert sorted(names(api.list(support_export="True"))) == ["classes", "free", "objects"]
    assert len(api.list(support_export="false")) == 5


def test_contain_versions(core: Core, api: Surface) -> None:
    made(core, "built")
    api.create("empty")

    assert names(api.list(contain_versions="true")) == ["built"]
    assert names(api.list(contain_versions="False")) == ["empty"]


def test_version_format(core: Core, api: Surface) -> None:
    made(core, "built")
    api.create("empty")

    assert names(api.list(version_format=0)) == ["built"]
    assert names(api.list(version_format=1)) == names(api.list(version_format=2)) == []


def test_train_evaluate_ratio(core: Core, api: Surface) -> None:
    made(core, "half", train=0.5)
    made(core, "most", train=0.9)
    api.create("empty")

    assert names(api.list(train_evaluate_ratio="0.4,0.6")) == ["half"]
    assert names(api.list(train_evaluate_ratio="0.0,1.0")) == ["most", "half"]
    assert names(api.list(train_evaluate_ratio="0.91,1")) == []
    assert len(api.list(train_evaluate_ratio="")) == 3


def test_workspaces(api: Surface) -> None:
    api.create("here", workspace_id="w1")
    api.create("there")

    assert names(api.list(workspace_id="w1")) == ["here"]
    assert names(api.list(workspace_id="0")) == ["there"]


def test_generations(api: Surface) -> None:
    api.create("one")

    found = {text: len(api.list(dataset_version=text)) for text in ("v1", "v2", "all")}

    assert found == {"v1": 1, "v2": 0, "all": 1}


def test_labels_only_when_asked_for(core: Core, api: Surface) -> None:
    api.create("labelled", labels=[{"name": "dog", "property": {"@modelarts:color": "#FFFFF0"}}])
    made(core, "used")

    assert [dataset["labels"] for dataset in api.list()] == [[], []]
    used, declared = (dataset["labels"] for dataset in api.list(with_labels="True"))
    assert [entry["name"] for entry in used] == ["cat"]
    assert declared[0]["property"]["@modelarts:color"] == "#FFFFF0"


def test_running_tasks_of_the_kind_that_was_asked_for(core: Core, api: Surface) -> None:
    # Given a dataset whose version is being built
    version = made(core, "busy")
    core.services.tasks.create("default", "build", f"Dataset#{version.id}", {"version_id": version.id}, id="b1")
    core.services.tasks.create("default", "import", "File#x", {"dataset_id": version.id}, id="i1")
    core.services.tasks.create("default", "build", "Dataset#another", {"version_id": "another"}, id="b2")

    def running(**query: object) -> tuple[bool, list[str]]:
        found = api.list(**query)[0]
        return found["exist_running_task"], sorted(found["running_tasks_id"])

    assert running() == (False, [])
    assert running(check_running_task="false", running_task_type=6) == (False, [])
    assert running(check_running_task="true") == (True, ["b1", "i1"])
    assert running(check_running_task="true", running_task_type=6) == (True, ["b1"])
    assert running(check_running_task="true", running_task_type=5) == (True, ["i1"])
    assert running(check_running_task="true", running_task_type=0) == (False, [])


def test_a_preview_has_four_images_with_links(core: Core, api: Surface) -> None:
    # Given a draft with six annotated images
    draft = core.services.curating.create("default", {"datasetName": "shown", "datasetVersion": "1"})
    ids = []
    for number in range(6):
        uid, notice = put(core, f"photos/{number}.png")
        core.services.registering.register_object(notice)
        core.services.registering.register_metadata("default", meta(uid))
        ids.append(core.services.annotating.register("default", label(uid)).id)
    core.services.curating.link("default", draft.id, ids)

    # When the list is asked for with previews
    (found,) = api.list(file_preview="true")

    # Then it has four of them, each with what is known of the file
    assert len(found["samples"]) == 4
    assert (found["total_sample_count"], found["annotated_sample_count"]) == (6, 6)
    for sample in found["samples"]:
        assert sample["tags"] == {"cat": 1}
        assert sample["file_type"] == "image/jpeg"
        assert sample["file_Name"].endswith(".png")
        assert "X-Amz-Signature=" in sample["url"]
        assert sample["width"] > 0 and sample["size"] > 0 and sample["create_time"] > 0
    assert api.list()[0]["samples"] == []


def test_a_preview_keeps_to_the_keys_clearance(core: Core) -> None:
    # Given an image of the region CN, and a key for the region EU
    draft = core.services.curating.create("default", {"datasetName": "far", "datasetVersion": "1"})
    uid, notice = put(core, "photos/far.png")
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid))
    core.services.curating.link("default", draft.id, [core.services.annotating.register("default", label(uid)).id])
    restricted = {"regions": ["EU"]}
    _, token = core.services.keyring.create("default", "eu", ["read"], None, restricted, projects=[PROJECT])

    (found,) = Surface(core, token).list(file_preview="true")

    assert found["samples"] == []
    assert len(surface(core).list(file_preview="true")[0]["samples"]) == 1


def test_a_version_with_its_numbers(core: Core, api: Surface) -> None:
    # Given two built versions of one dataset
    first = made(core, "grown", "V001")
    second = made(
        core,
        "grown",
        "V002",
        train=0.9999,
        counts={"train": 20, "val": 0, "test": 0},
        statistics={"cat": {"train": 9, "val": 0, "test": 0}, "dog": {"train": 30, "val": 0, "test": 0}},
        labels=["cat", "dog"],
        label_images={"cat": 9, "dog": 15},
        labelled=18,
        multi_label=4,
    )

    (found,) = api.list()
    (version,) = found["versions"]

    # Then the newest is the current one, with the counts of its build
    assert (found["current_version_id"], found["current_version_name"]) == (second.id, "V002")
    assert (found["dataset_version_count"], found["next_version_num"]) == (2, 3)
    assert (found["total_sample_count"], found["annotated_sample_count"]) == (20, 18)
    assert version["train_evaluate_sample_ratio"] == "0.9999"
    assert version["label_type"] == "multi"
    assert [(each["name"], each["count"], each["sample_count"]) for each in version["label_stats"]] == [
        ("cat", 9, 9),
        ("dog", 30, 15),
    ]
    assert (version["previous_version_id"], version["previous_total_sample_count"]) == (first.id, 10)
    assert (version["add_sample_count"], version["status"], version["is_current"]) == (10, 1, True)
    assert version["manifest_path"] == f"/artifacts-bucket/default/manifests/{second.id}/index.json"
    assert found["data_url"] == f"/artifacts-bucket/default/manifests/{second.id}/"


def test_erased_images_are_counted_out(core: Core, api: Surface) -> None:
    version = made(core, "cleaned")
    core.stores.table.update(f"default|DSV#{version.id}", set={"erased": 3})

    (found,) = api.list()

    assert (found["total_sample_count"], found["deleted_sample_count"]) == (7, 3)
    assert found["deletion_stats"] == found["versions"][0]["deletion_stats"] == {"erased": 3}


@pytest.mark.parametrize(
    ("importing", "building", "expected"),
    [(None, False, 1), ("RUNNING", False, 8), ("FAILED", False, 4), ("SUCCEEDED", False, 1), (None, True, 6)],
)
def test_the_status_says_what_is_going_on(
    core: Core, api: Surface, importing: str | None, building: bool, expected: int
) -> None:
    info = {"import_task_id": "i"} if importing else {}
    core.stores.datasets.create_dataset(Dataset("default", core.clock.new_id(), "d", core.clock.text(), info=info))
    if importing:
        task = core.services.tasks.create("default", "import", "File#x", {}, id="i")
        core.stores.tasks.move(task, "RUNNING", core.clock.text())
        if importing != "RUNNING":
            core.stores.tasks.move(replace(task, status="RUNNING"), importing, core.clock.text())
    if building:
        draft = core.services.curating.create_version("default", "d", "V1", split=SplitPolicy(), info={})
        core.stores.datasets.move("default", draft.id, "BUILDING", core.clock.text(), task_id="t")

    assert api.list()[0]["status"] == expected


def test_a_tenant_sees_its_own_datasets_alone(core: Core, api: Surface) -> None:
    other = surface(core, "acme", project="acme-project")
    api.create("mine")
    other.create("theirs")

    assert names(api.list()) == ["mine"]
    assert names(other.list()) == ["theirs"]


def test_what_the_sdk_makes_is_here_and_the_other_way_round(core: Core, api: Surface) -> None:
    made(core, "from-the-sdk")
    dataset_id = api.create("from-here")

    assert names(api.list(sort_by="dataset_name", order="asc")) == ["from-here", "from-the-sdk"]
    found, _ = core.services.curating.datasets("default", 10, None)
    assert dataset_id in [dataset.id for dataset in found]
    assert [version.name for version in core.services.curating.page("default", 10, None)[0]].count("from-here") == 1


def test_a_page_asks_for_no_more_versions_than_it_shows(core: Core, api: Surface) -> None:
    for number in range(6):
        core.clock.move(seconds=1)
        api.create(f"d{number}")
    core.clients.calls.clear()

    api.list(limit=2)

    # The key, the list of datasets, and for each of the two: its versions and its draft's segments.
    assert core.clients.of("dynamodb").total() == 2 + 2 * 2
