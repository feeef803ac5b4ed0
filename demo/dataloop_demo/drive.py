"""The demo's hands: each function is one step of the loop, done through the SDK as a client would."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ankerautotrainsdk import AnkerAutoTrainSDK
from ankerautotrainsdk.results import Record, Task
from dataloop_demo.narration import Narrator
from dataloop_demo.shots import DemoError, Round, Story

Json = dict[str, Any]

_PARALLEL = 8
# Registration follows an upload by event, a fraction of a second later; this long means that it will not come.
_REGISTRATION_S = 120.0
# A loop's start follows its last label by event too; a busy machine may need a while.
_LOOP_START_S = 180.0
_LOOK_EVERY_S = 0.5
# Each look is a Lambda invocation on the same two cores that train.
_LOOK_WHILE_TRAINING_S = 2.0


@dataclass(frozen=True)
class Uploaded:
    """What a round became: uid of each shot's file, annotation ids, and the receipts' counts."""

    uids: dict[Path, str]
    annotation_ids: tuple[str, ...]
    receipts: Json
    size_bytes: int


def upload(client: AnkerAutoTrainSDK, shots: Round, directory: str, work: Path, narrator: Narrator) -> Uploaded:
    """Send a round's images with their information, wait until they are registered, then send the labels.

    Labels come last, as they do in life: a person has seen the image by then. Raises DemoError, DataloopError.
    Cost: one form upload an image, one call per 100 images each for forms, information and labels.
    """
    by_path = {shot.path.resolve(): shot for shot in shots.shots}
    since = datetime.now(UTC)
    sent = 0

    def note(_: object) -> None:
        nonlocal sent
        sent += 1
        narrator.moving("upload", f"{sent} of {len(by_path)} images")

    receipts = client.upload_folder(
        shots.folder,
        directory,
        raw_data=lambda path, _: by_path[path.resolve()].raw_data(),
        include=lambda path: path.resolve() in by_path,
        parallel=_PARALLEL,
        journal=work / f"receipts-{directory}.jsonl",
        on_receipt=note,
    )
    receipts.raise_for_errors()
    root = shots.folder.resolve()
    uids = {(root / receipt.path).resolve(): str(receipt.uid) for receipt in receipts}
    missing = [path.name for path in by_path if path not in uids]
    if missing:
        raise DemoError(
            f"{len(missing)} images were not uploaded, the first is {missing[0]}: is it in a hidden folder?"
        )
    _wait_until_registered(client, set(uids.values()), since, narrator)
    labels = client.upload_annotated_data_batch(shot.annotation(uids[path]) for path, shot in by_path.items())
    labels.raise_for_errors()
    ids = tuple(str(answer.annotation_data_id) for answer in labels.done)
    size = sum(int(receipt.size_bytes or 0) for receipt in receipts)
    return Uploaded(uids, ids, dict(receipts.counts()), size)


def _wait_until_registered(client: AnkerAutoTrainSDK, uids: set[str], since: datetime, narrator: Narrator) -> None:
    deadline = time.monotonic() + _REGISTRATION_S
    while True:
        days = sorted({since.date().isoformat(), datetime.now(UTC).date().isoformat()})
        found = {each["uid"]: each for day in days for each in client.iter_raw_data(day) if each["uid"] in uids}
        refused = [each for each in found.values() if each.get("rejected")]
        if refused:
            raise DemoError(f"image {refused[0]['uid']} was refused by the service: {refused[0]['rejected']}")
        waiting = uids - {uid for uid, each in found.items() if each["status"] == "REGISTERED"}
        if not waiting:
            return
        if time.monotonic() > deadline:
            uid = min(waiting)
            status = found[uid]["status"] if uid in found else "unknown"
            raise DemoError(f"{len(waiting)} images are not registered, for example {uid}: its status is {status}")
        narrator.moving("upload", f"{len(uids) - len(waiting)} of {len(uids)} registered")
        time.sleep(_LOOK_EVERY_S)


def make_dataset(client: AnkerAutoTrainSDK, story: Story, annotation_ids: tuple[str, ...]) -> str:
    """Create a dataset version and link the annotations; returns its id."""
    dataset = client.create_dataset(
        {
            "datasetName": story.name,
            "datasetVersion": "v1",
            "annotationType": "detection",
            "modelType": "teacher",
            "versionType": "train",
            "annotationBy": [],
            "bg": "demo",
            "owner": "dataloop-demo",
            "remark": story.title,
        }
    )
    client.link_dataset(annotation_ids, dataset.dataset_id)
    return str(dataset.dataset_id)


def wait(
    client: AnkerAutoTrainSDK, task: Task, narrator: Narrator, name: str, look_every_s: float = _LOOK_EVERY_S
) -> Json:
    """Wait for a task, showing where it stands; returns its result.

    Raises TaskFailed with the reason the service recorded.
    """

    def show(state: Task) -> None:
        narrator.moving(name, standing(state))

    done = client.wait_for_task(task, progress=show, poll_s=look_every_s)
    return done.result.to_dict() if done.result else {}


def train(client: AnkerAutoTrainSDK, story: Story, dataset_id: str, narrator: Narrator) -> Json:
    """Train on a built dataset version; the result names the model and its metric. Raises TaskFailed."""
    task = client.train(dataset_id, task_type="detection", parameters=story.training, model_name=story.name)
    return wait(client, task, narrator, "train", _LOOK_WHILE_TRAINING_S)


def standing(task: Mapping[str, Any]) -> str:
    """One line on a task's progress."""
    progress = task.get("progress") or {}
    text = f"{task['kind']} {task['status'].lower()}: {task.get('phase') or ''}"
    if progress.get("total"):
        text += f", {progress.get('done')} of {progress['total']} {progress.get('unit') or ''}"
    return f"{text}, {progress['eta_s']:.0f} s left" if progress.get("eta_s") else text


def make_loop(client: AnkerAutoTrainSDK, story: Story) -> Record:
    """The standing order: so many new labels start a run; small thresholds and no cool-down, so that it shows now.

    min_new is the whole second round: a run that started at the first hundred labels would leave the rest to a third.
    """
    return client.create_loop(
        name=story.name,
        dataset_name=story.name,
        query={"annotation_type": "object"},
        thresholds={"min_new": len(story.second.shots), "fraction": 0.0, "max_age_days": 14, "cooldown_s": 0},
        training={"task_type": "detection", "parameters": story.retraining, "warm_start": True},
        gate=story.gate,
        release_name=story.name,
    )


def await_loop(client: AnkerAutoTrainSDK, loop_id: str, narrator: Narrator) -> tuple[str, Json]:
    """Look on until a run of the loop, which nobody here started, is over; its task's id and its result.

    Raises DemoError (none has started in three minutes), TaskFailed.
    """
    deadline = time.monotonic() + _LOOP_START_S
    while (task := next(_runs(client, loop_id), None)) is None:
        if time.monotonic() > deadline:
            decisions = client.get_loop(loop_id).get("decisions")
            raise DemoError(
                f"the loop did not start by itself within {_LOOP_START_S:.0f} s; its decisions: {decisions}"
            )
        narrator.moving("loop 2", "the labels are in; waiting for the loop to start by itself")
        time.sleep(_LOOK_EVERY_S)
    narrator.say(f"the loop has started by itself: task {task.task_id}")
    return task.task_id, wait(client, task, narrator, "loop 2", _LOOK_WHILE_TRAINING_S)


def _runs(client: AnkerAutoTrainSDK, loop_id: str) -> Iterator[Task]:
    return (task for task in client.iter_tasks("loop") if task.parameters.get("loop_id") == loop_id)


def metering(url: str) -> Json:
    """The runtime's counters since it became ready (GET /_local/metering)."""
    with urllib.request.urlopen(f"{url}/_local/metering", timeout=30) as answer:
        found: Json = json.load(answer)
        return found
