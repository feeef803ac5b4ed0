"""The sweep: an object without record and a record without object are put right, twice changes nothing."""

from __future__ import annotations

from typing import Any

from tests.actions import image, meta, put
from tests.core import RAW, Core
from tests.handlers import handle


def sweep(core: Core) -> dict[str, int]:
    """A full sweep, and what it announces worked on by ingest_object."""
    counts = core.again().sweeping.sweep(full=True, grace_s=0)
    messages = core.messages(core.settings.ingest_queue_url)
    import json

    event = {"Records": [{"messageId": str(n), "body": json.dumps(body)} for n, body in enumerate(messages)]}
    assert handle(core, "ingest_object", event) == {"batchItemFailures": []}
    return {name: count for name, count in counts.items() if count}


def now(core: Core) -> None:
    """moto gives objects the real time: bring the clock there."""
    from datetime import UTC, datetime, timedelta

    core.clock.moment = datetime.now(UTC) + timedelta(seconds=1)


def status(core: Core, uid: str) -> str:
    return str(core.services.registering.get("default", uid).status)


def test_an_object_whose_event_was_lost_gets_its_record(core: Core) -> None:
    uid, _ = put(core, "lost +ü.jpg")
    now(core)
    assert sweep(core) == {"objects": 1}
    assert status(core, uid) == "AWAITING_METADATA"
    assert sweep(core) == {}


def test_a_record_whose_object_is_gone_loses_it(core: Core) -> None:
    # given one object deleted by a marker and one deleted for good, both without event
    now(core)
    uids = []
    for name in ("marked", "gone"):
        uid, notice = put(core, f"{name}.jpg")
        core.services.registering.register_object(notice)
        uids.append((uid, notice))
    core.clients.s3.delete_object(Bucket=RAW, Key="marked.jpg")
    core.clients.s3.delete_object(Bucket=RAW, Key="gone.jpg", VersionId=uids[1][1].version_id)
    now(core)
    assert sweep(core) == {"removals": 2}
    assert [status(core, uid) for uid, _ in uids] == ["DELETED", "DELETED"]
    assert sweep(core) == {}


def test_an_empty_bucket_empties_the_records(core: Core) -> None:
    now(core)
    core.services.keyring.create("default", "first", ["admin"])
    uid, notice = put(core, "only.jpg")
    core.services.registering.register_object(notice)
    core.clients.s3.delete_object(Bucket=RAW, Key="only.jpg", VersionId=notice.version_id)
    assert sweep(core) == {"removals": 1}
    assert status(core, uid) == "DELETED"


def test_the_same_content_uploaded_again_without_event_is_found(core: Core) -> None:
    # given a registered object, uploaded again to the same key; the event of the second is lost
    now(core)
    uid, notice = put(core, "a.jpg")
    core.services.registering.register_object(notice)
    _, second = put(core, "a.jpg")
    core.clients.s3.delete_object(Bucket=RAW, Key="a.jpg", VersionId=notice.version_id)
    now(core)
    # when it is swept, then the record points to what is there
    sweep(core)
    sweep(core)
    found = core.services.registering.get("default", uid)
    assert [at.version_id for at in found.live_locations] == [second.version_id]
    assert sweep(core) == {}
    # and a later real event still counts
    _, third = put(core, "a.jpg")
    core.services.registering.register_object(third)
    assert core.services.registering.get("default", uid).live_locations[0].version_id == third.version_id


def test_a_sound_state_is_left_alone(core: Core) -> None:
    now(core)
    for name in ("a", "b"):
        image(core, name)
    core.clients.s3.put_object(Bucket=RAW, Key="folder/", Body=b"")
    before = core.items()
    now(core)
    assert sweep(core) == {}
    assert core.items() == before


def test_metadata_that_waits_too_long_is_an_orphan_until_its_object_comes(core: Core) -> None:
    uid, notice = put(core, "late.jpg")
    core.clock.move(days=-8)
    core.services.registering.register_metadata("default", meta(uid))
    core.clock.move(days=8)
    assert core.services.sweeping.sweep(full=False)["orphans"] == 1
    assert status(core, uid) == "ORPHANED"
    assert core.services.sweeping.sweep(full=False)["orphans"] == 0
    core.services.registering.register_object(notice)
    assert status(core, uid) == "REGISTERED"


def test_an_annotation_file_whose_event_was_lost_is_imported(core: Core) -> None:
    now(core)
    core.clients.s3.put_object(
        Bucket=RAW,
        Key="annotations/x.jsonl",
        Body=b'{"dataId":"' + b"0" * 32 + b'","annotationType":"object","labelInfo":[]}',
    )
    now(core)
    assert sweep(core) == {"imports": 1}
    assert len(core.entity("ANN")) == 1
    assert sweep(core) == {}


def test_one_repair_that_fails_does_not_stop_the_others(core: Core) -> None:
    from dataloop.services.sweeping import SweepFailed

    now(core)
    tasks = [core.services.tasks.create("default", "export", "x", {}) for _ in range(3)]
    services: Any = core.again()
    resume = services.tasks.resume

    def broken(task: Any) -> str:
        if task.id == tasks[1].id:
            raise RuntimeError("broken")
        return str(resume(task))

    services.tasks.resume = broken
    core.clock.move(minutes=10)
    try:
        services.sweeping.sweep(full=False)
    except SweepFailed as failed:
        assert failed.failures == 1
    else:
        raise AssertionError("the failure was swallowed")
    assert [core.services.tasks.read("default", task.id).status for task in tasks] == ["QUEUED", "CREATED", "QUEUED"]
