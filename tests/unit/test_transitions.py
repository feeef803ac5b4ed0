"""The table of states: nothing leaves a terminal state, every state can be reached, every target has sources."""

from __future__ import annotations

import pytest

from dataloop.domain import transitions
from dataloop.domain.tasks import KINDS, MACHINES, TERMINAL, task_id_of_execution

TABLES = {
    "dataset": (transitions.DATASET, "ACTIVE", {"DELETED"}),
    "version": (transitions.DATASET_VERSION, "DRAFT", {"DELETED"}),
    "task": (transitions.TASK, "CREATED", {"SUCCEEDED", "FAILED", "STOPPED"}),
    "model": (transitions.MODEL, "TRAINING", {"DELETED"}),
    "release": (transitions.RELEASE, "DRAFT", {"FAILED"}),
}


@pytest.mark.parametrize("name", TABLES)
def test_terminal_states_have_no_way_out(name: str) -> None:
    table, _, terminal = TABLES[name]
    assert {state for state in table if transitions.is_terminal(table, state)} == terminal
    for state in terminal:
        assert all(state not in transitions.sources(table, wanted) for wanted in table)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reachable_and_every_target_is_a_state(name: str) -> None:
    table, start, _ = TABLES[name]
    reached, waiting = {start}, [start]
    while waiting:
        for following in table[waiting.pop()] - reached:
            reached.add(following)
            waiting.append(following)
    assert reached == set(table)


def test_a_stopping_task_can_no_longer_succeed() -> None:
    assert "STOPPING" not in transitions.sources(transitions.TASK, "SUCCEEDED")


def test_only_a_draft_or_a_failed_version_is_built_and_a_ready_one_never_changes() -> None:
    assert transitions.sources(transitions.DATASET_VERSION, "BUILDING") == ("DRAFT", "FAILED")
    assert transitions.DATASET_VERSION["READY"] == {"DELETING"}


def test_a_task_id_is_found_in_its_execution_name_and_nowhere_else() -> None:
    id = "01a20474-c3f3-785a-914e-aa900e000000"
    assert all(task_id_of_execution(f"{kind}-{id}") == id for kind in MACHINES)
    assert task_id_of_execution(f"train-{id}-2") == id
    assert task_id_of_execution("somebody-else") is None
    assert task_id_of_execution(f"other-{id}") is None
    assert set(TERMINAL) == {"SUCCEEDED", "FAILED", "STOPPED"}
    assert "import" in KINDS
