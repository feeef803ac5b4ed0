"""Versions: tags that move, drafts with the members of an older version, diffs, and the check that a version is sound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataloop.domain.datasets import MAX_TAGS
from dataloop.domain.errors import Conflict, IllegalTransition, InvalidInput, LimitExceeded, NotFound
from tests.actions import image, info, label, labelled, meta, ready_version, run_build, trained_model
from tests.core import ARTIFACTS, RAW, Core


def run_files(core: Core, task: Any, tenant: str = "default") -> dict[str, Any]:
    """The steps of dataset_files; the task's result."""
    service = {"diff": "comparing", "verify": "auditing"}[task.kind]
    prepared = getattr(core.again(), service).prepare(tenant, task.id)
    if prepared["mode"] == "run":
        getattr(core.again(), service).run(tenant, task.id)
    getattr(core.again(), service).record(tenant, task.id)
    ended = core.services.tasks.get(tenant, task.id)
    assert ended.status == "SUCCEEDED"
    return dict(ended.result)


def compare(core: Core, before: Any, after: Any) -> dict[str, Any]:
    return run_files(core, core.services.comparing.request("default", before.id, after.id, core.clock.new_id()))


def verify(core: Core, version: Any) -> dict[str, Any]:
    return run_files(core, core.services.auditing.request("default", version.id, core.clock.new_id()))


def changes(core: Core, result: dict[str, Any]) -> list[dict[str, Any]]:
    (entry,) = [entry for entry in result["files"] if entry["name"] == "diff.jsonl"]
    return [json.loads(line) for line in core.objects()[entry["key"]].splitlines()]


def uid_of(core: Core, annotation_id: str) -> str:
    found = core.services.annotating.get("default", annotation_id)
    return str(found.data_ids[0])


# Tags


def test_a_tag_finds_its_version_wherever_a_name_does_and_moves(core: Core) -> None:
    # given two versions, the first of them tagged
    ids = labelled(core, 3)
    first, second = ready_version(core, ids, version="1"), ready_version(core, ids, version="2")
    core.services.versioning.set_tag("default", first.id, "gold")
    assert core.services.curating.find("default", "animals", "gold").id == first.id
    # when the tag moves
    dataset = core.services.versioning.set_tag("default", second.id, "gold")
    # then it stands for the second alone, in the dataset and on both versions
    assert dict(dataset.tags) == {"gold": second.id}
    assert core.services.curating.find("default", "animals", "gold").tags == ("gold",)
    assert core.services.curating.get("default", first.id).tags == ()
    assert core.services.curating.dataset("default", first.dataset_id).tags == {"gold": second.id}
    # and once removed it finds nothing
    core.services.versioning.remove_tag("default", second.id, "gold")
    with pytest.raises(NotFound):
        core.services.curating.find("default", "animals", "gold")
    assert core.services.curating.get("default", second.id).tags == ()


def test_a_name_is_a_version_or_a_tag_never_both(core: Core) -> None:
    first = core.services.curating.create("default", info(version="1"))
    core.services.curating.create("default", info(version="2"))
    with pytest.raises(Conflict):
        core.services.versioning.set_tag("default", first.id, "2")
    core.services.versioning.set_tag("default", first.id, "gold")
    with pytest.raises(Conflict):
        core.services.curating.create("default", info(version="gold"))
    # another dataset has names of its own
    core.services.curating.create("default", info("plants", "gold"))


@pytest.mark.parametrize("tag", ["", "-x", "a b", "x" * 65, "ü", None, 3, "a/b"])
def test_a_tag_has_a_plain_form(core: Core, tag: Any) -> None:
    version = core.services.curating.create("default", info())
    with pytest.raises(InvalidInput) as refused:
        core.services.versioning.set_tag("default", version.id, tag)
    assert refused.value.field == "tag"


def test_tags_are_limited_and_setting_one_again_changes_nothing(core: Core) -> None:
    version = core.services.curating.create("default", info())
    for number in range(MAX_TAGS):
        core.services.versioning.set_tag("default", version.id, f"t{number}")
    before = core.items()
    core.services.versioning.set_tag("default", version.id, "t0")
    with pytest.raises(LimitExceeded):
        core.services.versioning.set_tag("default", version.id, "one-more")
    assert core.items() == before
    # and all of them go with their version
    core.services.removing.delete_version("default", version.id)
    assert core.services.curating.dataset("default", version.dataset_id).tags == {}


def test_only_the_version_that_a_tag_stands_for_can_lose_it(core: Core) -> None:
    first = core.services.curating.create("default", info(version="1"))
    second = core.services.curating.create("default", info(version="2"))
    core.services.versioning.set_tag("default", first.id, "gold")
    with pytest.raises(NotFound):
        core.services.versioning.remove_tag("default", second.id, "gold")
    with pytest.raises(NotFound):
        core.services.versioning.set_tag("other", first.id, "gold")
    assert core.services.curating.find("default", "animals", "gold").id == first.id


def test_of_two_people_who_tag_at_once_both_are_heard(core: Core) -> None:
    # given somebody who sets another tag between our look and our write
    version = core.services.curating.create("default", info())
    look, turns = core.stores.datasets.get_dataset, [1]

    def look_and_be_late(tenant: str, dataset_id: str) -> Any:
        found = look(tenant, dataset_id)
        if turns.pop() if turns else 0:
            core.again().versioning.set_tag("default", version.id, "silver")
        return found

    core.stores.datasets.get_dataset = look_and_be_late
    # when we set ours
    core.services.versioning.set_tag("default", version.id, "gold")
    # then both are there
    core.stores.datasets.get_dataset = look
    assert core.services.curating.get("default", version.id).tags == ("gold", "silver")


# Datasets


def test_datasets_are_listed_with_their_newest_versions_and_their_information(core: Core) -> None:
    made = core.services.curating.create_dataset("default", "empty", {"description": "nothing yet"})
    core.clock.move(seconds=1)
    for version in ("1", "2", "3"):
        core.clock.move(seconds=1)
        core.services.curating.create("default", info(version=version))
    found, cursor = core.services.curating.grouped("default", 10, None, newest=2)
    assert cursor is None
    assert [(dataset.name, [version.version for version in versions]) for dataset, versions in found] == [
        ("animals", ["3", "2"]),
        ("empty", []),
    ]
    changed = core.services.curating.update_dataset("default", made.id, {"description": "photos"})
    assert changed.info == {"description": "photos"}
    with pytest.raises(Conflict):
        core.services.curating.create_dataset("default", "animals")
    # a version of that name joins the dataset that was made without one
    assert core.services.curating.create("default", info("empty")).dataset_id == made.id


# Restore


def test_a_restored_version_is_the_old_one_again(core: Core) -> None:
    # given a version, and a newer one with more
    ids = labelled(core, 6)
    old = ready_version(core, ids[:4], version="1")
    ready_version(core, ids, version="2")
    # when the old one is restored and built
    draft = core.services.versioning.restore("default", old.id, "3")
    assert (draft.status, draft.anchor_id, draft.base_version_id) == ("DRAFT", old.id, old.id)
    run_build(core, core.services.building.request_build("default", draft.id).id)
    # then it holds the same, byte for byte
    again = core.services.curating.get("default", draft.id)
    assert again.digest == old.digest
    objects = core.objects()
    for name in (
        "train.jsonl",
        "val.jsonl",
        "test.jsonl",
        "objects.jsonl",
        "label_map.json",
        "members.txt",
        "uids.idx",
    ):
        assert objects[f"{again.manifest_prefix}/{name}"] == objects[f"{old.manifest_prefix}/{name}"]
    # and its diff is empty
    found = compare(core, old, again)
    assert found["is_same"]
    assert found["images"]["unchanged"] == 4


def test_a_restored_draft_takes_more_annotations_and_the_old_version_stays(core: Core) -> None:
    ids = labelled(core, 5)
    old = ready_version(core, ids[:4])
    draft = core.services.versioning.restore("default", old.id, "2")
    core.services.curating.link("default", draft.id, ids[4:])
    run_build(core, core.services.building.request_build("default", draft.id).id)
    assert sum(core.services.curating.get("default", draft.id).report["counts"].values()) == 5
    assert core.services.curating.get("default", old.id) == old


def test_a_draft_can_be_copied_and_the_same_request_again_is_the_same_draft(core: Core) -> None:
    ids = labelled(core, 4)
    made = core.services.curating.create("default", info())
    core.services.curating.link("default", made.id, ids[:2])
    core.services.curating.link("default", made.id, ids[2:])
    id = core.clock.new_id()
    first = core.services.versioning.restore("default", made.id, "2", id)
    assert core.services.versioning.restore("default", made.id, "2", id) == first
    assert len(list(core.stores.datasets.segments("default", id))) == 2
    run_build(core, core.services.building.request_build("default", id).id)
    built = core.services.curating.get("default", id)
    assert sum(built.report["counts"].values()) == 4
    # also when it is built by now
    assert core.services.versioning.restore("default", made.id, "2", id) == built


def test_what_is_being_built_or_gone_cannot_be_restored(core: Core) -> None:
    made = core.services.curating.create("default", info())
    core.services.curating.link("default", made.id, labelled(core, 2))
    core.services.building.request_build("default", made.id)
    with pytest.raises(IllegalTransition):
        core.services.versioning.restore("default", made.id, "2")
    with pytest.raises(NotFound):
        core.services.versioning.restore("default", core.clock.new_id(), "2")
    other = core.services.curating.create("default", info(version="9"))
    with pytest.raises(Conflict):
        core.services.versioning.restore("default", other.id, "1")


# Diff


def test_a_diff_says_what_changed_and_leaves_files(core: Core) -> None:
    # given a version, and the next one: an image less, one more, one labelled anew, one moved and described anew
    ids = labelled(core, 4)
    before = ready_version(core, ids, version="1")
    box = {"label": "dog", "bbox_xyxy": [1, 1, 10, 10]}
    corrected = label(uid_of(core, ids[0]), labelInfo=[box], supersedes=ids[0])
    new = core.services.annotating.register("default", corrected).id
    core.services.registering.register_metadata("default", meta(uid_of(core, ids[2]), split="train") | {"region": "US"})
    after = ready_version(core, [*ids[:3], new, image(core, "new")], version="2")
    # when they are compared
    found = compare(core, before, after)
    # then the numbers say so
    wanted = {"added": 1, "removed": 1, "relabelled": 1, "unchanged": 1, "erased": 0}
    assert wanted.items() <= found["images"].items()
    assert found["labels"]["renamed"] == 1
    assert found["statistics"]["dog"] == {"before": {}, "after": {"train": 1, "val": 0, "test": 0}}
    assert (found["before"]["digest"], found["after"]["version"]) == (before.digest, "2")
    # and every change is a line
    lines = {change["uid"]: change for change in changes(core, found)}
    assert lines[uid_of(core, ids[3])]["change"] == ["removed"]
    renamed = lines[uid_of(core, ids[0])]["labels"]["renamed"][0]
    assert (renamed["before"]["label"], renamed["after"]["label"]) == ("cat", "dog")
    assert lines[uid_of(core, ids[2])]["attributes"]["attributes.region"] == {"before": "CN", "after": "US"}
    # and there is a page for people
    (page,) = [entry for entry in found["files"] if entry["name"] == "diff.html"]
    assert b"images added" in core.objects()[page["key"]]


def test_versions_of_different_datasets_are_compared(core: Core) -> None:
    ids = labelled(core, 4)
    one, other = ready_version(core, ids[:3], "animals"), ready_version(core, ids[1:], "beasts")
    found = compare(core, one, other)
    assert (found["images"]["added"], found["images"]["removed"], found["images"]["unchanged"]) == (1, 1, 2)


def test_only_built_versions_are_compared(core: Core) -> None:
    ready = ready_version(core, labelled(core, 2))
    draft = core.services.curating.create("default", info(version="2"))
    for first, second, error in (
        (ready.id, draft.id, IllegalTransition),
        (draft.id, ready.id, IllegalTransition),
        (ready.id, core.clock.new_id(), NotFound),
        (ready.id, None, InvalidInput),
        (ready.id, 7, InvalidInput),
    ):
        with pytest.raises(error):
            core.services.comparing.request("default", first, second, core.clock.new_id())
    assert core.entity("TASK") == [item for item in core.entity("TASK") if item["kind"] != "diff"]


# Verification


def test_a_sound_version_is_proved_down_to_its_objects(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    trained_model(core, version.id)
    found = verify(core, version)
    assert found["sound"]
    assert found["computed_digest"] == version.digest
    assert found["images"] == {"all": 4, "looked_at": 4, "proved": 4}
    assert found["annotations"] == {"looked_at": 4, "proved": 4}


def test_whole_and_broken_numbers_prove_the_same_id(core: Core) -> None:
    # given annotations whose numbers the table gives back as others spell them
    uids = [uid_of(core, id) for id in labelled(core, 4)]
    forms = (
        {"bbox_xyxy": [1.0, 1.0, 9.0, 9.0]},
        {"bbox_xyxy": [1.5, 1.0, 9.0, 9.0], "score": 1.0},
        {"bbox_xyxy": [1, 1, 9, 9], "score": 1.0},
        {"segmentation": [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]], "score": 0.25},
    )
    ids = [
        core.services.annotating.register("default", label(uid, labelInfo=[{"label": "cat", **form}])).id
        for uid, form in zip(uids, forms, strict=True)
    ]
    # then each is proved all the same
    assert verify(core, ready_version(core, ids))["annotations"] == {"looked_at": 4, "proved": 4}


def test_what_was_changed_behind_the_services_back_is_found(core: Core) -> None:
    # given a version, and somebody with rights to the bucket and the table
    ids = labelled(core, 4)
    version = ready_version(core, ids)
    uids = [uid_of(core, id) for id in ids]
    place = core.services.tracing.usage_of("default", uids[0]).places[0].image
    core.clients.s3.delete_object(Bucket=RAW, Key=place["object_name"], VersionId=place["version_id"])
    item = core.stores.table.get(f"default|ANN#{ids[1]}")
    core.stores.table.put(item | {"labels_json": '[{"label":"dog"}]'})
    key = f"{version.manifest_prefix}/train.jsonl"
    rows = core.objects()[key]
    core.clients.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=rows.replace(b'"cat"', b'"dog"'))
    # when the version is verified
    found = verify(core, version)
    # then each is named
    assert not found["sound"]
    assert found["computed_digest"] != version.digest
    assert "train.jsonl" in {problem["file"] for problem in found["problems"]}
    assert found["report"]["examples"]["missing_object"] == [uids[0]]
    assert found["report"]["examples"]["unproved_annotation"] == [ids[1]]


def test_only_a_built_version_is_verified(core: Core) -> None:
    draft = core.services.curating.create("default", info())
    with pytest.raises(IllegalTransition):
        core.services.auditing.request("default", draft.id, core.clock.new_id())
