"""Tasks: created once, moved only as the table of transitions allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataloop.domain import transitions
from dataloop.domain.errors import NotFound
from dataloop.domain.tasks import KINDS, Task
from dataloop.repositories import keys, lifecycle
from dataloop.repositories.entities import from_item, to_item
from dataloop.repositories.table import ConditionFailed, Table


class TaskRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, task: Task) -> Task:
        """Write a task; the same id again returns what stands. 1 call, 3 WRU (item and two indexes)."""
        item = to_item(
            task,
            keys.task(task.tenant, task.id),
            keys.ROOT,
            g1pk=keys.tasks(task.tenant, task.kind),
            g1sk=f"{task.created_at}#{task.id}",
            g2pk=keys.tasks_of(task.tenant, task.target),
            g2sk=keys.task_order(task.created_at, task.id, task.is_ended),
        )
        return from_item(Task, lifecycle.create(self._table, item))

    def get(self, tenant: str, task_id: str) -> Task:
        """S. Raises NotFound. 1 call."""
        item = self._table.get(keys.task(tenant, task_id))
        if item is None:
            raise NotFound("task", task_id)
        return from_item(Task, item)

    def get_many(self, tenant: str, task_ids: Iterable[str]) -> list[Task]:
        """S. Those that exist, in no particular order. 1 call per 100."""
        wanted = [(keys.task(tenant, task_id), keys.ROOT) for task_id in task_ids]
        return [from_item(Task, item) for item in self._table.get_many(wanted, consistent=True)]

    def move(self, task: Task, status: str, at: str, **changes: object) -> Task:
        """Change the status from any state that allows it, and other fields with it.

        Raises IllegalTransition when the task stands elsewhere. Being there already is no error and changes nothing:
        a replayed step must be a no-op.
        """
        is_ended = transitions.is_terminal(transitions.TASK, status)
        order = keys.task_order(task.created_at, task.id, is_ended)
        found = lifecycle.move(
            self._table,
            keys.task(task.tenant, task.id),
            ("task", task.id),
            transitions.TASK,
            status,
            {"updated_at": at, "g2sk": order} | changes,
        )
        return from_item(Task, found)

    def note(self, task: Task, at: str, **changes: object) -> Task:
        """Change fields of a task that has not ended; an ended one is left as it is and returned."""
        ended: dict[str, Any] = {f"end{index}": state for index, state in enumerate(("SUCCEEDED", "FAILED", "STOPPED"))}
        try:
            item = self._table.update(
                keys.task(task.tenant, task.id),
                set={"updated_at": at} | changes,
                condition=f"attribute_exists(#pk) AND NOT #status IN ({', '.join(f':{name}' for name in ended)})",
                **ended,
            )
        except ConditionFailed as lost:
            if not lost.item:
                raise NotFound("task", task.id) from lost
            return from_item(Task, lost.item)
        return from_item(Task, item)

    def page(self, tenant: str, kind: str, *, limit: int, cursor: str | None = None) -> tuple[list[Task], str | None]:
        """E. Newest first, of one kind."""
        page = self._table.query(
            keys.tasks(tenant, kind), index=keys.BY_TIME, limit=limit, newest_first=True, cursor=cursor
        )
        return [from_item(Task, item) for item in page.items], page.cursor

    def of_target(self, tenant: str, target: str, *, only_active: bool = False) -> Iterator[Task]:
        """E. The tasks of one target (`Dataset#<version id>`, `Model#<id>`, …), those that run first. 1 call per 1,000."""
        prefix = "A#" if only_active else None
        for item in self._table.query_all(keys.tasks_of(tenant, target), index=keys.BY_PARENT, prefix=prefix):
            yield from_item(Task, item)

    def newest(self, tenant: str, limit: int) -> list[Task]:
        """E. The newest of all kinds: one call per kind."""
        found = [task for kind in KINDS for task in self.page(tenant, kind, limit=limit)[0]]
        return sorted(found, key=lambda task: (task.created_at, task.id), reverse=True)[:limit]


def error_of(code: str, message: str) -> Mapping[str, Any]:
    """The shape of a task's error."""
    return {"code": code, "message": message}
