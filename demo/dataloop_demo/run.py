"""The demo's plot: loop 1 by hand, loop 2 by itself, then the report."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ankerautotrainsdk import AnkerAutoTrainSDK
from dataloop_demo import drive, recording
from dataloop_demo.narration import Narrator
from dataloop_demo.report import write_report
from dataloop_demo.shots import DemoError, Round, Story
from dataloop_local import control
from dataloop_local.deployment.template import load_template
from dataloop_local.settings import repository_root

Json = dict[str, Any]

# New labels wake the loop at once; on AWS a minute's delay gathers a burst into one check.
_PARAMETERS = {"LoopDebounceSeconds": "0", "RetrainCooldownSeconds": "0"}


def run(story: Story, *, state: Path, work: Path, port: int, report: Path) -> Json:
    """Drive both loops and write the report; returns the recording that it was drawn from.

    state: the stack's data; work: scratch files; report: folder of index.html and recording.json.
    Raises DemoError, DataloopError, LocalRuntimeError.
    """
    narrator = Narrator()
    begun_at = datetime.now(UTC)
    with narrator.stage("stack") as stage:
        runtime = control.up(state, port, parameters=_PARAMETERS)
        stage.result = f"template.yaml deployed, answering at {runtime.url}"
    with AnkerAutoTrainSDK(url=runtime.url, api_key=runtime.key, progress=False) as client:
        if len(client.list_loops()):
            raise DemoError(
                f"{state} holds an earlier run: name another directory, or empty it with `dataloop local reset`"
            )
        document = _document(story, client) | {"begun_at": begun_at.isoformat()}
        meters = [drive.metering(runtime.url)]
        document["loops"].append(_first_loop(client, story, work, narrator, document))
        meters.append(drive.metering(runtime.url))
        document["loops"].append(_second_loop(client, story, work, narrator, document))
        meters.append(drive.metering(runtime.url))
        document["meters"] = meters
        with narrator.stage("record") as stage:
            _gather(client, story, frozenset(document.pop("new_uids")), work, document)
            stage.result = "predictions, curves, lineage and meter read back from the service"
    document["stages"] = narrator.to_json()
    document["seconds"] = round(narrator.elapsed_s, 1)
    path = write_report(document, report)
    _conclude(document, narrator, path)
    return document


def _document(story: Story, client: AnkerAutoTrainSDK) -> Json:
    parameters = load_template(repository_root() / "template.yaml")["Parameters"]
    return {
        "format": 1,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "story": {
            "name": story.name,
            "title": story.title,
            "about": story.about,
            "attributes": story.attributes,
            "gate": story.gate,
            "notes": list(story.notes),
            "rounds": [_round(story.first), _round(story.second)],
        },
        "machine": {
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "service": client.health().to_dict(),
        "instances": {
            "training": parameters["TrainingInstanceType"]["Default"],
            "processing": parameters["ProcessingInstanceType"]["Default"],
        },
        "loops": [],
        "uploads": [],
    }


def _round(part: Round) -> Json:
    counts = {split: part.count(split) for split in ("train", "val", "test")}
    return {"images": len(part.shots), "boxes": part.boxes, "splits": counts}


def _upload(
    client: AnkerAutoTrainSDK, part: Round, directory: str, work: Path, narrator: Narrator, document: Json
) -> drive.Uploaded:
    with narrator.stage("upload") as stage:
        sent = drive.upload(client, part, directory, work, narrator)
        stage.result = (
            f"{len(sent.uids)} images ({sent.size_bytes / 1e6:.1f} MB) uploaded and registered, "
            f"{len(sent.annotation_ids)} annotations with {part.boxes} boxes"
        )
    seconds = round(narrator.stages[-1].seconds, 1)
    document["uploads"].append(
        {
            "receipts": sent.receipts,
            "size_bytes": sent.size_bytes,
            "annotations": len(sent.annotation_ids),
            "seconds": seconds,
        }
    )
    return sent


def _first_loop(client: AnkerAutoTrainSDK, story: Story, work: Path, narrator: Narrator, document: Json) -> Json:
    """Every step by hand, as an engineer would take it the first time."""
    sent = _upload(client, story.first, "round-1", work, narrator, document)
    with narrator.stage("dataset") as stage:
        dataset_id = drive.make_dataset(client, story, sent.annotation_ids)
        file = client.download_dataset(story.name, "v1", work / "datasets")
        stage.result = f"created, linked, downloaded as {file.file_name} ({file.size_bytes / 1e3:.0f} kB)"
    with narrator.stage("build") as stage:
        build = drive.wait(client, client.build_dataset(dataset_id), narrator, "build")
        stage.result = f"{_counts(build['counts'])}; digest {build['digest'][:12]}"
    with narrator.stage("train") as stage:
        train = drive.train(client, story, dataset_id, narrator)
        model_id = str(train["model_id"])
        stage.result = f"model {model_id}, {_primary(train['metrics'])} on held-out images"
    with narrator.stage("evaluate") as stage:
        evaluation = drive.wait(client, client.evaluate(model_id, dataset_id), narrator, "evaluate")["metrics"]
        stage.result = f"{_primary(evaluation['primary'])}, by a job of its own on the ONNX model"
    with narrator.stage("export") as stage:
        export = drive.wait(client, client.export(model_id, "onnx"), narrator, "export")["verification"]
        stage.result = f"ONNX, verified: largest difference {export['max_abs_diff']:.1e}"
    with narrator.stage("release") as stage:
        release = drive.wait(client, client.release(model_id, story.name, gate=story.gate), narrator, "release")
        if not release["published"]:
            raise DemoError(f"the gate refused the first model: {'; '.join(release['verdict']['reasons'])}")
        stage.result = f"{release['release_id']}: {'; '.join(release['verdict']['reasons'])}"
    return {
        "model_id": model_id,
        "dataset_id": dataset_id,
        "release_id": release["release_id"],
        "verdict": release["verdict"],
        "evaluation": evaluation,
        "export": export,
        "promoted": True,
    }


def _second_loop(client: AnkerAutoTrainSDK, story: Story, work: Path, narrator: Narrator, document: Json) -> Json:
    """A standing order, new images and labels, and nothing else: the rest happens by itself."""
    with narrator.stage("order") as stage:
        loop = drive.make_loop(client, story)
        stage.result = f"loop {loop.loop_id}: retrain at {loop.thresholds.min_new} new labelled images"
    document["new_uids"] = list(_upload(client, story.second, "round-2", work, narrator, document).uids.values())
    with narrator.stage("loop 2") as stage:
        task_id, result = drive.await_loop(client, str(loop.loop_id), narrator)
        if not result.get("started"):
            raise DemoError(f"the loop's run did not start training: {result.get('reason')}")
        verdict = "promoted" if result["promoted"] else "kept the champion"
        stage.result = f"{verdict}: {'; '.join(result['reasons'])}"
    if result["promoted"]:
        narrator.say(f"release {result['release_id']}")
    record = client.get_loop(str(loop.loop_id)).to_dict()
    return {
        "model_id": result["model_id"],
        "dataset_id": result["version_id"],
        "release_id": result["release_id"],
        "verdict": result["verdict"],
        "promoted": result["promoted"],
        "task_id": task_id,
        "order": record,
    }


def _gather(client: AnkerAutoTrainSDK, story: Story, new_uids: frozenset[str], work: Path, document: Json) -> None:
    """Read back everything that the report shows."""
    for loop in document["loops"]:
        loop.update(recording.model_facts(client, loop["model_id"], work))
        loop["dataset"] = client.get_dataset(loop["dataset_id"]).to_dict()
    first, second = document["loops"]
    released = second if second["promoted"] else first
    document["released"] = document["loops"].index(released)
    document["samples"] = recording.samples(client, released, first if released is second else None, work)
    document["lineage"] = recording.lineage(client, released["model_id"], new_uids, work)
    document["current"] = client.get_current_release(story.name).to_dict()
    document["releases"] = [each.to_dict() for each in client.list_releases(story.name)]
    document["tasks"] = recording.tasks(client)
    for loop in document["loops"]:
        # Thousands of boxes that nobody looks at: what is shown of them is in the samples.
        del loop["predictions"]


def _conclude(document: Json, narrator: Narrator, path: Path) -> None:
    first, second = document["loops"]
    narrator.say("")
    narrator.say(f"release      {document['current']['release_id']}")
    narrator.say(f"held out     {_primary(first['metrics']['primary'])}, then {_primary(second['metrics']['primary'])}")
    decision = "promoted" if second["promoted"] else "refused, the champion stays"
    narrator.say(f"second loop  {decision}: {'; '.join(second['verdict']['reasons'])}")
    narrator.say(f"report       {path}")


def _primary(metric: Any) -> str:
    return f"{metric['name']} {metric['value']:.3f}"


def _counts(counts: Json) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test") if name in counts)
