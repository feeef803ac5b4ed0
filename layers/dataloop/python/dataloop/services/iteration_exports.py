"""Exports of a project's iterations, and the files that an iteration left.

An export is a task of the iteration's model (services/judging.py). Its id is decided by the iteration, the export's name and
the attempt, so two requests at once are one export, and a client that has just asked finds it without waiting for an index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.models import Model
from dataloop.domain.projects import Iteration
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.tasks import TaskRepository
from dataloop.services.clock import Clock
from dataloop.services.export_archives import ARCHIVE
from dataloop.services.judging import JudgingService

# Counts up when the archive's content changes: exports of a lower number are offered anew.
PACKAGE = 1
# Formats that are one file already.
_SINGLE = {"dockerfile": "dockerfile.zip"}


@dataclass(frozen=True, slots=True)
class IterationExport:
    """One export. status: exporting, done or failed. link: one file, open for 15 minutes without a key; only when done.

    is_outdated: asking again would make a newer package. reason: why it failed.
    """

    name: str
    status: str
    link: str | None = None
    is_outdated: bool = False
    reason: str = ""


class IterationExportService:
    """`request` starts an export, `exports` tells what became of them, `artifact` links to one file of an iteration."""

    def __init__(
        self,
        models: ModelRepository,
        tasks: TaskRepository,
        judging: JudgingService,
        artifacts: Bucket,
        clock: Clock,
    ) -> None:
        self._models = models
        self._tasks = tasks
        self._judging = judging
        self._artifacts = artifacts
        self._clock = clock

    def request(self, iteration: Iteration, name: str, format: str, texts: Mapping[str, str]) -> IterationExport:
        """Export a COMPLETED iteration. One that is done is answered as it stands; after a failure it is tried again.

        name: the caller's own for platform and flavour. format: of catalog/exporters.py. texts: further files of the
        archive. Raises IllegalTransition(iteration) when it is not trained, IllegalTransition(export) while this export
        is being made, InvalidInput(format). Cost: 1 read an attempt, 3 reads and the task for a new one.
        """
        _require_trained(iteration)
        attempt, task = self._latest(iteration, [name]).get(name, (-1, None))
        # One that was created and not started is of a request that died: the same id again starts it.
        if task is not None and not task.is_ended and task.status != "CREATED":
            raise IllegalTransition("export", name, task.status, "another one")
        if task is None or task.status == "CREATED" or _may_be_redone(task):
            number = attempt if task is not None and task.status == "CREATED" else attempt + 1
            archive = None if format in _SINGLE else {"name": name, "package": PACKAGE, "texts": dict(texts)}
            task_id = self._task_id(iteration, name, number)
            task = self._judging.request_export(
                iteration.tenant, iteration.id, format, task_id=task_id, archive=archive
            )
        return self._described(name, task)

    def exports(self, iteration: Iteration, names: Sequence[str]) -> list[IterationExport]:
        """The exports among `names` that were asked for, in that order. Cost: 1 BatchGet, 1 more a failed attempt."""
        found = self._latest(iteration, names)
        return [self._described(name, found[name][1]) for name in names if name in found]

    def artifact(self, iteration: Iteration, path: str) -> str:
        """A link to one file of an iteration: `model/…`, `report/…` or `exports/<name>/…`, without a look at S3.

        Raises InvalidInput(path), NotFound(artifact). Cost: 1 read, for exports 1 an attempt.
        """
        area, _, rest = path.partition("/")
        if area == "exports":
            name, _, file = rest.rpartition("/")
            key = self._key_of_export(iteration, name, file)
        else:
            key = self._key_of_model(iteration, path)
        if key is None:
            raise NotFound("artifact", path)
        return self._artifacts.link(key, file_name=path.rpartition("/")[2])

    def labels(self, iteration: Iteration) -> tuple[str, ...]:
        """The labels in the order of the network's outputs. Raises IllegalTransition(iteration)."""
        _require_trained(iteration)
        return self._models.get(iteration.tenant, iteration.id).labels

    def _key_of_model(self, iteration: Iteration, path: str) -> str | None:
        model = self._models.find(iteration.tenant, iteration.id)
        return None if model is None else next((key for at, key in _files_of(model) if at == path), None)

    def _key_of_export(self, iteration: Iteration, name: str, file: str) -> str | None:
        _, task = self._latest(iteration, [name]).get(name, (0, None))
        return None if task is None else _key_of(task, file)

    def _latest(self, iteration: Iteration, names: Sequence[str]) -> dict[str, tuple[int, Task]]:
        """(attempt, task) of each export that was asked for: the last one that exists."""
        found: dict[str, tuple[int, Task]] = {}
        asked, attempt = list(dict.fromkeys(names)), 0
        while asked:
            ids = {self._task_id(iteration, name, attempt): name for name in asked}
            tasks = self._tasks.get_many(iteration.tenant, ids)
            found |= {ids[task.id]: (attempt, task) for task in tasks}
            asked = [ids[task.id] for task in tasks if _may_be_redone(task)]
            attempt += 1
        return found

    def _task_id(self, iteration: Iteration, name: str, attempt: int) -> str:
        since = from_text(iteration.created_at)
        return self._clock.decided_id(since, "iteration export", iteration.tenant, iteration.id, name, attempt)

    def _described(self, name: str, task: Task) -> IterationExport:
        if not task.is_ended:
            return IterationExport(name, "exporting")
        if task.status != "SUCCEEDED":
            return IterationExport(name, "failed", reason=str((task.error or {}).get("message", "")))
        format = str(task.parameters["format"])
        key = _key_of(task, _SINGLE.get(format, ARCHIVE))
        suffix = name.replace("/", "-").replace(" ", "")
        link = self._artifacts.link(key, file_name=f"{suffix}.zip") if key else None
        return IterationExport(name, "done", link, _is_outdated(task))


def _origin(iteration: Iteration) -> dict[str, str]:
    """What the event of a finished export says: rules forward it, and copy the files, by these (docs/events.md)."""
    uris = {name: iteration.info.get(name) or "" for name in ("notification_uri", "container_uri")}
    return {"project_id": iteration.project_id, "iteration_id": iteration.id} | uris


def _require_trained(iteration: Iteration) -> None:
    if iteration.status != "COMPLETED":
        raise IllegalTransition("iteration", iteration.id, iteration.status, "an export")


def _may_be_redone(task: Task) -> bool:
    return task.status in ("FAILED", "STOPPED") or _is_outdated(task)


def _is_outdated(task: Task) -> bool:
    archive = task.parameters.get("archive")
    return task.status == "SUCCEEDED" and archive is not None and int(archive["package"]) < PACKAGE


def _files_of(model: Model) -> list[tuple[str, str]]:
    """(path, key) of what the training left: model/… and report/…"""
    places = (("model", model.prefix), ("report", model.report_prefix))
    keys = [str(entry["key"]) for entry in model.artifacts]
    return [
        (f"{area}/{key.removeprefix(prefix + '/')}", key)
        for area, prefix in places
        for key in keys
        if prefix and key.startswith(f"{prefix}/")
    ]


def _key_of(task: Task, file: str) -> str | None:
    files = task.result.get("files", []) if task.status == "SUCCEEDED" else []
    return next((str(entry["key"]) for entry in files if entry["name"] == file), None)
