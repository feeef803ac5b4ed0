"""Tasks: everything that takes longer than a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ankerautotrainsdk.errors import TaskFailed, TaskStopped, TaskTimeout
from ankerautotrainsdk.operations.base import Calls, every
from ankerautotrainsdk.progress import Bar
from ankerautotrainsdk.results import Page, Task
from ankerautotrainsdk.transport import path as route

_FIRST_POLL_S = 0.25
_LAST_POLL_S = 5.0


class TaskCalls(Calls):
    """Calls about tasks."""

    def get_task(self, task_id: str) -> Task:
        """The present state of a task. Raises NotFound."""
        return Task(self._transport.get(route("tasks", task_id)))

    def list_tasks(self, kind: str | None = None, *, limit: int | None = None, cursor: str | None = None) -> Page[Task]:
        """One page of tasks, newest first; of one kind: build, train, predict, …"""
        return self._page("/tasks", Task, limit=limit, cursor=cursor, kind=kind)

    def iter_tasks(self, kind: str | None = None) -> Iterator[Task]:
        """All tasks (of a kind), newest first, fetched page by page."""
        return every(lambda cursor: self.list_tasks(kind, cursor=cursor))

    def stop_task(self, task_id: str) -> Task:
        """Ask a task to stop; it ends as STOPPED some time later. Raises NotFound, IllegalTransition (it is over)."""
        return Task(self._transport.post(f"{route('tasks', task_id)}/stop"))

    def wait_for_task(
        self,
        task: str | Mapping[str, object],
        *,
        timeout_s: float | None = None,
        progress: bool | Callable[[Task], None] | None = None,
        poll_s: float | None = None,
        raise_on_failure: bool = True,
    ) -> Task:
        """Wait until a task is over, and return it.

        task: its id, or the Task that a call returned.
        timeout_s: give up after so many seconds (TaskTimeout; the task goes on); None waits for ever.
        progress: True or False for a bar, a function that is called with every state seen, or None for a bar when
        standard error is a terminal.
        poll_s: seconds between two looks; by default 0.25 at first, growing to 5.
        raise_on_failure: False returns FAILED and STOPPED tasks instead of raising TaskFailed and TaskStopped, whose
        code and message are the reason that the service recorded.
        """
        task_id = task if isinstance(task, str) else str(task["task_id"])
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = poll_s or _FIRST_POLL_S
        show = progress if isinstance(progress, bool) else self._progress if progress is None else False
        with Bar(show, None, "waiting", "step") as bar:
            while True:
                state = self.get_task(task_id)
                if callable(progress):
                    progress(state)
                _show(bar, state)
                if state.is_over:
                    break
                if deadline_s is not None and time.monotonic() + pause_s > deadline_s:
                    raise TaskTimeout(f"{_named(state)} is still {state.status} after {timeout_s:g} s", state)
                time.sleep(pause_s)
                pause_s = poll_s or min(_LAST_POLL_S, pause_s * 1.3)
        if raise_on_failure:
            _raise_unless_succeeded(state)
        return state

    def _start(self, route_: str, body: Mapping[str, Any]) -> Task:
        """A request that starts a task; repeated after a lost answer it is the same task."""
        return Task(self._transport.post_keyed(route_, dict(body)))

    def _maybe_wait(self, task: Task, wait: bool, timeout_s: float | None) -> Task:
        return self.wait_for_task(task, timeout_s=timeout_s) if wait else task


def _show(bar: Bar, state: Task) -> None:
    progress = state.get("progress") or {}
    title = f"{state.get('kind', 'task')} {state.get('phase') or state.status}"
    bar.move_to(progress.get("done") or 0, progress.get("total"), title)


def _named(state: Task) -> str:
    return f"{state.get('kind', 'task')} {state.task_id}"


def _raise_unless_succeeded(state: Task) -> None:
    if state.status == "SUCCEEDED":
        return
    error = state.get("error") or {}
    reason = error.get("message") or "no reason was recorded"
    details = {"task_id": state.task_id, "kind": state.get("kind")}
    if state.status == "STOPPED":
        raise TaskStopped(f"{_named(state)} was stopped", state, details=details)
    raise TaskFailed(f"{_named(state)} failed: {reason}", state, code=error.get("code"), details=details)
