"""Tasks: create and start them, follow them, end them. Every asynchronous thing a client sees goes through here."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.tasks import KINDS, MACHINES, Task
from dataloop.gateways.machines import Machines
from dataloop.gateways.objects import Bucket
from dataloop.repositories.tasks import TaskRepository, error_of
from dataloop.services.clock import Clock

log = logging.getLogger(__name__)

MAX_MESSAGE = 2000
# The code of tasks whose execution was lost with the machine it ran on (the one-machine runtime, restarted).
INTERRUPTED = "Interrupted"
RESTARTED = "local runtime restarted"
# SageMaker's words for a training that nothing interrupts, in their order.
JOB_PHASES = ("pending", "starting", "downloading", "training", "uploading")
# Called with a task that has just ended in FAILED or STOPPED, to end what the task was making.
Ending = Callable[[Task], None]


class TaskService:
    """`endings` maps a kind to what else must end when a task of that kind fails or is stopped."""

    def __init__(self, repository: TaskRepository, machines: Machines, artifacts: Bucket, clock: Clock) -> None:
        self._repository = repository
        self._machines = machines
        self._artifacts = artifacts
        self._clock = clock
        self.endings: dict[str, Ending] = {}

    def create(
        self,
        tenant: str,
        kind: str,
        target: str,
        parameters: Mapping[str, Any],
        *,
        id: str | None = None,
        parent_id: str | None = None,
    ) -> Task:
        """Write a task in CREATED; the same id again is the same task. Nothing runs yet."""
        now = self._clock.text()
        task = Task(
            tenant=tenant,
            id=id or self._clock.new_id(),
            kind=kind,
            status="CREATED",
            target=target,
            created_at=now,
            updated_at=now,
            parameters=parameters,
            parent_id=parent_id,
        )
        return self._repository.create(task)

    def start(self, task: Task) -> Task:
        """Start the task's execution, named after the task, and move it to QUEUED.

        The task is durable before the execution starts; a crash between leaves a CREATED task that `sweeping` starts.
        """
        if task.is_ended:
            return task
        machine = MACHINES[task.kind]
        self._machines.start(machine, task.execution_name, {"tenant": task.tenant, "task_id": task.id})
        try:
            return self._repository.move(task, "QUEUED", self._clock.text())
        except IllegalTransition:
            return self._repository.get(task.tenant, task.id)  # the execution was quicker than we

    def begin(self, task: Task, phase: str = "") -> Task:
        """A step runs: RUNNING, unless a stop came first. Raises IllegalTransition for an ended or stopping task."""
        if task.status == "RUNNING":
            return self._repository.note(task, self._clock.text(), phase=phase)
        return self._repository.move(task, "RUNNING", self._clock.text(), phase=phase)

    def note(self, task: Task, **changes: object) -> Task:
        """Keep facts of a running task (phase, progress, context)."""
        return self._repository.note(task, self._clock.text(), **changes)

    def succeed(self, task: Task, result: Mapping[str, Any]) -> Task:
        """The end as wished for: what was counted is done. A task that was stopped meanwhile stays stopped."""
        counted = {**task.progress, "done": task.progress["total"]} if "total" in task.progress else {}
        facts = {"result": dict(result), "phase": "done", "progress": counted}
        try:
            return self._repository.move(task, "SUCCEEDED", self._clock.text(), **facts)
        except IllegalTransition as late:
            if late.current == "STOPPING":
                return self.stopped(task, "it was stopped while its last step ran")
            raise

    def fail(self, tenant: str, task_id: str, code: str, message: str) -> Task:
        """FAILED with a reason, or STOPPED when a stop was under way; ended tasks stay as they are.

        Whatever the task was making ends too. Logs `task_failed`, which the template turns into a metric.
        """
        task = self._repository.get(tenant, task_id)
        if task.is_ended:
            self._end(task)
            return task
        if task.status == "STOPPING":
            return self.stopped(task, message)
        error = error_of(code, message[:MAX_MESSAGE])
        try:
            task = self._repository.move(task, "FAILED", self._clock.text(), error=error)
        except IllegalTransition:
            return self._repository.get(tenant, task_id)  # it ended while we looked
        log.warning(
            "task_failed",
            extra={"task_id": task_id, "kind": task.kind, "tenant": tenant, "code": code, "reason": message},
        )
        self._end(task)
        return task

    def stopped(self, task: Task, message: str) -> Task:
        """STOPPED, as somebody asked."""
        error = error_of("Stopped", message[:MAX_MESSAGE])
        task = self._repository.move(task, "STOPPED", self._clock.text(), error=error)
        self._end(task)
        return task

    def _end(self, task: Task) -> None:
        ending = self.endings.get(task.kind)
        if ending is not None and task.status in ("FAILED", "STOPPED"):
            ending(task)

    def stop(self, tenant: str, task_id: str) -> Task:
        """Ask a task to stop. Raises NotFound, IllegalTransition when it has ended.

        The execution is stopped, which makes Step Functions stop the job (best effort); the status event of the
        aborted execution ends the task.
        """
        task = self._repository.get(tenant, task_id)
        if task.status == "CREATED":
            task = self._repository.move(
                task, "STOPPED", self._clock.text(), error=error_of("Stopped", "before it began")
            )
            self._end(task)
            return task
        task = self._repository.move(task, "STOPPING", self._clock.text())
        running = task.kind in MACHINES and self._machines.stop(
            MACHINES[task.kind], task.execution_name, "a client asked to stop"
        )
        return task if running else self.stopped(task, "there was no execution to stop")

    def get(self, tenant: str, task_id: str) -> Task:
        """Raises NotFound. 1 read; for a running training also 1 GET of its progress."""
        return self.with_progress(self._repository.get(tenant, task_id))

    def read(self, tenant: str, task_id: str) -> Task:
        """Raises NotFound. The task alone: 1 read."""
        return self._repository.get(tenant, task_id)

    def with_progress(self, task: Task) -> Task:
        """Fill in the progress a running training left with its checkpoints, which SageMaker keeps in step with S3."""
        if task.kind != "train" or task.status != "RUNNING":
            return task
        try:
            progress = json.loads(self._artifacts.get(progress_key(task)))
        except (NotFound, ValueError):
            return task
        return replace(task, progress=progress)

    def files_below(self, prefix: str) -> list[dict[str, Any]]:
        """What a job left below a prefix, as a result keeps it: name, key, size_bytes. 1 call per 1,000 files."""
        return [
            {"name": key.removeprefix(f"{prefix}/"), "key": key, "size_bytes": size}
            for key, size in self._artifacts.keys(f"{prefix}/")
        ]

    def files(self, task: Task) -> list[dict[str, Any]]:
        """The files of a finished task's result with fresh links, for 15 minutes. No call."""
        return [
            {name: value for name, value in entry.items() if name != "key"}
            | {"url": self._artifacts.link(str(entry["key"]), file_name=str(entry["name"]).rpartition("/")[2])}
            for entry in task.result.get("files", [])
        ]

    def page(self, tenant: str, kind: str | None, limit: int, cursor: str | None) -> tuple[list[Task], str | None]:
        """Newest first, of one kind, or the newest of all kinds (one page, without cursor)."""
        if kind is None:
            return self._repository.newest(tenant, limit), None
        if kind not in KINDS:
            raise InvalidInput("kind", f"must be one of {', '.join(KINDS)}", kind)
        return self._repository.page(tenant, kind, limit=limit, cursor=cursor)

    def phase_of_job(self, tenant: str, task_id: str, phase: str) -> None:
        """What SageMaker is doing for a task, in SageMaker's own words. Its events may come in another order."""
        try:
            task = self._repository.get(tenant, task_id)
        except NotFound:
            return
        phase = phase.lower()
        is_late = phase in JOB_PHASES and task.phase in JOB_PHASES[JOB_PHASES.index(phase) :]
        if phase and not task.is_ended and not is_late:
            self._repository.note(task, self._clock.text(), phase=phase)

    def unended(self, tenant: str, kind: str) -> list[Task]:
        """The newest thousand tasks of a kind that have not ended: what a sweep looks after."""
        tasks, _ = self._repository.page(tenant, kind, limit=1000)
        return [task for task in tasks if not task.is_ended]

    def active_of(self, tenant: str, target: str) -> list[Task]:
        """The tasks of one target (`Project#<id>`) that have not ended. 1 query, eventually consistent."""
        return list(self._repository.of_target(tenant, target, only_active=True))

    def resume(self, task: Task) -> str:
        """Bring a task that nobody moves to where its execution is. Returns what was done, for the log.

        No execution: start it (its own, or fail it when the run it belonged to has ended). An execution that ended
        without its task: end the task.
        """
        machine = MACHINES[task.kind]
        execution = self._machines.look(machine, task.execution_name)
        if execution is None:
            if task.parent_id is not None:
                parent = self._repository.get(task.tenant, task.parent_id)
                if not parent.is_ended:
                    return "waits for its run"
                self.fail(task.tenant, task.id, INTERRUPTED, "the run it belonged to ended first")
                return "failed with its run"
            if task.status == "STOPPING":
                self.stopped(task, "there was no execution to stop")
                return "stopped"
            self.start(task)
            return "started"
        if execution.status == "RUNNING":
            return "is running"
        if execution.status == "SUCCEEDED":
            self.fail(task.tenant, task.id, "Lost", "its execution ended without recording a result")
            return "failed: no result"
        self.follow(task.tenant, task.id, execution.status, execution.error, execution.cause)
        return "ended with its execution"

    def follow(self, tenant: str, task_id: str, status: str, error: str, cause: str) -> Task | None:
        """An execution ended elsewhere than in its own last state (aborted, timed out, failed hard): end its task."""
        try:
            task = self._repository.get(tenant, task_id)
        except NotFound:
            return None
        if task.is_ended:
            return task
        if status == "ABORTED":
            if task.status == "STOPPING" or error == "Stopped":
                return self.stopped(task, cause or "the execution was stopped")
            return self.fail(tenant, task_id, "Aborted", cause or "the execution was aborted")
        if RESTARTED in cause:
            return self.fail(
                tenant, task_id, INTERRUPTED, "the runtime was restarted while this task ran: start it again"
            )
        code, message = reason_of(error, cause)
        return self.fail(tenant, task_id, "TimedOut" if status == "TIMED_OUT" else code, message)


def progress_key(task: Task) -> str:
    """Where a training keeps its progress."""
    return f"{task.tenant}/training/{task.id}/checkpoints/progress.json"


def reason_of(error: str, cause: str) -> tuple[str, str]:
    """(code, message a user can act on) of a Step Functions error.

    A Lambda's cause is JSON with errorType and errorMessage, a SageMaker job's the job's description with its
    FailureReason, a nested execution's its own description with error and cause.
    """
    try:
        found = json.loads(cause)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return error or "Failed", cause or error or "no reason was given"
    # A processing job's FailureReason is generic; what the container wrote is its ExitMessage.
    reason = found.get("ExitMessage") or found.get("FailureReason")
    if reason:
        return "JobFailed", str(reason)
    if found.get("errorMessage"):
        return str(found.get("errorType") or error), str(found["errorMessage"])
    inner = found.get("Cause") or found.get("cause")
    if inner:
        return reason_of(str(found.get("Error") or found.get("error") or error), str(inner))
    status = found.get("TrainingJobStatus") or found.get("ProcessingJobStatus") or found.get("Status")
    if status:
        return error or "Failed", f"the job ended as {status}"
    return error or "Failed", cause[:MAX_MESSAGE]
