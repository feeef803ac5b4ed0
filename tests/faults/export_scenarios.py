"""Exports of an iteration: what a client and the machine repeat."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from dataloop.domain.errors import IllegalTransition
from dataloop.domain.projects import Iteration
from tests.actions import labelled, ready_version, trained_model
from tests.core import Core
from tests.faults.injection import Scenario

State = dict[str, Any]


def with_iteration(core: Core) -> State:
    """A trained one."""
    model_id = trained_model(core, ready_version(core, labelled(core, 4)).id)
    at = core.clock.text()
    return {"iteration": Iteration("default", model_id, "project", "Iteration 1", 1, "COMPLETED", "task", at, at)}


def request_export(core: Core, state: State) -> None:
    """A client whose first request did begin it is told so."""
    with contextlib.suppress(IllegalTransition):
        core.again().iteration_exports.request(state["iteration"], "ONNX", "onnx", {"about.json": "{}"})
    state["task"] = core.services.iteration_exports._task_id(state["iteration"], "ONNX", 0)


def prepare_export(core: Core, state: State) -> None:
    core.again().judging.prepare_export("default", state["task"])


def record_export(core: Core, state: State) -> None:
    """The job's output lies there; the step packs it."""
    core.again().judging.record_export("default", state["task"])


def with_output(core: Core) -> State:
    state = with_iteration(core)
    request_export(core, state)
    prepare_export(core, state)
    root = f"default/exports/{state['task']}/output"
    core.stores.artifacts.put(f"{root}/model.onnx", b"a network")
    files = {"model.onnx": {"sha256": "0" * 64, "size_bytes": 9}}
    core.stores.artifacts.put(f"{root}/verification.json", json.dumps({"format": "onnx", "files": files}).encode())
    return state


SCENARIOS = [
    *Scenario("iteration export", with_iteration, [request_export, prepare_export]).one_by_one(),
    Scenario("iteration export: record", with_output, [record_export]),
]
