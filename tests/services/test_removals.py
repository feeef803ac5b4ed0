"""Deleting: refused while something needs the version, otherwise its name is free, its files go, its record stays."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import IllegalTransition, NotFound, Unavailable
from dataloop.domain.tasks import Task
from tests.actions import info, labelled, ready_version, release, run_build, trained_model
from tests.core import Core
from tests.services.test_versions import run_files


def below(core: Core, version_id: str) -> list[str]:
    """What is in the artifacts bucket of a version, below its own prefixes."""
    return [key for key in core.objects() if f"/{version_id}/" in key]


def test_a_deleted_version_leaves_its_record_and_nothing_else(core: Core) -> None:
    # given a built version that was also downloaded and compared
    version = ready_version(core, labelled(core, 4))
    core.services.versioning.set_tag("default", version.id, "gold")
    core.services.building.request_download("default", version.id)
    run_files(core, core.services.comparing.request("default", version.id, version.id, core.clock.new_id()))
    # when it is deleted
    gone = core.services.removing.delete_version("default", version.id, by="key-1")
    # then who deleted it, what it held and its digest are still known
    assert gone.status == "DELETED"
    assert (gone.digest, gone.report["counts"]) == (version.digest, version.report["counts"])
    assert gone.deletion == {"at": core.clock.text(), "by": "key-1", "forced": False, "models": []}
    # and no file is left
    assert core.objects() == {}
    assert gone.manifest_prefix is None
    # and it is in no list but the history of its dataset
    assert core.services.curating.page("default", 10, None)[0] == []
    assert core.services.curating.versions("default", version.dataset_id, 10, None)[0] == [gone]


def test_the_name_of_a_deleted_version_and_its_tags_are_free_again(core: Core) -> None:
    version = ready_version(core, labelled(core, 3))
    core.services.versioning.set_tag("default", version.id, "gold")
    core.services.removing.delete_version("default", version.id)
    for name in ("1", "gold"):
        with pytest.raises(NotFound):
            core.services.curating.find("default", "animals", name)
    again = core.services.curating.create("default", info())
    core.services.versioning.set_tag("default", again.id, "gold")
    assert core.services.curating.find("default", "animals", "gold").id == again.id
    assert again.dataset_id == version.dataset_id


@pytest.mark.parametrize("status", ["DRAFT", "FAILED"])
def test_drafts_and_failed_versions_are_deleted(core: Core, status: str) -> None:
    made = core.services.curating.create("default", info())
    core.services.curating.link("default", made.id, labelled(core, 2))
    if status == "FAILED":
        task = core.services.building.request_build("default", made.id)
        core.services.building.plan("default", task.id)
        core.services.tasks.fail("default", task.id, "Broken", "x")
    assert core.services.removing.delete_version("default", made.id).status == "DELETED"
    assert core.objects() == {}
    assert not [item for item in core.items() if item["sk"].startswith("SEG#")]


def test_a_version_that_is_being_built_is_not_deleted(core: Core) -> None:
    made = core.services.curating.create("default", info())
    core.services.curating.link("default", made.id, labelled(core, 2))
    core.services.building.request_build("default", made.id)
    before = core.items()
    with pytest.raises(IllegalTransition):
        core.services.removing.delete_version("default", made.id, force=True)
    assert core.items() == before


def test_a_version_that_a_model_learnt_from_is_deleted_only_by_force_and_stays_in_its_lineage(core: Core) -> None:
    # given a model
    version = ready_version(core, labelled(core, 4))
    model = trained_model(core, version.id)
    # when its version is deleted, then this is refused, and the model named
    with pytest.raises(IllegalTransition) as refused:
        core.services.removing.delete_version("default", version.id)
    assert f"model {model}" in refused.value.current
    # when somebody insists
    gone = core.services.removing.delete_version("default", version.id, by="key-1", force=True)
    # then the lineage still says which content it was, and that its images are gone
    assert (gone.deletion["forced"], gone.deletion["models"]) == (True, [model])
    found, behind, images, cursor = core.services.tracing.images_of("default", model, 10, None)
    assert (behind.status, behind.digest, images, cursor) == ("DELETED", found.dataset["digest"], [], None)


def test_what_is_released_or_learnt_from_by_a_loop_is_not_even_deleted_by_force(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    release(core, trained_model(core, version.id))
    with pytest.raises(IllegalTransition) as refused:
        core.services.removing.delete_version("default", version.id, force=True)
    assert "release scenes (current)" in refused.value.current
    # the next model's release frees it
    other = ready_version(core, labelled(core, 4, "j"), version="2")
    release(core, trained_model(core, other.id, 0.9))
    assert core.services.removing.delete_version("default", version.id, force=True).status == "DELETED"
    # a loop holds on to what it learnt from
    order = {"name": "l", "dataset_name": "animals", "release_name": "scenes", "annotation_type": "detection"}
    core.services.looping.create("default", order)
    with pytest.raises(IllegalTransition) as held:
        core.services.removing.delete_version("default", other.id, force=True)
    assert "loop l" in held.value.current


def test_a_version_that_a_task_works_on_is_not_deleted(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    task = core.services.training.request("default", version.id)
    with pytest.raises(IllegalTransition) as refused:
        core.services.removing.delete_version("default", version.id, force=True)
    assert f"task {task.id} (train)" in refused.value.current
    core.services.tasks.fail("default", task.id, "Broken", "x")
    assert core.services.removing.delete_version("default", version.id).status == "DELETED"


def test_a_version_that_something_reads_or_follows_is_not_deleted(core: Core) -> None:
    # given a version that is compared with another, and one whose splits a build follows
    ids = labelled(core, 4)
    first, second = ready_version(core, ids, version="1"), ready_version(core, ids, version="2")
    task = core.services.comparing.request("default", first.id, second.id, core.clock.new_id())
    with pytest.raises(IllegalTransition) as refused:
        core.services.removing.delete_version("default", second.id, force=True)
    assert f"task {task.id} (diff)" in refused.value.current
    core.services.tasks.fail("default", task.id, "Broken", "x")
    next_one = core.services.curating.create("default", info(version="3"))
    core.services.curating.link("default", next_one.id, ids)
    build = core.services.building.request_build("default", next_one.id)
    anchor = core.services.curating.get("default", next_one.id).anchor_id
    with pytest.raises(IllegalTransition) as followed:
        core.services.removing.delete_version("default", str(anchor), force=True)
    assert "version 3 (being built" in followed.value.current
    # when that has ended, then nothing is in the way
    run_build(core, build.id)
    assert core.services.removing.delete_version("default", str(anchor)).status == "DELETED"


def test_members_that_a_restored_version_took_over_stay_until_the_last_one_is_deleted(core: Core) -> None:
    # given two versions with the members of an older one
    ids = labelled(core, 4)
    old = ready_version(core, ids, version="1")
    second = core.services.versioning.restore("default", old.id, "2")
    third = core.services.versioning.restore("default", old.id, "3")
    members = f"{old.manifest_prefix}/members.txt"
    # when the old one is deleted
    core.services.removing.delete_version("default", old.id)
    # then the others can still be built
    assert [key for key in below(core, old.id) if "/manifests/" in key] == [members]
    run_build(core, core.services.building.request_build("default", second.id).id)
    assert core.services.curating.get("default", second.id).digest == old.digest
    # when one of them goes, the other one's members stay; with the last one they go
    core.services.removing.delete_version("default", second.id)
    assert members in core.objects()
    core.services.removing.delete_version("default", third.id)
    assert core.objects() == {}
    assert not [item for item in core.items() if item["sk"].startswith("USE#")]


def test_of_two_borrowers_that_go_at_once_the_members_go_too(core: Core) -> None:
    # given two versions that use the members of a deleted one, both of them on their way out
    old = ready_version(core, labelled(core, 4), version="1")
    drafts = [core.services.versioning.restore("default", old.id, name) for name in ("2", "3")]
    core.services.removing.delete_version("default", old.id)
    leaving = [core.stores.removals.begin_version(draft, core.clock.text(), {}) for draft in drafts]
    # when each is finished while the other one is still there
    assert [core.again().removing.finish(version).status for version in leaving] == ["DELETED", "DELETED"]
    # then nothing is left
    assert core.objects() == {}


def test_members_that_only_segments_speak_of_stay_too(core: Core) -> None:
    # given a version whose members another one took over before that was noted
    old = ready_version(core, labelled(core, 4), version="1")
    taken = core.services.versioning.restore("default", old.id, "2")
    core.stores.removals.forget_user("default", old.id, taken.id)
    # when the old one is deleted
    core.services.removing.delete_version("default", old.id)
    # then they are still there
    assert f"{old.manifest_prefix}/members.txt" in core.objects()


def test_a_version_on_its_way_out_lends_nothing(core: Core) -> None:
    old = ready_version(core, labelled(core, 4), version="1")
    draft = core.services.curating.create("default", info(version="2"))
    (segment,) = core.stores.datasets.segments("default", old.id)
    core.services.removing.delete_version("default", old.id)
    from dataclasses import replace

    with pytest.raises(IllegalTransition):
        core.stores.datasets.add_segment("default", replace(segment, version_id=draft.id))


def test_a_deletion_that_died_is_finished_by_the_sweep(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a deletion whose function died before the files went
    core.services.keyring.create("default", "device", ["write"])
    version = ready_version(core, labelled(core, 4))

    def die(_: Any) -> None:
        raise Unavailable("S3 is gone")

    monkeypatch.setattr(core.stores.artifacts, "delete", die)
    with pytest.raises(Unavailable):
        core.services.removing.delete_version("default", version.id, by="key-1")
    monkeypatch.undo()
    assert core.services.curating.get("default", version.id).status == "DELETING"
    assert below(core, version.id)
    # when the sweep comes by
    assert core.again().sweeping.sweep(full=False)["versions"] == 1
    # then it is deleted, by whoever began
    gone = core.services.curating.get("default", version.id)
    assert (gone.status, gone.deletion["by"]) == ("DELETED", "key-1")
    assert below(core, version.id) == []
    assert core.again().sweeping.sweep(full=False)["versions"] == 0


def test_a_repeated_deletion_answers_what_stands(core: Core) -> None:
    version = ready_version(core, labelled(core, 2))
    first = core.services.removing.delete_version("default", version.id, by="key-1")
    core.clock.move(days=1)
    assert core.services.removing.delete_version("default", version.id, by="key-2", force=True) == first
    with pytest.raises(NotFound):
        core.services.removing.delete_version("default", core.clock.new_id())
    with pytest.raises(NotFound):
        core.services.removing.delete_version("other", version.id)


# Datasets


def test_a_dataset_is_deleted_with_all_its_versions(core: Core) -> None:
    core.services.keyring.create("default", "device", ["write"])
    ids = labelled(core, 4)
    first = ready_version(core, ids, version="1")
    core.services.curating.create("default", info(version="2"))
    other = ready_version(core, ids, "plants")
    gone = core.services.removing.delete_dataset("default", first.dataset_id, by="key-1")
    # its names are free at once, its versions gone, others untouched
    assert gone.status == "DELETING"
    assert [dataset.name for dataset in core.services.curating.datasets("default", 10, None)[0]] == ["plants"]
    assert {v.status for v in core.services.curating.versions("default", first.dataset_id, 10, None)[0]} == {"DELETED"}
    assert core.services.curating.get("default", other.id) == other
    again = core.services.curating.create("default", info())
    assert again.dataset_id != first.dataset_id
    # and the sweep ends it, once no late version can show up any more
    assert core.again().sweeping.sweep(full=False)["versions"] == 0
    core.clock.move(minutes=6)
    assert core.again().sweeping.sweep(full=False)["versions"] == 1
    assert core.services.curating.dataset("default", first.dataset_id).status == "DELETED"
    assert core.services.removing.delete_dataset("default", first.dataset_id).status == "DELETED"
    assert core.services.curating.get("default", again.id).status == "DRAFT"


def test_a_dataset_of_which_one_version_is_needed_stays_whole(core: Core) -> None:
    ids = labelled(core, 4)
    first, second = ready_version(core, ids, version="1"), ready_version(core, ids, version="2")
    trained_model(core, second.id)
    before = core.items(), sorted(core.objects())
    with pytest.raises(IllegalTransition):
        core.services.removing.delete_dataset("default", first.dataset_id)
    assert (core.items(), sorted(core.objects())) == before


def test_no_version_slips_into_a_dataset_that_is_being_deleted(core: Core) -> None:
    # given somebody who looked the dataset up just before its deletion
    first = core.services.curating.create("default", info(version="1"))
    look = core.stores.datasets.find_dataset
    stale = look("default", "animals")
    core.services.removing.delete_dataset("default", first.dataset_id)
    answers = [stale]
    core.stores.datasets.find_dataset = lambda *names: answers.pop() if answers else look(*names)
    # when a version is made
    made = core.services.curating.create("default", info(version="2"))
    # then it is of a new dataset of that name
    assert made.dataset_id != first.dataset_id
    assert core.services.curating.dataset("default", made.dataset_id).status == "ACTIVE"


def test_a_crash_between_a_datasets_deletion_and_its_versions_is_finished(core: Core) -> None:
    core.services.keyring.create("default", "device", ["write"])
    version = ready_version(core, labelled(core, 3))
    dataset = core.services.curating.dataset("default", version.dataset_id)
    core.stores.removals.begin_dataset(dataset, core.clock.text())
    core.clock.move(minutes=6)
    core.again().sweeping.sweep(full=False)
    assert core.services.curating.get("default", version.id).status == "DELETED"
    assert core.services.curating.dataset("default", dataset.id).status == "DELETED"
    assert core.objects() == {}


def test_tasks_of_a_target_are_found(core: Core) -> None:
    version = ready_version(core, labelled(core, 2))

    def kinds(**only: Any) -> list[str]:
        found: list[Task] = list(core.stores.tasks.of_target("default", f"Dataset#{version.id}", **only))
        return [task.kind for task in found]

    assert kinds() == ["build"]
    assert kinds(only_active=True) == []
    core.services.auditing.request("default", version.id, core.clock.new_id())
    assert kinds(only_active=True) == ["verify"]
