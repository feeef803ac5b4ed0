"""What registering costs in AWS calls (design §11: at most one DynamoDB call an object)."""

from __future__ import annotations

from dataloop.services.uploading import UploadRequest
from tests.actions import label, meta, put
from tests.core import Core
from tests.pictures import picture


def test_an_object_costs_one_read_and_one_write(core: Core) -> None:
    # The first file of a process and a day also notes the day.
    core.services.registering.register_object(put(core, "first.jpg")[1])
    _, notice = put(core, "a.jpg")
    core.clients.calls.clear()
    core.services.registering.register_object(notice)
    assert core.clients.calls == ["s3.GetObject", "dynamodb.UpdateItem"]


def test_a_large_file_costs_no_more_writes_and_is_not_read_whole(core: Core) -> None:
    core.services.registering.register_object(put(core, "first.jpg")[1])
    uid, notice = put(core, "large.mp4", b"no picture" + b"\0" * (2 << 20))
    core.clients.calls.clear()
    assert core.services.registering.register_object(notice) == uid
    assert core.clients.of("dynamodb") == {"dynamodb.UpdateItem": 1}
    assert core.clients.of("s3") == {"s3.GetObject": 2, "s3.HeadObject": 1}


def test_a_large_picture_is_read_in_one_request_for_its_hash(core: Core) -> None:
    core.services.registering.register_object(put(core, "first.jpg")[1])
    uid, notice = put(core, "large.jpg", picture() + b"\0" * (2 << 20))
    core.clients.calls.clear()
    assert core.services.registering.register_object(notice) == uid
    assert core.clients.calls == ["s3.GetObject", "dynamodb.UpdateItem"]
    facts = core.services.registering.get("default", uid).facts
    assert facts is not None
    assert facts.phash is not None


def test_metadata_costs_one_write_and_an_annotation_a_read_and_two_writes(core: Core) -> None:
    core.services.registering.register_metadata("default", meta("0" * 32))
    assert core.clients.calls == ["dynamodb.UpdateItem"]
    core.clients.calls.clear()
    core.services.annotating.register("default", label("0" * 32))
    # Is the file erased? Then the statement, then its edge and its posting.
    assert core.clients.calls == ["dynamodb.BatchGetItem", "dynamodb.PutItem", "dynamodb.BatchWriteItem"]


def test_planning_a_thousand_uploads_costs_ten_reads(core: Core) -> None:
    files = [UploadRequest(f"{n}.jpg", "d", 10, f"{n:064x}") for n in range(1000)]
    plans = core.services.uploading.plan("default", files)
    assert len(plans) == 1000
    # uids are the first half of the digest: all of these share one
    assert core.clients.of("dynamodb") == {"dynamodb.BatchGetItem": 1}
    core.clients.calls.clear()
    core.services.uploading.plan(
        "default", [UploadRequest(f"{n}.jpg", "d", 10, f"{n:x}".rjust(32, "0") * 2) for n in range(1000)]
    )
    assert core.clients.calls == ["dynamodb.BatchGetItem"] * 10


def test_linking_costs_the_same_for_any_number_of_ids(core: Core) -> None:
    from tests.actions import info

    ids = [core.services.annotating.register("default", label(f"{n:032x}")).id for n in range(60)]
    costs = []
    for version, chosen in (("1", ids[:2]), ("2", ids)):
        made = core.services.curating.create("default", info(version=version))
        core.clients.calls.clear()
        core.services.curating.link("default", made.id, chosen)
        costs.append(list(core.clients.calls))
    assert costs[0] == costs[1]
    assert sorted(costs[0]) == [
        "dynamodb.BatchGetItem",
        "dynamodb.GetItem",
        "dynamodb.TransactWriteItems",
        "s3.PutObject",
    ]
