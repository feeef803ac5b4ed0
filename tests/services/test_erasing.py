"""Deletion of images: what goes, what stays, what is proposed, and what cannot bring them back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dataloop.domain.errors import IllegalTransition, InvalidInput, LimitExceeded, NotFound
from dataloop.manifests.scrubbing import Outcome, scrub
from dataloop.services.publishing import events_of
from dataloop.services.registering import ObjectNotice
from tests.actions import image, info, label, labelled, meta, put, ready_version, release, run_build, trained_model
from tests.core import ARTIFACTS, RAW, Core, account
from tests.erasing import (
    delete,
    is_waiting,
    part_keys,
    receipt_of,
    run_deletion,
    run_parts,
    stopped_bucket_clock,
    traces,
)
from tests.pictures import picture


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found, stopped_bucket_clock(found):
        yield found


def uid_of(core: Core, annotation_id: str) -> str:
    return str(core.services.annotating.get("default", annotation_id).data_ids[0])


def content_of(name: str) -> bytes:
    return picture() + f"d/{name}.jpg".encode()


def test_a_deletion_takes_every_copy_and_proves_it(core: Core) -> None:
    # given an image at two keys, one of which another content replaced since, and a version that holds it
    ids = labelled(core, 4)
    uid, content = uid_of(core, ids[0]), content_of("i0")
    _, copy = put(core, "e/copy.jpg", content)
    core.services.registering.register_object(copy)
    other, replacing = put(core, "e/copy.jpg", picture(seed=7) + b"another")
    core.services.registering.register_object(replacing)
    version = ready_version(core, ids)
    assert len(traces(core, uid, content)) > 5
    core.clock.move(seconds=2)
    # when it is deleted
    deletion_id = delete(core, [uid])
    # then nothing is left of it, the replacing content is, and the version proves its digest without the row
    assert traces(core, uid, content) == []
    assert core.services.uploading.link_by_uid("default", other)
    after = core.services.curating.get("default", version.id)
    assert (after.digest, after.erased) == (version.digest, 1)
    assert sum(after.report["counts"].values()) == 3
    receipt = receipt_of(core, deletion_id)
    assert {place["key"] for place in receipt["removed"]["object_versions"]} == {"d/i0.jpg", "e/copy.jpg"}
    assert receipt["verified"]["object_versions"] == 2
    assert core.services.registering.get("default", uid).status == "ERASED"


def test_the_same_request_is_the_same_deletion_and_unknown_images_are_named(core: Core) -> None:
    uid = uid_of(core, image(core, "one"))
    core.clock.move(seconds=2)
    first, task = core.services.erasing.request("default", [uid, "0" * 32], "because")
    again, same = core.services.erasing.request("default", [uid, "0" * 32], "because")
    assert (first.id, task.id, first.unknown) == (again.id, same.id, ("0" * 32,))
    run_deletion(core, task.id)
    after, _ = core.services.erasing.request("default", [uid], "because")
    assert (after.id, after.status) == (first.id, "DONE")


def test_bad_requests_are_refused(core: Core) -> None:
    erasing = core.services.erasing
    with pytest.raises(NotFound):
        erasing.request("default", ["0" * 32], "because")
    with pytest.raises(InvalidInput, match="reason"):
        erasing.request("default", ["0" * 32], " ")
    with pytest.raises(InvalidInput, match="uids"):
        erasing.request("default", ["x"], "because")
    with pytest.raises(LimitExceeded):
        erasing.request("default", ["0" * 32] * 1001, "because")
    assert core.entity("DEL") == []


def test_an_annotation_of_two_images_loses_only_one(core: Core) -> None:
    one, other = uid_of(core, image(core, "one")), uid_of(core, image(core, "other"))
    both = core.services.annotating.register("default", label(one, other, name="dog"))
    core.clock.move(seconds=2)
    delete(core, [one])
    assert core.services.annotating.get("default", both.id).data_ids == (other,)
    with pytest.raises(IllegalTransition, match="ERASED"):
        core.services.annotating.register("default", label(one, other, name="horse"))


def test_a_late_event_of_an_unknown_copy_brings_nothing_back(core: Core) -> None:
    # given a copy whose event was lost, and a deletion
    uid, content = uid_of(core, image(core, "one")), content_of("one")
    _, lost = put(core, "far/away.jpg", content)
    core.clock.move(seconds=2)
    delete(core, [uid])
    assert traces(core, uid, content) == ["raw-bucket/far/away.jpg"]
    # when the event comes after all, twice
    for _ in range(2):
        core.again().registering.register_object(lost)
    # then a deletion of its own completes the first one
    (late,) = [found for found in core.services.erasing.page("default", 10, None)[0] if found.late_of]
    run_deletion(core, late.task_id)
    assert traces(core, uid, content) == []
    assert core.services.registering.get("default", uid).status == "ERASED"


def test_the_same_bytes_uploaded_later_live_again_and_can_be_deleted_again(core: Core) -> None:
    ids = labelled(core, 4)
    uid, content = uid_of(core, ids[0]), content_of("i0")
    version = ready_version(core, ids)
    core.clock.move(seconds=2)
    first = delete(core, [uid])
    core.clock.move(seconds=2)
    _, notice = put(core, "again.jpg", content)
    core.services.registering.register_object(ObjectNotice(notice.key, notice.version_id, "FFFF"))
    core.services.registering.register_metadata("default", meta(uid))
    assert core.services.registering.get("default", uid).status == "REGISTERED"
    assert core.services.annotating.register("default", label(uid)).id == ids[0]
    # a version built before stays without it, and is built again to the same digest
    task = core.services.building.request_build("default", version.id, task_id=core.clock.new_id(), parent_id="run")
    run_build(core, task.id)
    assert core.services.tasks.read("default", task.id).status == "SUCCEEDED"
    core.clock.move(seconds=2)
    second = delete(core, [uid])
    assert second != first
    assert traces(core, uid, content) == []


def test_a_version_that_is_being_built_comes_out_without_it(core: Core) -> None:
    ids = labelled(core, 4)
    uid = uid_of(core, ids[0])
    made = core.services.curating.create("default", info())
    core.services.curating.link("default", made.id, ids)
    build = core.services.building.request_build("default", made.id)
    plan = core.services.building.plan("default", build.id)
    for key in part_keys(core, plan):
        core.services.building.join("default", build.id, key)
    assert core.services.building.reduce("default", build.id)["rows"] == 4
    core.clock.move(seconds=2)
    # when the image is erased between the build's last but one step and its last
    _, task = core.services.erasing.request("default", [uid], "because")
    run_parts(core, core.services.erasure_steps.plan("default", task.id), task.id)
    core.clock.move(seconds=60)
    assert is_waiting(core, task.id)
    core.again().building.mark_ready("default", build.id)
    # then it is READY without it, and the deletion goes on
    version = core.services.curating.get("default", made.id)
    assert (version.status, version.erased, sum(version.report["counts"].values())) == ("READY", 1, 3)
    assert not is_waiting(core, task.id)
    run_parts(core, core.services.erasure_steps.settle("default", task.id), task.id)
    core.services.erasure_steps.mark("default", task.id)
    assert traces(core, uid, content_of("i0")) == []


def test_models_and_releases_are_marked_and_what_to_do_is_proposed(core: Core) -> None:
    # given a release by a model that never saw the image, and after it one that learnt from it
    ids = labelled(core, 8)
    clean = trained_model(core, ready_version(core, ids[4:], "clean").id, 0.7)
    first = release(core, clean)
    touched = trained_model(core, ready_version(core, ids[:4], "touched").id, 0.9)
    second = release(core, touched, force=True)
    child = trained_model(core, ready_version(core, ids[4:], "child").id, parent_model_id=touched)
    core.clock.move(seconds=2)
    receipt = receipt_of(core, delete(core, [uid_of(core, ids[0])]))
    assert {entry["model_id"]: entry["how"] for entry in receipt["models"]} == {touched: "learnt", child: "inherited"}
    assert [entry["release_id"] for entry in receipt["releases"]] == [second]
    rollback = next(entry for entry in receipt["proposals"] if entry["action"] == "roll_back")
    assert (rollback["to_release_id"], rollback["command"]) == (first, "dataloop rollback scenes")
    retrain = next(entry for entry in receipt["proposals"] if entry.get("model_id") == touched)
    assert retrain["command"].startswith("dataloop train ")
    marks = core.services.tracing.model("default", touched).touched_by
    assert [mark["how"] for mark in marks] == ["learnt"]
    assert core.services.tracing.model("default", clean).touched_by == ()


def test_reports_lose_the_picture_and_keep_the_rest(core: Core) -> None:
    ids = labelled(core, 4)
    uid, other = uid_of(core, ids[3]), uid_of(core, ids[2])  # the test split
    model = core.services.tracing.model("default", trained_model(core, ready_version(core, ids).id))
    figure = '<figure class="picture"><svg>{0}</svg><div>{1}</div></figure>'
    files = {
        "report.html": f"<h1>kept</h1>{figure.format('pixels', uid)}{figure.format('others', other)}",
        "worst.json": json.dumps([{"uid": uid, "loss": 1}, {"uid": other, "loss": 0}]),
        "predictions.jsonl": "".join(json.dumps({"uid": each, "predictions": []}) + "\n" for each in (uid, other)),
    }
    for name, text in files.items():
        core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{model.report_prefix}/{name}", Body=text.encode())
    core.clock.move(seconds=2)
    delete(core, [uid])
    left = {name: core.objects()[f"{model.report_prefix}/{name}"].decode() for name in files}
    assert "kept" in left["report.html"] and "others" in left["report.html"] and "pixels" not in left["report.html"]
    assert [row["uid"] for row in json.loads(left["worst.json"])] == [other]
    assert len(left["predictions.jsonl"].splitlines()) == 1
    assert traces(core, uid, content_of("i3")) == []


def test_a_file_that_cannot_be_edited_goes_whole(tmp_path) -> None:  # type: ignore[no-untyped-def]
    uid = "a" * 32
    for name, body, outcome in (
        ("x.bin", f"…{uid}…", Outcome.REMOVED),
        ("x.json", f'{{"broken": "{uid}"', Outcome.REMOVED),
        ("y.bin", "nothing", Outcome.SAME),
        ("z.json", json.dumps({"best": uid, "n": 1}), Outcome.REWRITTEN),
    ):
        path = tmp_path / name
        path.write_text(body)
        assert scrub(path, {uid}, ()) is outcome, name
    assert json.loads((tmp_path / "z.json").read_text()) == {"n": 1}


def test_a_failed_deletion_goes_on_when_it_is_asked_for_again(core: Core) -> None:
    uid = uid_of(core, image(core, "one"))
    core.clock.move(seconds=2)
    deletion, task = core.services.erasing.request("default", [uid], "because")
    core.services.erasure_steps.plan("default", task.id)
    core.services.tasks.fail("default", task.id, "Throttled", "too busy")
    again, another = core.services.erasing.request("default", [uid], "because")
    assert again.id == deletion.id
    assert another.id != task.id
    run_deletion(core, another.id)
    assert traces(core, uid, content_of("one")) == []


def test_other_tenants_keep_theirs(core: Core) -> None:
    uid, content = uid_of(core, image(core, "one")), content_of("one")
    _, notice = put(core, "tenants/other/x.jpg", content)
    core.services.registering.register_object(notice)
    core.clock.move(seconds=2)
    delete(core, [uid])
    assert core.services.registering.get("other", uid).is_usable
    with pytest.raises(NotFound):
        core.services.erasing.get("other", core.entity("DEL")[0]["id"])


def test_the_event_says_which_images_are_gone() -> None:
    old = {"pk": "default|RAW#" + "a" * 32, "sk": "#", "uid": "a" * 32, "erased_at": "1", "deletion_id": "d"}
    new = old | {"cleared_at": "2026-11-22T12:00:00.000Z"}
    ((_, event),) = events_of([(old, new)])
    assert (event.name, dict(event.data)) == ("RawDataErased", {"count": 1, "uids": ["a" * 32], "deletion_id": "d"})
    assert events_of([(new, new)]) == []


def test_an_unfinished_upload_of_the_key_goes_too(core: Core) -> None:
    uid = uid_of(core, image(core, "one"))
    begun = core.clients.s3.create_multipart_upload(Bucket=RAW, Key="d/one.jpg")
    core.clients.s3.upload_part(
        Bucket=RAW, Key="d/one.jpg", UploadId=begun["UploadId"], PartNumber=1, Body=content_of("one")
    )
    core.clock.move(seconds=2)
    # moto begins uploads at no time of the test's clock
    core.clock.move(days=3650)
    delete(core, [uid])
    assert not core.clients.s3.list_multipart_uploads(Bucket=RAW).get("Uploads")
