"""Saved queries and the datasets made from them, as the steps that somebody repeats."""

from __future__ import annotations

from typing import Any

from tests.actions import info, labelled
from tests.core import Core
from tests.faults.injection import Scenario
from tests.faults.scenarios import claimed

State = dict[str, Any]
WHERE = {"any_label": ["cat"]}


def with_labels(core: Core) -> State:
    return {"ids": labelled(core, 3)}


def save(core: Core, state: State) -> None:
    body = {"name": "cats", "where": WHERE}
    state["query"] = core.again().searching.save("default", body, claimed(core, state, "create_query", body)).id


def request_dataset(core: Core, state: State) -> None:
    task_id = claimed(core, state, "query_dataset", info())
    state["task"] = core.again().querying.request("default", state["query"], info(), task_id).id


def prepare(core: Core, state: State) -> None:
    core.again().querying.prepare("default", state["task"])


def run(core: Core, state: State) -> None:
    core.again().querying.run("default", state["task"])


def record(core: Core, state: State) -> None:
    core.again().querying.record("default", state["task"])


def remove(core: Core, state: State) -> None:
    core.services.stores.queries.remove(state["saved"])


def with_query(core: Core) -> State:
    state = with_labels(core) | {"key": "k"}
    save(core, state)
    return state | {"saved": core.services.searching.get("default", state["query"])}


WHOLE = (
    Scenario("dataset of a query", with_labels, [save, request_dataset, prepare, run, record]),
    Scenario("removed query", with_query, [remove]),
)
SCENARIOS = [single for scenario in WHOLE for single in scenario.one_by_one()]
