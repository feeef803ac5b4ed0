"""Every allowed change of state, in one table (design §4.2). Terminal states have no entry to leave by."""

from __future__ import annotations

from typing import Final

DATASET: Final[dict[str, frozenset[str]]] = {
    "ACTIVE": frozenset({"DELETING"}),
    "DELETING": frozenset({"DELETED"}),
    "DELETED": frozenset(),
}

DATASET_VERSION: Final[dict[str, frozenset[str]]] = {
    "DRAFT": frozenset({"BUILDING", "DELETING"}),
    "BUILDING": frozenset({"READY", "FAILED"}),
    "FAILED": frozenset({"BUILDING", "DELETING"}),
    "READY": frozenset({"DELETING"}),
    "DELETING": frozenset({"DELETED"}),
    "DELETED": frozenset(),
}

TASK: Final[dict[str, frozenset[str]]] = {
    "CREATED": frozenset({"QUEUED", "RUNNING", "FAILED", "STOPPED", "SUCCEEDED"}),
    "QUEUED": frozenset({"RUNNING", "FAILED", "STOPPING", "STOPPED", "SUCCEEDED"}),
    "RUNNING": frozenset({"SUCCEEDED", "FAILED", "STOPPING", "STOPPED"}),
    "STOPPING": frozenset({"STOPPED", "FAILED"}),
    "SUCCEEDED": frozenset(),
    "FAILED": frozenset(),
    "STOPPED": frozenset(),
}

MODEL: Final[dict[str, frozenset[str]]] = {
    "TRAINING": frozenset({"COMPLETED", "FAILED"}),
    "COMPLETED": frozenset({"DELETED"}),
    "FAILED": frozenset({"DELETED"}),
    "DELETED": frozenset(),
}

RELEASE: Final[dict[str, frozenset[str]]] = {
    "DRAFT": frozenset({"AWAITING_APPROVAL", "PUBLISHING", "FAILED"}),
    "AWAITING_APPROVAL": frozenset({"PUBLISHING", "FAILED"}),
    "PUBLISHING": frozenset({"PUBLISHED", "ROLLED_BACK", "FAILED"}),
    "PUBLISHED": frozenset({"ROLLED_BACK"}),
    "ROLLED_BACK": frozenset({"PUBLISHED"}),
    "FAILED": frozenset(),
}


def sources(table: dict[str, frozenset[str]], wanted: str) -> tuple[str, ...]:
    """The states from which `wanted` may be entered, sorted: what a conditional write checks."""
    return tuple(sorted(state for state, nexts in table.items() if wanted in nexts))


def is_terminal(table: dict[str, frozenset[str]], state: str) -> bool:
    """True when nothing may follow."""
    return not table[state]
