"""2,000 uploads whose events come one to three times, shuffled, eight at a time: nothing lost, nothing doubled."""

from __future__ import annotations

import hashlib
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dataloop.domain.canonical import canonical_json
from tests.actions import label, meta
from tests.core import RAW, Core, account
from tests.handlers import handle
from tests.pictures import picture

UPLOADS = 2_000
THREADS = 8


def upload(core: Core, number: int) -> tuple[str, dict[str, Any]]:
    """A small JPEG of its own (cameras write behind the end mark, so do we) and its event."""
    body = picture(size=(8, 8)) + f"upload {number}".encode()
    uid, key = hashlib.sha256(body).hexdigest()[:32], f"storm/{number:04d} +ü.jpg"
    answer = core.clients.s3.put_object(Bucket=RAW, Key=key, Body=body, Metadata={"uid": uid})
    return uid, {
        "eventName": "ObjectCreated:Post",
        "eventTime": "2026-11-22T12:00:00.000Z",
        "s3": {
            "bucket": {"name": RAW},
            "object": {
                "key": key.replace("+", "%2B").replace(" ", "+").replace("ü", "%C3%BC"),
                "versionId": answer["VersionId"],
                "sequencer": f"{number:X}A",
            },
        },
    }


def message(number: int, record: dict[str, Any]) -> dict[str, Any]:
    return {"messageId": str(number), "body": json.dumps({"Records": [record]})}


def test_two_thousand_uploads_make_two_thousand_records() -> None:
    with account() as core:
        # given the uploads, with each event one to three times, in any order, in batches of ten
        chance = random.Random(7)
        made = [upload(core, number) for number in range(UPLOADS)]
        records = [record for _, record in made for _ in range(chance.randint(1, 3))]
        chance.shuffle(records)
        messages = [message(number, record) for number, record in enumerate(records)]
        batches = [{"Records": messages[start : start + 10]} for start in range(0, len(messages), 10)]
        core.clients.calls.clear()
        # when eight functions work on them at a time
        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(lambda batch: handle(core, "ingest_object", batch), batches))
        # then no message failed, and each event cost one read of the object and one write of the record
        assert all(answer == {"batchItemFailures": []} for answer in answers)
        calls = core.clients.of("dynamodb")
        assert calls["dynamodb.UpdateItem"] == len(records)
        # each function notes the day once
        assert calls.keys() == {"dynamodb.UpdateItem", "dynamodb.PutItem"}
        assert calls["dynamodb.PutItem"] <= len(batches) * 3
        assert core.clients.of("s3") == {"s3.GetObject": len(records)}
        # and there are exactly the 2,000 records, each with its one place and its size
        items = [item for item in core.items() if "uid" in item]
        assert len(records) > UPLOADS
        assert {item["uid"] for item in items} == {uid for uid, _ in made}
        assert len(items) == UPLOADS
        assert all(len([name for name in item if name.startswith("loc_")]) == 1 for item in items)
        assert all((item["width"], item["height"], item["media_type"]) == (8, 8, "image/jpeg") for item in items)


def test_any_order_of_halves_and_annotations_ends_in_the_same_state() -> None:
    """Annotation before raw data, metadata before object, everything twice: compared is the whole table."""
    states = set()
    for seed in range(8):
        with account() as core:
            # given ten uploads, what is said of them, and what is labelled
            work: list[Any] = []
            for number in range(10):
                uid, record = upload(core, number)
                event = {"Records": [message(number, record)]}
                work += [
                    lambda event=event: handle(core, "ingest_object", event),
                    lambda uid=uid: core.again().registering.register_metadata("default", meta(uid)),
                    lambda uid=uid: core.again().annotating.register("default", label(uid)),
                ] * 2
            # when it happens in another order each time; the first order is objects, metadata, labels
            if seed:
                random.Random(seed).shuffle(work)
            for step in work:
                step()
            # then the state is the same, but for the version ids and times that S3 made up
            versions = {item["uid"]: item for item in core.items() if "uid" in item}
            assert len(versions) == 10
            for item in (items := core.items()):
                for name in [name for name in item if name.startswith("loc_")]:
                    item[name] |= {"v": "any", "m": "any"}
            states.add(canonical_json(items))
    assert len(states) == 1
