"""Labels in, datasets out: what repeats their requests and steps."""

from __future__ import annotations

import json
from typing import Any

from tests.actions import info, labelled, put, ready_version
from tests.core import RAW, Core
from tests.faults.injection import Scenario
from tests.services.label_files import FILES, NAMES

State = dict[str, Any]


def _claimed(core: Core, state: State, operation: str) -> str:
    return core.services.claiming.id_for("default", operation, f"{operation} {state['key']}", {})


def with_label_files(core: Core) -> State:
    """Two pictures, a COCO file of both, a line that says a split, and a draft."""
    for name in NAMES:
        _, notice = put(core, f"demo/{name}")
        core.services.registering.register_object(notice)
    store = core.clients.s3.put_object
    lines = [json.loads(line) | {"split": "test"} for line in str(FILES["jsonl"]["labels.jsonl"]).splitlines()]
    bad = json.dumps(lines[0] | {"labelInfo": "none"})
    body = "\n".join([*map(json.dumps, lines), bad])
    store(Bucket=RAW, Key="imports/demo/labels.jsonl", Body=body.encode())
    dropped = store(Bucket=RAW, Key="annotations/demo/labels.json", Body=str(FILES["coco"]["labels.json"]).encode())
    draft = core.services.curating.create("default", info())
    return {"draft": draft.id, "version_id": dropped["VersionId"]}


def request_import(core: Core, state: State) -> None:
    body = {"object_name": "imports/demo/labels.jsonl", "images": "demo", "on_error": "skip"}
    task_id = _claimed(core, state, "import")
    body |= {"dataset_id": state["draft"]}
    state["task"] = core.again().importing.request("default", body, task_id).id


def read_labels(core: Core, state: State) -> None:
    state["plan"] = core.again().importing.read("default", state["task"])


def register_part(core: Core, state: State) -> None:
    key = f"{state['plan']['parts_prefix']}part-00000.jsonl"
    core.again().importing.register("default", state["task"], key)


def finish_import(core: Core, state: State) -> None:
    core.again().importing.finish("default", state["task"], state["plan"]["attempt"])


def import_dropped(core: Core, state: State) -> None:
    core.again().importing.import_file("annotations/demo/labels.json", state["version_id"])


def without_images(core: Core) -> State:
    body = str(FILES["coco"]["labels.json"]).replace("one.jpg", "later.jpg").encode()
    dropped = core.clients.s3.put_object(Bucket=RAW, Key="annotations/demo/labels.json", Body=body)
    return {"version_id": dropped["VersionId"]}


def with_built_version(core: Core) -> State:
    return {"version": ready_version(core, labelled(core, 4)).id}


def request_export(core: Core, state: State) -> None:
    body = {"format": state.get("format", "voc"), "images": True}
    task_id = _claimed(core, state, "export_dataset")
    state["task"] = core.again().exporting.request("default", state["version"], body, task_id).id


def prepare_files(core: Core, state: State) -> None:
    core.again().file_tasks.prepare("default", state["task"])


def run_files(core: Core, state: State) -> None:
    core.again().file_tasks.run("default", state["task"])


def record_files(core: Core, state: State) -> None:
    core.again().file_tasks.record("default", state["task"])


def for_a_job(core: Core) -> State:
    return with_built_version(core) | {"format": "parquet"}


WHOLE = (
    Scenario("import", with_label_files, [request_import, read_labels, register_part, finish_import]),
    Scenario("dropped label file", with_label_files, [import_dropped]),
    Scenario("dropped label file before its images", without_images, [import_dropped]),
    Scenario("dataset export", with_built_version, [request_export, prepare_files, run_files, record_files]),
    Scenario("dataset export by a job", for_a_job, [request_export, prepare_files]),
)
SCENARIOS = [single for scenario in WHOLE for single in scenario.one_by_one()]
