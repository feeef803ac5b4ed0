"""The scenarios of the fault suite, each as the steps that somebody repeats."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataloop import bootstrap
from dataloop_jobs.commands.reduce import reduce as reduce_files
from dataloop_jobs.contract import ProcessingFolders, StopRequest
from tests.actions import (
    analysis_output,
    info,
    job_output,
    label,
    labelled,
    meta,
    put,
    ready_version,
    release,
    run_build,
    run_release,
    trained_model,
)
from tests.core import ARTIFACTS, RAW, Core
from tests.faults.injection import Scenario
from tests.handlers import handle

State = dict[str, Any]


def claimed(core: Core, state: State, operation: str, body: object) -> str:
    """The id of a client's request: the same Idempotency-Key at every repeat."""
    return core.services.claiming.id_for("default", operation, f"{operation} {state['key']}", body)


# Ingest: SQS repeats a message that failed.


def uploaded(core: Core) -> State:
    uid, notice = put(core, "d/a.jpg")
    entry = {"key": notice.key, "versionId": notice.version_id, "sequencer": notice.sequencer}
    record = {"eventName": "ObjectCreated:Put", "eventTime": "2026-11-22T12:00:00.000Z", "s3": {"object": entry}}
    return {"uid": uid, "record": record}


def ingest(core: Core, state: State) -> None:
    event = {"Records": [{"messageId": "1", "body": json.dumps({"Records": [state["record"]]})}]}
    if handle(core, "ingest_object", event)["batchItemFailures"]:
        handle(core, "ingest_object", event)


def removal(core: Core) -> State:
    state = uploaded(core)
    ingest(core, state)
    answer = core.clients.s3.delete_object(Bucket=RAW, Key="d/a.jpg")
    entry = {"key": "d/a.jpg", "versionId": answer["VersionId"], "sequencer": "FFFF"}
    state["record"] = {"eventName": "ObjectRemoved:DeleteMarkerCreated", "s3": {"object": entry}}
    return state


# What clients say: they repeat a request that was answered with 503, or not at all.


def describe(core: Core, state: State) -> None:
    core.again().registering.register_metadata("default", meta(state["uid"]))


def annotate(core: Core, state: State) -> None:
    core.again().annotating.register("default", label("1" * 32, "2" * 32))
    large = [{"label": f"{number} " + "x" * 250} for number in range(300)]  # more than an item holds: it goes to S3
    core.again().annotating.register("default", label("1" * 32, labelInfo=large))


def create_dataset(core: Core, state: State) -> None:
    made = core.again().curating.create("default", info(), claimed(core, state, "create_dataset", info()))
    state["version"] = made.id


def link(core: Core, state: State) -> None:
    core.again().curating.link("default", state["version"], state["ids"])


def request_build(core: Core, state: State) -> None:
    task_id = claimed(core, state, "build", state["version"])
    state["task"] = core.again().building.request_build("default", state["version"], task_id=task_id).id


# The steps of the state machines: Step Functions repeats Unavailable, Throttled and a dead function.


def plan(core: Core, state: State) -> None:
    state["plan"] = core.again().building.plan("default", state["task"])


def join(core: Core, state: State) -> None:
    core.again().building.join("default", state["task"], f"{state['plan']['parts_prefix']}part-00000.json")


def reduce(core: Core, state: State) -> None:
    assert core.again().building.reduce("default", state["task"])["passed"]


def reduce_in_a_job(core: Core, state: State) -> None:
    """The step says that it is too much for it; SageMaker, which repeats nothing, leaves the same files as the step."""
    limited = bootstrap.build(core.clients, replace(core.settings, step_reduce_bytes=0), core.clock)
    found = limited.building.reduce("default", state["task"])
    assert found["mode"] == "processing"
    state["output"] = found["output_uri"].split("/", 3)[3]


def reduce_job(core: Core, state: State) -> None:
    bucket = core.again().stores.artifacts
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        for area in ("shards", "reports", "reduce"):
            folder = base / "processing" / "input" / area
            folder.mkdir(parents=True)
            for key, _ in bucket.keys(f"default/builds/{state['task']}/{area}/"):
                bucket.download(key, folder / Path(key).name)
        folders = ProcessingFolders(base)
        reduce_files(folders, StopRequest())
        for path in sorted(folders.output.iterdir()):
            bucket.upload(path, f"{state['output']}/{path.name}")


def publish_build(core: Core, state: State) -> None:
    assert core.again().building.publish("default", state["task"])["passed"]


def mark_ready(core: Core, state: State) -> None:
    core.again().building.mark_ready("default", state["task"])


def with_version(core: Core) -> State:
    return {"version": ready_version(core, labelled(core, 4)).id}


def train(core: Core, state: State) -> None:
    task_id = claimed(core, state, "train", {})
    state["task"] = core.again().training.request("default", state["version"], task_id=task_id).id


def prepare(core: Core, state: State) -> None:
    core.again().training.prepare("default", state["task"])


def job(core: Core, state: State) -> None:
    """The job itself: it is no part of what can be hit, so it leaves its files only once."""
    if "archive" not in state:
        state["archive"] = job_output(core, state["task"])


def register_model(core: Core, state: State) -> None:
    core.again().training.register_model("default", state["task"], state["archive"])


def fail(core: Core, state: State) -> None:
    core.again().tasks.fail("default", state["task"], "JobFailed", "the learning rate is too high")


def with_champion(core: Core) -> State:
    state = with_version(core)
    release(core, trained_model(core, state["version"], 0.7))
    return {"model": trained_model(core, state["version"], 0.8)}


def request_release(core: Core, state: State) -> None:
    task_id = claimed(core, state, "release", {})
    state["task"] = core.again().releasing.request("default", state["model"], name="scenes", task_id=task_id).id


def collect(core: Core, state: State) -> None:
    state["release"] = core.again().releasing.collect("default", state["task"])["release_id"]


def publish(core: Core, state: State) -> None:
    core.again().releasing.publish("default", state["release"])


def smoke(core: Core, state: State) -> None:
    core.again().releasing.smoke("default", state["release"])


def mark(core: Core, state: State) -> None:
    core.again().releasing.mark("default", state["release"])


def roll_back(core: Core, state: State) -> None:
    core.again().releasing.roll_back("default", state["release"])


def roll_back_name(core: Core, state: State) -> None:
    request_id = claimed(core, state, "rollback", {})
    core.again().releasing.roll_back_name("default", "scenes", request_id)


def with_two_releases(core: Core) -> State:
    state = with_version(core)
    for value in (0.7, 0.8, 0.9):
        release(core, trained_model(core, state["version"], value))
    return state


ORDER = {"name": "loop", "dataset_name": "animals", "annotation_type": "detection", "thresholds": {"min_new": 3}}


def with_loop(core: Core) -> State:
    made = core.services.looping.create("default", ORDER)
    return {"loop": made.id, "ids": labelled(core, 4)}


def absorb(core: Core, state: State) -> None:
    core.again().looping.absorb("default", state["ids"])
    _, task = core.again().looping.consider("default", state["loop"])
    if task is not None:
        state["task"] = task.id


def begin(core: Core, state: State) -> None:
    state["begun"] = core.again().loop_steps.begin("default", state["task"])
    assert state["begun"]["start"]


def with_trained_run(core: Core) -> State:
    state = with_loop(core)
    absorb(core, state)
    begin(core, state)
    run_build(core, state["begun"]["build"]["task_id"])
    state["train"] = core.services.loop_steps.plan_training("default", state["task"])["train"]["task_id"]
    core.services.training.prepare("default", state["train"])
    core.services.training.register_model("default", state["train"], job_output(core, state["train"]))
    return state


def compare(core: Core, state: State) -> None:
    state["verdict"] = core.again().loop_steps.compare("default", state["task"])
    assert state["verdict"]["promote"]


def with_released_run(core: Core) -> State:
    state = with_trained_run(core)
    compare(core, state)
    run_release(core, state["verdict"]["release"]["task_id"])
    return state


def finish(core: Core, state: State) -> None:
    assert core.again().loop_steps.finish("default", state["task"]) == {"promoted": True}


def abort(core: Core, state: State) -> None:
    core.again().loop_steps.abort("default", state["task"], "JobFailed", "out of memory")


def labels_only(core: Core) -> State:
    return {"ids": labelled(core, 4)}


def with_draft(core: Core) -> State:
    state = labels_only(core)
    made = core.services.curating.create("default", info())
    core.services.curating.link("default", made.id, state["ids"])
    return {"version": made.id}


def with_training(core: Core) -> State:
    state = with_version(core)
    return {"task": core.services.training.request("default", state["version"]).id}


def with_published(core: Core) -> State:
    state = with_champion(core) | {"key": "prepared"}
    for step in (request_release, collect, publish):
        step(core, state)
    return state


# What a model says of images.


def with_teacher(core: Core) -> State:
    """A model, and three images: one about which an older version said something, one of people, one of nobody."""
    model = trained_model(core, ready_version(core, labelled(core, 4)).id)
    facts = core.services.tracing.model("default", model)
    uids = []
    for name in "abc":
        uid, notice = put(core, f"new/{name}.jpg")
        core.services.registering.register_object(notice)
        core.services.registering.register_metadata("default", meta(uid))
        uids.append(uid)
    older = {"labelMethod": "auto", "modelName": facts.name, "modelVersion": "0"}
    core.services.annotating.register("default", label(uids[0], **older))
    core.services.annotating.register("default", label(uids[1]))
    return {"model": model, "uids": uids}


def auto_annotate(core: Core, state: State) -> None:
    body = {"model_id": state["model"], "uids": state["uids"]}
    task_id = claimed(core, state, "auto_annotate", body)
    state["task"] = core.again().analysing.request_annotation("default", body, task_id).id


def predict_by_query(core: Core, state: State) -> None:
    body = {"model_id": state["model"], "query": {"labels": "suggested"}}
    task_id = claimed(core, state, "predict", body)
    state["task"] = core.again().analysing.request_prediction("default", body, task_id).id


def select(core: Core, state: State) -> None:
    body = {"uids": state["uids"], "count": 1}
    task_id = claimed(core, state, "select", body)
    state["task"] = core.again().analysing.request_selection("default", body, task_id).id


def measure(core: Core, state: State) -> None:
    task_id = claimed(core, state, "sensitivity", {})
    state["task"] = core.again().analysing.request_sensitivity("default", state["model"], task_id).id


def prepare_analysis(core: Core, state: State) -> None:
    core.again().analysing.prepare("default", state["task"])


def analysis_job(core: Core, state: State) -> None:
    """The job itself, once: the files of all its commands."""
    if "left" not in state:
        box = {"label": "dog", "score": 0.9, "box": [0.1, 0.1, 0.5, 0.5]}
        listed = core.objects().get(f"default/analyses/{state['task']}/input/images.jsonl", b"").splitlines()
        found = {json.loads(row)["uid"]: [box] for row in listed}
        chosen = [{"uid": state["uids"][0], "rank": 1, "score": 1.0, "reason": "drawn at random"}]
        for files in ({"predictions": found}, {"chosen": chosen}, {"layers": []}):
            analysis_output(core, state["task"], **files)
        state["left"] = True


def record_analysis(core: Core, state: State) -> None:
    core.again().analysing.record("default", state["task"])


def evaluate_beside(core: Core, state: State) -> None:
    task_id = claimed(core, state, "evaluate", {})
    wish = {"baseline_model_id": state["baseline"], "task_id": task_id}
    state["task"] = core.again().judging.request_evaluation("default", state["model"], state["version"], **wish).id


def prepare_evaluation(core: Core, state: State) -> None:
    core.again().judging.prepare_evaluation("default", state["task"])


def evaluation_job(core: Core, state: State) -> None:
    prefix = f"default/evaluations/{state['task']}/output"
    if "left" not in state:
        for name, body in (("metrics.json", {"primary": {"name": "AP50", "value": 0.8}}), ("comparison.json", {})):
            core.clients.s3.put_object(Bucket=ARTIFACTS, Key=f"{prefix}/{name}", Body=json.dumps(body).encode())
        state["left"] = True


def record_evaluation(core: Core, state: State) -> None:
    core.again().judging.record_evaluation("default", state["task"])


def with_two_models(core: Core) -> State:
    state = with_version(core)
    return state | {"model": trained_model(core, state["version"]), "baseline": trained_model(core, state["version"])}


AFTER_REQUEST = (prepare_analysis, analysis_job, record_analysis)
WHOLE = (
    Scenario("upload", uploaded, [ingest, describe]),
    Scenario("removal", removal, [ingest]),
    Scenario("annotation", lambda core: {}, [annotate]),
    Scenario("dataset", labels_only, [create_dataset, link]),
    Scenario("build", with_draft, [request_build, plan, join, reduce, mark_ready]),
    Scenario(
        "large build",
        with_draft,
        [request_build, plan, join, reduce_in_a_job, reduce_job, publish_build, mark_ready],
    ),
    Scenario("train", with_version, [train, prepare, job, register_model]),
    Scenario("failed training", with_training, [fail]),
    Scenario("release", with_champion, [request_release, collect, publish, smoke, mark]),
    Scenario("rolled back release", with_published, [roll_back]),
    Scenario("rollback", with_two_releases, [roll_back_name]),
    Scenario("loop begins", with_loop, [absorb, begin]),
    Scenario("loop compares", with_trained_run, [compare]),
    Scenario("loop ends", with_released_run, [finish]),
    Scenario("loop aborts", with_trained_run, [abort]),
    Scenario("auto-annotation", with_teacher, [auto_annotate, *AFTER_REQUEST]),
    Scenario("prediction", with_teacher, [predict_by_query, *AFTER_REQUEST]),
    Scenario("selection", with_teacher, [select, *AFTER_REQUEST]),
    Scenario("sensitivity", with_teacher, [measure, *AFTER_REQUEST]),
    Scenario("evaluation", with_two_models, [evaluate_beside, prepare_evaluation, evaluation_job, record_evaluation]),
)
# The jobs themselves run outside of the core: nothing of them can be hit here.
JOBS = (job, analysis_job, evaluation_job)
SCENARIOS = [single for scenario in WHOLE for single in scenario.one_by_one() if single.steps[0] not in JOBS]
