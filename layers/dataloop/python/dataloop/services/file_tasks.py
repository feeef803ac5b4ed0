"""The machine dataset_files serves several kinds of task: each has a service with these three steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dataloop.services.tracking import TaskService


class FileService(Protocol):
    """Makes files from the files of dataset versions."""

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """{"mode": "run"}: `run` does it; {"mode": "done"}: the task has ended; {"mode": "job", …}: with job_name, image,
        instance_type, volume_gb, role_arn, arguments, processing_inputs, output_uri, environment, max_runtime_s."""

    def run(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Leaves the same files at the same place as the job would."""

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Ends the task with what was made. Again it changes nothing."""


class FileTasks:
    """The steps files.prepare, files.run and files.record. services: by kind, made when first used."""

    def __init__(self, tasks: TaskService, services: Mapping[str, Callable[[], FileService]]) -> None:
        self._tasks = tasks
        self._services = services

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        return self._of(tenant, task_id).prepare(tenant, task_id)

    def run(self, tenant: str, task_id: str) -> dict[str, Any]:
        return self._of(tenant, task_id).run(tenant, task_id)

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        return self._of(tenant, task_id).record(tenant, task_id)

    def _of(self, tenant: str, task_id: str) -> FileService:
        return self._services[self._tasks.read(tenant, task_id).kind]()
