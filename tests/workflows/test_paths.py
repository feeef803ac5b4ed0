"""Every path of every state machine: the cases beside the machines, and generated ones for each Catch and each Retry.

A case (statemachines/<machine>.cases.json) has `replies` that replace the file's `returns`, and what must come of it:
status, error, the states visited in order, the children of maps, how often something was called (`calls`), and parts of
the last (`request`) or first (`first_request`) request.
Input of every execution: {"tenant": "default", "task_id": "t1"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from tests.infra.rules_machines import step_of
from tests.infra.template import MACHINES, all_states, load_project
from tests.workflows.scripted import Run, run

Json = Any
INPUT = {"tenant": "default", "task_id": "t1"}
PROJECT = load_project()
CASES: dict[str, dict[str, Json]] = {
    path.name.removesuffix(".cases.json"): json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(MACHINES.glob("*.cases.json"))
}
BROKEN = {"Error": "Broken", "Cause": "no retry mends this"}
# State transitions of a loop that promotes, nested machines counted, Express children of the map not: they are billed
# by request. Source: the performance budgets of the design (docs/benchmarks.md, loop_overhead). Only a champion that was
# never judged on the loop's frozen test set costs an evaluation more (docs/cost.md).
TRANSITIONS = 25
PROMOTED = "promotes, and the champion's numbers are known"


def play(machine: str, case: dict[str, Json], replies: dict[str, list[Json]] | None = None) -> Run:
    """Run a case, `replies` winning over the case's, and the case's over the file's returns."""
    answers = {key: [{"return": result}] for key, result in CASES[machine]["returns"].items()}
    answers.update(case.get("replies", {}))
    answers.update(replies or {})
    outcome, _ = run(PROJECT, machine, answers, CASES[machine].get("parts", []), INPUT)
    return outcome


def key_of(machine: str, state: dict[str, Json]) -> str:
    """What a Task state calls, as the scripts name it."""
    step = step_of(state)
    if step:
        return step
    parameters = state["Parameters"]
    if "StateMachineArn" in parameters:
        _, properties = PROJECT.machine_resource(machine)
        resource = properties["DefinitionSubstitutions"][parameters["StateMachineArn"].strip("${}")]["Ref"]
        name = PROJECT.resources[resource]["Properties"]["Name"]["Fn::Sub"]
        return str(name).removeprefix("dataloop-${Stage}-")
    operation = state["Resource"].split(":")[-1].removesuffix(".sync")
    return str(operation[0].upper() + operation[1:])


def part_of(part: Json, whole: Json) -> bool:
    """Every field of `part` is in `whole` with the same value, lists item by item."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and part_of(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(part_of, part, whole))
    return bool(part == whole)


@dataclass(frozen=True)
class Failing:
    """A generated case: one state fails in one way within the first case that visits it."""

    machine: str
    state: str
    case: str
    error: str

    def __str__(self) -> str:
        return f"{self.machine}-{self.state}-{self.error}"


def transitions(machine: str, case: str) -> dict[str, int]:
    """States that a case enters, by machine; a nested machine runs the first case of its file, the straight one."""
    outcome = play(machine, CASES[machine]["cases"][case])
    assert outcome.status == "SUCCEEDED", outcome
    counted = {machine: len(outcome.visited)}
    for call in outcome.calls:
        nested = call.key.replace("-", "_")
        if nested in CASES:
            counted |= transitions(nested, next(iter(CASES[nested]["cases"])))
    return counted


def visiting(machine: str, state: str) -> str:
    """Name of the first case that visits a state, as such or in a child of a map."""
    for name, case in CASES[machine]["cases"].items():
        if state in case["visited"] or any(state in child for child in case.get("children", [])):
            return str(name)
    raise AssertionError(f"no case of {machine} visits {state}")


def generated(field: str) -> Iterator[Failing]:
    """One failing case for each Catch handler's state, or for each Retry of each Task."""
    for machine, definition in PROJECT.machines.items():
        for name, state, _ in all_states(definition):
            if state["Type"] != "Task":
                continue
            if field == "Catch" and state.get("Catch"):
                yield Failing(machine, name, visiting(machine, name), BROKEN["Error"])
            if field == "Retry":
                for retry in state["Retry"]:
                    error = "Throttled" if "States.ALL" in retry["ErrorEquals"] else retry["ErrorEquals"][0]
                    yield Failing(machine, name, visiting(machine, name), error)


@pytest.mark.parametrize(
    ("machine", "name"), [(machine, name) for machine, file in CASES.items() for name in file["cases"]]
)
def test_case(machine: str, name: str) -> None:
    case = CASES[machine]["cases"][name]
    outcome = play(machine, case)
    assert (outcome.status, outcome.visited) == (case["status"], case["visited"]), outcome
    assert outcome.error == case.get("error")
    if "children" in case:
        assert sorted(outcome.children) == sorted(case["children"])
    assert {key: len(outcome.requests(key)) for key in case.get("calls", {})} == case.get("calls", {})
    for key, part in case.get("request", {}).items():
        assert part_of(part, outcome.requests(key)[-1]), outcome.requests(key)[-1]
    for key, part in case.get("first_request", {}).items():
        assert part_of(part, outcome.requests(key)[0]), outcome.requests(key)[0]
    assert "error" in case or "task.fail" not in {call.key for call in outcome.calls}


@pytest.mark.parametrize("failing", list(generated("Catch")), ids=str)
def test_failure_is_recorded_with_its_reason(failing: Failing) -> None:
    definition = PROJECT.machines[failing.machine]
    state = next(state for name, state, _ in all_states(definition) if name == failing.state)
    recorder = "loop.abort" if failing.machine == "retrain_loop" else "task.fail"
    outcome = play(
        failing.machine,
        CASES[failing.machine]["cases"][failing.case],
        {key_of(failing.machine, state): [{"throw": BROKEN}]},
    )
    assert outcome.status == "FAILED", outcome
    assert outcome.visited[-1] == "Failed"
    assert outcome.requests(recorder)[0]["input"] == {**INPUT, "error": BROKEN}
    if failing.state in definition["States"]:
        after = outcome.visited[outcome.visited.index(failing.state) + 1]
        assert after == state["Catch"][-1]["Next"]
        assert (outcome.error, outcome.cause) == (BROKEN["Error"], BROKEN["Cause"])


@pytest.mark.parametrize("failing", list(generated("Retry")), ids=str)
def test_transient_error_is_retried(failing: Failing) -> None:
    machine, case = failing.machine, CASES[failing.machine]["cases"][failing.case]
    state = next(state for name, state, _ in all_states(PROJECT.machines[machine]) if name == failing.state)
    key = key_of(machine, state)
    usual = case.get("replies", {}).get(key, [{"return": CASES[machine]["returns"][key]}])
    outcome = play(machine, case, {key: [{"throw": {"Error": failing.error, "Cause": "transient"}}, *usual]})
    assert (outcome.status, outcome.visited) == (case["status"], case["visited"]), outcome


@pytest.mark.parametrize("machine", list(PROJECT.machines))
def test_retries_end(machine: str) -> None:
    """A throttle that never ends is given up and recorded: MaxAttempts + 1 calls."""
    definition = PROJECT.machines[machine]
    state = definition["States"][definition["StartAt"]]
    outcome = play(machine, {}, {key_of(machine, state): [{"throw": {"Error": "Throttled", "Cause": "always"}}]})
    assert outcome.error == "Throttled"
    assert len(outcome.requests(key_of(machine, state))) == state["Retry"][0]["MaxAttempts"] + 1


@pytest.mark.parametrize("machine", list(PROJECT.machines))
def test_cases_cover_the_machine(machine: str) -> None:
    """Every state, every branch of a Choice and every Catch of a named error is in some case."""
    definition = PROJECT.machines[machine]
    paths = [case["visited"] for case in CASES[machine]["cases"].values()]
    inside = {
        state for case in CASES[machine]["cases"].values() for child in case.get("children", []) for state in child
    }
    steps = {step for path in paths for step in pairwise(path)}
    visited = {state for path in paths for state in path} | inside
    wanted_states = {
        name for name, state, _ in all_states(definition) if name in definition["States"] or state["Type"] == "Task"
    }
    assert not wanted_states - visited
    for name, state in definition["States"].items():
        branches = [choice["Next"] for choice in state.get("Choices", [])]
        branches += [state["Default"]] if "Default" in state else []
        named = [handler["Next"] for handler in state.get("Catch", []) if handler["ErrorEquals"] != ["States.ALL"]]
        missing = {(name, branch) for branch in [*branches, *named]} - steps
        assert not missing, missing


def test_a_promoted_loop_stays_within_its_transitions() -> None:
    counted = transitions("retrain_loop", PROMOTED)
    assert set(counted) == {"retrain_loop", "dataset_build", "training", "release"}
    assert sum(counted.values()) <= TRANSITIONS, counted


def test_null_in_a_request_fails_the_execution() -> None:
    """The harness itself: a path that is missing in a step's result must not pass."""
    outcome = play("training", {}, {"training.prepare": [{"return": {"use_spot": False}}]})
    assert outcome.status == "FAILED"
    assert outcome.error in ("States.ParameterPathFailure", "SageMaker.ValidationException")
