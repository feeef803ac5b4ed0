"""Task: everything asynchronous that a client can poll (design D3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataloop.domain import transitions

# Kind -> the state machine that does it; kinds of later capabilities join here.
MACHINES = {
    "build": "dataset_build",
    "download": "dataset_build",
    "train": "training",
    "evaluate": "evaluation",
    "export": "model_export",
    "predict": "analysis",
    "select": "analysis",
    "auto_annotate": "analysis",
    "sensitivity": "analysis",
    "release": "release",
    "loop": "retrain_loop",
    "import": "dataset_import",
    "export_dataset": "dataset_files",
    "diff": "dataset_files",
    "query": "dataset_files",
    "verify": "dataset_files",
    "delete": "erasure",
    "train_project": "project_training",
    "bulk_delete": "project_batch",
    "copy_project": "project_batch",
}
KINDS = tuple(MACHINES)
TERMINAL = tuple(state for state in transitions.TASK if transitions.is_terminal(transitions.TASK, state))


@dataclass(frozen=True, slots=True)
class Task:
    """One run of one state machine. target is `Kind#id` of what it works on."""

    tenant: str
    id: str
    kind: str
    status: str
    target: str
    created_at: str
    updated_at: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    phase: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    context: Mapping[str, Any] = field(default_factory=dict)
    parent_id: str | None = None

    @property
    def execution_name(self) -> str:
        """The name that makes starting twice the same as starting once (design §6.2)."""
        suffix = "" if self.attempt == 1 else f"-{self.attempt}"
        return f"{self.kind}-{self.id}{suffix}"

    @property
    def job_name(self) -> str:
        """The execution's name as SageMaker takes it: letters, digits and dashes."""
        return self.execution_name.replace("_", "-")

    @property
    def is_ended(self) -> bool:
        return self.status in TERMINAL


def task_id_of_execution(name: str) -> str | None:
    """The task id inside an execution name, or None when the name is not ours."""
    kind, _, rest = name.partition("-")
    return rest[:36] if kind in KINDS and len(rest) >= 36 else None
