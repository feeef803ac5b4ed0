"""The machine project_batch: deletes images, deleted tags and deleted projects in steps, and lets copies go step by step.

Each step does a bounded part and notes how far it came; a step that died is repeated and finds what is done already.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from dataloop.domain.errors import IllegalTransition, NotFound
from dataloop.domain.projects import ROWS_A_BLOCK, Project, Tag
from dataloop.domain.tasks import Task
from dataloop.domain.times import to_text
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.projects import ProjectRepository
from dataloop.repositories.terms import TermIndex
from dataloop.services.clock import Clock
from dataloop.services.iterating import IterationService
from dataloop.services.projects import ProjectService, target_of
from dataloop.services.removing import RemovalService
from dataloop.services.snapshots import SnapshotService
from dataloop.services.storing_predictions import StoredPredictionService
from dataloop.services.suggesting_tags import TagSuggestionService
from dataloop.services.tagging import TaggingService
from dataloop.services.tracking import TaskService

log = logging.getLogger(__name__)

# One step deletes this many blocks of 256 images: 4,096, each in its own transaction, within a minute.
BLOCKS_A_STEP = 16
# One step takes a deleted tag off this many times 1,024 images.
CALLS_A_STEP = 8
# A request that began before a deletion has ended by now: API functions live half a minute.
SETTLED_S = 300


class ProjectDeletions:
    """What a bulk_delete task does. parameters.what: images (image_ids, or until: an ordinal), tag or project."""

    def __init__(
        self,
        projects: ProjectService,
        repository: ProjectRepository,
        images: ImageRepository,
        terms: TermIndex,
        tagging: TaggingService,
        iterating: IterationService,
        snapshots: SnapshotService,
        predictions: StoredPredictionService,
        suggestions: TagSuggestionService,
        removing: RemovalService,
        tasks: TaskService,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._repository = repository
        self._images = images
        self._terms = terms
        self._tagging = tagging
        self._iterating = iterating
        self._snapshots = snapshots
        self._predictions = predictions
        self._suggestions = suggestions
        self._removing = removing
        self._tasks = tasks
        self._clock = clock

    def step(self, task: Task) -> bool:
        """One part of the work; True when the task has ended. A project that is gone already is no error."""
        project = self._repository.get(task.tenant, task.target.partition("#")[2])
        if project is None:
            self._tasks.succeed(task, {})
            return True
        steps: Mapping[str, Callable[[Task, Project], bool]] = {
            "images": self._images_step,
            "tag": self._tag_step,
            "project": self._project_step,
        }
        return steps[task.parameters["what"]](task, project)

    def _images_step(self, task: Task, project: Project) -> bool:
        everywhere = bool(task.parameters.get("all_iterations"))
        if "image_ids" in task.parameters:
            self._delete_listed(project, task.parameters["image_ids"], everywhere)
            is_done = True
        else:
            task, is_done = self._delete_blocks(task, project, everywhere)
        if is_done:
            self._tasks.succeed(task, {})
        return is_done

    def _tag_step(self, task: Task, project: Project) -> bool:
        tag_id = task.parameters["tag_id"]
        if not self._forget_tag(project, tag_id):
            return False
        self._repository.forget_deleted_tag(project.tenant, project.id, tag_id)
        self._tasks.succeed(task, {"tag_id": tag_id})
        return True

    def _forget_tag(self, project: Project, tag_id: str) -> bool:
        return any(self._tagging.forget_tag(project, tag_id) for _ in range(CALLS_A_STEP))

    def _project_step(self, task: Task, project: Project) -> bool:
        """Iterations, images, then everything else; the project's own item last, when nothing can come any more."""
        tenant = project.tenant
        if project.status != "DELETING":
            project = self._projects.begin_deletion(project)
        if "until" not in task.context and not self._forget_iterations(project):
            return False
        task, is_done = self._delete_blocks(task, project)
        if not is_done or not self._predictions.forget_project(tenant, project.id):
            return False
        self._terms.drop(tenant, project.id)
        self._images.forget_sequence(tenant, project.id)
        for tag in (*self._repository.tags(tenant, project.id), *self._repository.deleted_tags(tenant, project.id)):
            self._repository.drop_tag(tag)
        self._delete_dataset(project)
        if project.updated_at <= self._settled():
            self._repository.end_deletion(project)
        self._tasks.succeed(task, {})
        return True

    def _forget_iterations(self, project: Project) -> bool:
        for iteration in self._iterating.list(project):
            if not self._suggestions.forget_iteration(project.tenant, iteration.id):
                return False
        self._iterating.forget(project)
        return True

    def _delete_dataset(self, project: Project) -> None:
        if project.dataset_id is None:
            return
        try:
            self._removing.delete_dataset(project.tenant, project.dataset_id, by="project", force=True)
        except (IllegalTransition, NotFound) as kept:
            # A loop learns from it, or a release of one of its models stands: those outlive the project.
            log.info("the dataset of a deleted project stays", extra={"project_id": project.id, "reason": str(kept)})

    def _delete_blocks(self, task: Task, project: Project, all_iterations: bool = False) -> tuple[Task, bool]:
        """Some blocks of the images up to an ordinal, of all without one; (the task as noted, whether that was all)."""
        tenant = project.tenant
        if "until" not in task.context:
            until = task.parameters.get("until")
            until = self._images.last_ordinal(tenant, project.id) if until is None else until
            task = self._tasks.note(task, context={**task.context, "until": until, "block": 0})
        first, until = task.context["block"], task.context["until"]
        blocks = -(-until // ROWS_A_BLOCK)
        last = min(first + BLOCKS_A_STEP, blocks)
        if all_iterations:
            self._forget_content(project, range(first * ROWS_A_BLOCK, last * ROWS_A_BLOCK))
        for block in range(first, last):
            rows = [row for row in self._images.block(tenant, project.id, block) if row.ordinal < until]
            self._tagging.clear(project, rows, is_noted=project.status != "DELETING")
        if last > first:
            counted = {"done": min(last * ROWS_A_BLOCK, until), "total": until}
            task = self._tasks.note(task, context={**task.context, "block": last}, progress=counted)
        return task, last == blocks

    def _delete_listed(self, project: Project, image_ids: Sequence[str], all_iterations: bool) -> None:
        """Images by id. An iteration may hold one that the workspace has lost long ago."""
        rows = self._images.get_many(project.tenant, project.id, image_ids)
        for iteration in self._iterating.list(project) if all_iterations else ():
            with contextlib.suppress(IllegalTransition):  # nothing was frozen yet
                frozen = [*rows, *self._snapshots.open(iteration).by_ids(image_ids)]
                self._snapshots.forget(iteration, {row.uid for row in frozen}, {row.ordinal for row in frozen})
        self._tagging.clear(project, rows)

    def _forget_content(self, project: Project, ordinals: range) -> None:
        """What iterations hold of these images, also of those that the workspace has lost since."""
        for iteration in self._iterating.list(project):
            with contextlib.suppress(IllegalTransition):  # nothing was frozen yet
                frozen = self._snapshots.open(iteration).rows(ordinals)
                self._snapshots.forget(iteration, {row.uid for row in frozen}, {row.ordinal for row in frozen})

    def _settled(self) -> str:
        return to_text(self._clock.now() - timedelta(seconds=SETTLED_S))

    def sweep(self, tenant: str) -> int:
        """Go on with deletions of projects and tags that no task is at; returns how many were gone on with.

        The last task of a project's deletion starts some minutes after the deletion: it finds images that were being
        added meanwhile, and removes the project's own item.
        """
        count = 0
        for found in list(self._repository.leaving(tenant)):
            project_id = found.id if isinstance(found, Project) else found[1].project_id
            since = found.updated_at if isinstance(found, Project) else found[0]
            if since > self._settled() or self._is_busy(tenant, project_id):
                continue
            if isinstance(found, Project):
                self._projects.continue_deletion(found)
            else:
                self._sweep_tag(tenant, found[1])
            count += 1
        return count

    def _sweep_tag(self, tenant: str, tag: Tag) -> None:
        project = self._repository.get(tenant, tag.project_id)
        if project is None or self._tagging.forget_tag(project, tag.id):
            self._repository.forget_deleted_tag(tenant, tag.project_id, tag.id)
        else:
            self._projects.clean(project, tag.id)

    def _is_busy(self, tenant: str, project_id: str) -> bool:
        return any(task.kind == "bulk_delete" for task in self._tasks.active_of(tenant, target_of(project_id)))


class ProjectBatches:
    """The machine's one step. workers: by the kind of task, made when first used."""

    def __init__(self, tasks: TaskService, workers: Mapping[str, Callable[[Task], bool]]) -> None:
        self._tasks = tasks
        self._workers = workers

    def step(self, tenant: str, task_id: str) -> dict[str, Any]:
        """{"task_id", "is_done"}: whether the task has ended. Raises IllegalTransition when somebody stopped it."""
        task = self._tasks.read(tenant, task_id)
        if task.is_ended:
            return {"task_id": task_id, "is_done": True}
        task = self._tasks.begin(task, task.kind)
        return {"task_id": task_id, "is_done": self._workers[task.kind](task)}
