"""Every inbound payload goes to its handler twice and in any order: what happened once is what stands."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloop.domain.canonical import canonical_json
from dataloop.domain.principals import AccessKey, key_digest
from tests.actions import meta
from tests.core import RAW, Core, account
from tests.events.payloads import inbound, names
from tests.handlers import handle
from tests.pictures import picture

TASK = "01a20474-c3f3-785a-914e-aa900e000001"
KEY = "field/café 1+1.jpg"


@pytest.fixture
def core() -> Iterator[Core]:
    with account() as found:
        yield found


def placed(event: dict[str, Any], version_id: str) -> dict[str, Any]:
    """The payload with the version id that the store gave here."""
    event = copy.deepcopy(event)
    for message in event["Records"]:
        body = json.loads(message["body"])
        for record in body["Records"]:
            record["s3"]["object"]["versionId"] = version_id
        message["body"] = json.dumps(body)
    return event


def uploaded(core: Core) -> tuple[str, str]:
    body = picture()
    version = core.clients.s3.put_object(Bucket=RAW, Key=KEY, Body=body)["VersionId"]
    return version, hashlib.sha256(body).hexdigest()[:32]


def test_a_created_object_in_any_format_is_one_record_with_its_decoded_name(core: Core) -> None:
    version, uid = uploaded(core)
    for name in ("s3_created", "s3_created_in_a_later_format", "s3_created"):
        assert handle(core, "ingest_object", placed(inbound(name), version)) == {"batchItemFailures": []}
    (item,) = core.entity("RAW")
    assert item["uid"] == uid
    assert core.services.registering.get("default", uid).locations[0].key == KEY


def test_created_and_removed_in_any_order_end_removed(core: Core) -> None:
    version, uid = uploaded(core)
    marker = core.clients.s3.delete_object(Bucket=RAW, Key=KEY)["VersionId"]
    created, removed = placed(inbound("s3_created"), version), placed(inbound("s3_removed"), marker)
    states = set()
    for order in set(itertools.permutations(["created", "created", "removed", "removed"])):
        for what in order:
            handle(core, "ingest_object", created if what == "created" else removed)
        assert core.services.registering.get("default", uid).status == "DELETED"
        states.add(canonical_json(core.items()))
        core.stores.table.delete(f"default|RAW#{uid}")
    assert len(states) == 1


@pytest.mark.parametrize("name", ["s3_test", "s3_deleted_for_good"])
def test_events_about_nothing_change_nothing(core: Core, name: str) -> None:
    for _ in range(2):
        assert handle(core, "ingest_object", inbound(name)) == {"batchItemFailures": []}
    assert core.items() == []


def test_only_the_message_that_failed_comes_back(core: Core) -> None:
    version, _ = uploaded(core)
    good = placed(inbound("s3_created"), version)["Records"][0]
    bad = [good | {"messageId": f"bad-{n}", "body": body} for n, body in enumerate(("{", '{"Records":[{"s3":{}}]}'))]
    answer = handle(core, "ingest_object", {"Records": [bad[0], good, bad[1]]})
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["bad-0", "bad-1"]
    assert len(core.entity("RAW")) == 1


def test_a_stream_batch_is_published_and_a_repeat_has_the_same_ids(core: Core) -> None:
    sent: list[Any] = []
    event = inbound("dynamodb_stream")
    core.clients.events.meta.events.register(
        "before-parameter-build.eventbridge.PutEvents",
        lambda params, **_: sent.extend(params["Entries"]),
        unique_id="seen",
    )
    try:
        for _ in range(2):
            assert handle(core, "publish_changes", event) == {"batchItemFailures": []}
    finally:
        core.clients.events.meta.events.unregister("before-parameter-build.eventbridge.PutEvents", unique_id="seen")
    first, second = sent[: len(sent) // 2], sent[len(sent) // 2 :]
    assert first == second
    found = [(entry["DetailType"], json.loads(entry["Detail"])["scope"]["tenant"]) for entry in first]
    assert sorted(found) == [
        ("AnnotationsRegistered", "acme"),
        ("AnnotationsRegistered", "default"),
        ("RawDataRegistered", "default"),
        ("TaskFailed", "default"),
    ]


def test_a_stream_batch_that_is_not_accepted_stops_at_its_record(core: Core) -> None:
    class Refusing:
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
            wrong = [
                {"ErrorCode": "InternalFailure"} if e["DetailType"] == "TaskFailed" else {"EventId": "1"}
                for e in Entries
            ]
            return {"FailedEntryCount": 1, "Entries": wrong}

    event = inbound("dynamodb_stream")
    real, core.clients.events = core.clients.events, Refusing()
    try:
        answer = handle(core, "publish_changes", event)
    finally:
        core.clients.events = real
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][4]["dynamodb"]["SequenceNumber"]}]}


def running(core: Core) -> None:
    task = core.services.tasks.create("default", "train", "Dataset#1", {"model_id": "none"}, id=TASK)
    core.services.tasks.begin(core.services.tasks.start(task))


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("states_failed", "FAILED", "JobFailed"),
        ("states_timed_out", "FAILED", "TimedOut"),
        ("states_aborted", "STOPPED", "Stopped"),
    ],
)
def test_an_execution_that_ended_badly_ends_its_task_once(core: Core, name: str, status: str, code: str) -> None:
    running(core)
    for payload in (name, "states_running", name, "sagemaker_training", "states_timed_out"):
        handle(core, "track_task", inbound(payload))
    ended = core.services.tasks.read("default", TASK)
    assert (ended.status, ended.error["code"]) == (status, code)  # type: ignore[index]


def test_a_running_job_says_what_it_does_and_ends_nothing(core: Core) -> None:
    running(core)
    for payload in ("sagemaker_training", "states_running") * 2:
        handle(core, "track_task", inbound(payload))
    found = core.services.tasks.read("default", TASK)
    assert (found.status, found.phase) == ("RUNNING", "downloading")


def test_events_about_unknown_tasks_change_nothing(core: Core) -> None:
    for payload in ("states_failed", "sagemaker_training"):
        handle(core, "track_task", inbound(payload))
    assert core.items() == []


def test_an_event_of_new_labels_twice_fills_one_draft(core: Core) -> None:
    made = core.services.looping.create("default", {"name": "loop", "dataset_name": "animals"})
    said = [{"dataId": "ab" * 16, "annotationType": "detection", "labelInfo": [{"label": name}]} for name in "ab"]
    ids = [core.services.annotating.register("default", entry).id for entry in said]
    event = inbound("annotations_registered")
    body = json.loads(event["Records"][0]["body"])
    body["detail"]["data"]["annotation_ids"] = ids
    event["Records"][0]["body"] = json.dumps(body)
    for _ in range(2):
        assert handle(core, "start_loop", event) == {"batchItemFailures": []}
    loop = core.services.looping.get("default", made.id)
    assert core.services.looping.evidence(loop, core.clock.now()).new_labelled == 2
    assert len(core.entity("DSV")) == 1


@pytest.mark.parametrize("name", ["http_post", "http_post_base64", "http_get"])
def test_an_http_request_is_answered_and_its_repeat_changes_nothing(core: Core, name: str) -> None:
    key = AccessKey("default", "key-1", key_digest("dl_key"), "test", ("admin",), core.clock.text())
    core.stores.keys.create(key)
    answers = [handle(core, "api_sdk", inbound(name)) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["statusCode"] == 200
    assert len(core.entity("RAW")) == (1 if name.startswith("http_post") else 0)


def test_without_a_key_the_answer_is_the_error_shape(core: Core) -> None:
    event = inbound("http_get")
    event["headers"].pop("x-api-key")
    answer = handle(core, "api_sdk", event)
    assert answer["statusCode"] == 401
    assert set(json.loads(answer["body"])) == {"code", "message", "details"}


def test_metadata_that_came_over_http_completes_what_came_by_event(core: Core) -> None:
    version, uid = uploaded(core)
    core.services.registering.register_metadata("default", meta(uid))
    handle(core, "ingest_object", placed(inbound("s3_created"), version))
    assert core.services.registering.get("default", uid).status == "REGISTERED"


def test_every_payload_is_used() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [name for name in names() if f'"{name}"' not in source] == []
