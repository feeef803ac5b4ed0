"""kill -9 of the runtime under load, ten times: what was acknowledged is there, and the loop goes on."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK, DataloopError
from dataloop_demo.scenes import compose
from tests.deployed import DeployedStack
from tests.e2e.scenes import QUICK, annotation, dataset_info, raw_data, upload_scenes
from tests.local.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.slow]
KILLS = 10
WORKERS = 3


@dataclass
class Ledger:
    """What clients saw succeed."""

    uploads: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    annotations: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        with self.lock:
            return len(self.uploads) + len(self.metadata) + len(self.annotations) + len(self.links) + len(self.tasks)

    def note(self, kind: str, entry: object) -> None:
        with self.lock:
            getattr(self, kind).append(entry)


class Worker(threading.Thread):
    """A device: uploads, describes, labels, links and builds until its server dies."""

    def __init__(self, stack: DeployedStack, ledger: Ledger, folder: Path, dataset_id: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._ledger = ledger
        self._folder = folder
        self._dataset_id = dataset_id
        self._seed = seed

    def run(self) -> None:
        with AnkerAutoTrainSDK(url=self._stack.url, api_key=self._stack.key, retries=0, progress=False) as client:
            try:
                for index, scene in enumerate(compose("train", 500, self._seed, size=64)):
                    path = self._folder / f"{self._seed}-{index}.jpg"
                    path.write_bytes(scene.image_bytes)
                    upload = client.upload_file(str(path), "crash")
                    self._ledger.note("uploads", upload.uid)
                    client.upload_raw_data(raw_data(upload, "train"))
                    self._ledger.note("metadata", upload.uid)
                    made = client.upload_annotated_data(annotation(upload.uid, scene.boxes, scene.labels))
                    self._ledger.note("annotations", made.annotation_data_id)
                    client.link_dataset([made.annotation_data_id], self._dataset_id)
                    self._ledger.note("links", (self._dataset_id, made.annotation_data_id))
                    if index % 5 == 4:
                        self._build_a_copy(client, made.annotation_data_id)
            except (DataloopError, OSError):
                return

    def _build_a_copy(self, client: AnkerAutoTrainSDK, annotation_id: str) -> None:
        copy = client.create_dataset(dataset_info(f"copy-{uuid.uuid4().hex}", "v1"))
        client.link_dataset([annotation_id], copy.dataset_id)
        self._ledger.note("links", (copy.dataset_id, annotation_id))
        self._ledger.note("tasks", client.build_dataset(copy.dataset_id).task_id)


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[DeployedStack]:
    running = DeployedStack(tmp_path / "state", "--stop-grace", "1")
    running.start(LoopDebounceSeconds="0")
    yield running
    running.kill()


def members(stack: DeployedStack, dataset_id: str) -> set[str]:
    """The annotations a draft holds, from the segments that stand."""
    bucket = stack.output("ArtifactsBucketName")
    s3 = stack.client("s3")
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"default/segments/{dataset_id}/")
    keys = [entry["Key"] for page in listed for entry in page.get("Contents", [])]
    items = stack.client("dynamodb").get_paginator("query")
    pages = items.paginate(
        TableName=stack.output("TableName"),
        KeyConditionExpression="pk = :pk AND begins_with(sk, :seg)",
        ExpressionAttributeValues={":pk": {"S": f"default|DSV#{dataset_id}"}, ":seg": {"S": "SEG#"}},
    )
    standing = {item["key"]["S"] for page in pages for item in page["Items"]}
    assert standing <= set(keys), "an item names a segment that is not there"
    return {
        line for key in standing for line in s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()
    }


def test_ten_kills_lose_nothing(own_stack: DeployedStack, tmp_path: Path) -> None:
    stack, ledger, chance = own_stack, Ledger(), random.Random(7)
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        dataset_id = client.create_dataset(dataset_info("crash", "v1")).dataset_id

    # Given load, when the runtime is killed after a random number of answers, ten times
    for kill in range(KILLS):
        folder = tmp_path / f"round-{kill}"
        folder.mkdir()
        before, wanted = len(ledger), chance.randint(5, 40)
        workers = [Worker(stack, ledger, folder, dataset_id, 1000 * kill + number) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
        until(lambda before=before, wanted=wanted: len(ledger) >= before + wanted, within_s=120, what="enough answers")
        stack.kill()
        for worker in workers:
            worker.join(timeout=60)
        stack.start(LoopDebounceSeconds="0")

    # Then every acknowledged upload is registered, with both halves where both were acknowledged
    def missing() -> list[str]:
        return [uid for uid in ledger.uploads if stack.api("GET", f"/raw-data/{uid}")[1].get("sha256") is None]

    until(lambda: not missing(), within_s=120, what="the reconciliation")
    for uid in ledger.metadata:
        status, record = stack.api("GET", f"/raw-data/{uid}")
        assert (status, record["status"]) == (200, "REGISTERED")

    # And every annotation, link and task is there
    for annotation_id in ledger.annotations:
        assert stack.api("GET", f"/annotations/{annotation_id}")[0] == 200
    held = {dataset_id: members(stack, dataset_id) for dataset_id, _ in ledger.links}
    assert [link for link in ledger.links if link[1] not in held[link[0]]] == []

    # And no task runs for ever
    def running() -> list[str]:
        tasks = [stack.api("GET", f"/tasks/{task_id}")[1] for task_id in ledger.tasks]
        return [task["task_id"] for task in tasks if task["status"] not in ("SUCCEEDED", "FAILED", "STOPPED")]

    until(lambda: not running(), within_s=120, what="the end of all tasks")

    # And no object is without record, no record without object
    bucket = stack.output("RawBucketName")
    pages = stack.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def recorded() -> set[str]:
        listed = stack.api("GET", "/raw-data?limit=1000")[1]
        assert listed["cursor"] is None
        return {at["object_name"] for record in listed["items"] for at in record["locations"]}

    until(lambda: recorded() == keys, within_s=60, what="records and objects being the same")

    # And the loop goes on: a new upload, its label and a build still work
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        created = client.create_dataset(dataset_info("after", "v1"))
        client.link_dataset([ledger.annotations[-1]], created.dataset_id)
        assert client.wait_for_task(client.build_dataset(created.dataset_id).task_id).status == "SUCCEEDED"


def test_a_run_that_a_kill_interrupted_starts_again_by_itself(own_stack: DeployedStack, tmp_path: Path) -> None:
    # Given a loop whose run is training
    stack = own_stack
    status, loop = stack.api(
        "POST",
        "/loops",
        {
            "name": "survivor",
            "dataset_name": "survivor",
            "annotation_type": "detection",
            "thresholds": {"min_new": 10, "fraction": 0.0, "cooldown_s": 0},
            "training": {"parameters": {**QUICK, "epochs": 3}},
        },
    )
    assert status == 201, loop
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        upload_scenes(client, tmp_path / "scenes", "survivor", 16, seed=5)

    def runs(*statuses: str) -> list[dict[str, object]]:
        tasks = stack.api("GET", "/tasks?kind=loop")[1]["items"]
        return [task for task in tasks if task["status"] in statuses]

    def training() -> bool:
        tasks = stack.api("GET", "/tasks?kind=train")[1]["items"]
        return any(task["status"] == "RUNNING" for task in tasks)

    until(training, within_s=120, what="a training")

    # When the runtime is killed and started
    stack.kill()
    stack.start(LoopDebounceSeconds="0")

    # Then the interrupted run says so, and another one does its work
    interrupted = until(lambda: runs("FAILED"), within_s=120, what="the end of the interrupted run")
    assert interrupted[0]["error"]["code"] == "Interrupted"  # type: ignore[index]
    finished = until(lambda: runs("SUCCEEDED"), within_s=240, what="a run that finishes")
    assert finished[0]["result"]["promoted"] is True  # type: ignore[index]
    assert stack.api("GET", "/releases/survivor/current")[0] == 200
