"""Projects and their tags: make, change, delete. What takes long is a task of the machine project_batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop.domain.canonical import canonical_json, check_storable
from dataloop.domain.datasets import check_name
from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound, Throttled
from dataloop.domain.projects import TAG_KINDS, Project, Tag
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.projects import ProjectRepository
from dataloop.services.clock import Clock
from dataloop.services.tracking import TaskService

Tags = list[Tag]  # the class below has a method of the name `list`

# What a project may learn: a class, several classes, boxes.
TASK_TYPES = ("classification", "multilabel_classification", "detection")
# All projects of a tenant are one list without pages on the surface that has them; a thousand are half a megabyte.
MAX_PROJECTS = 1_000
# The published limit of Azure Custom Vision's paid tier, which clients are written for.
MAX_TAGS = 500
MAX_DESCRIPTION = 2_000
# Images that one deletion may name, as clients of Azure Custom Vision do: 10 KB of a task's item.
MAX_LISTED = 256
MAX_INFO_BYTES = 16 * 1024
# Somebody may change a project while somebody else deletes it: look again.
ATTEMPTS = 5


class ProjectService:
    """Reads are strongly consistent but for the list of projects."""

    def __init__(self, projects: ProjectRepository, images: ImageRepository, tasks: TaskService, clock: Clock) -> None:
        self._projects = projects
        self._images = images
        self._tasks = tasks
        self._clock = clock

    def create(
        self,
        tenant: str,
        name: object,
        *,
        task_type: str,
        description: object = "",
        architecture: str = "",
        info: Mapping[str, Any] | None = None,
        status: str = "ACTIVE",
        project_id: str | None = None,
    ) -> Project:
        """An empty project. project_id: the id to use, for callers that retry.

        Raises InvalidInput (project name, project description, task_type, info), Conflict(project), LimitExceeded(projects).
        Cost: 1 query, 1 transaction.
        """
        if task_type not in TASK_TYPES:
            raise InvalidInput("task_type", f"must be one of {', '.join(TASK_TYPES)}", task_type)
        now = self._clock.text()
        project = Project(
            tenant=tenant,
            id=project_id or self._clock.new_id(),
            name=check_name(name, "project name"),
            task_type=task_type,
            created_at=now,
            updated_at=now,
            status=status,
            description=_check_description(description, "project description"),
            architecture=architecture,
            info=_check_info(info or {}),
        )
        if len(self._projects.of_tenant(tenant, MAX_PROJECTS)) >= MAX_PROJECTS:
            raise LimitExceeded("projects", MAX_PROJECTS)
        return self._projects.create(project)

    def get(self, tenant: str, project_id: str) -> Project:
        """Raises NotFound(project), also for one that is being deleted. 1 read."""
        project = self._projects.get(tenant, project_id)
        if project is None or project.status == "DELETING":
            raise NotFound("project", project_id)
        return project

    def stands(self, tenant: str, project_id: str) -> bool:
        """True while anything of it may be left, so also when it is being deleted. 1 read."""
        return self._projects.get(tenant, project_id) is not None

    def list(self, tenant: str) -> list[Project]:
        """All of them, newest first. 1 query, eventually consistent."""
        return self._projects.of_tenant(tenant, MAX_PROJECTS)

    def update(
        self,
        project: Project,
        *,
        name: object = None,
        description: object = None,
        task_type: str | None = None,
        architecture: str | None = None,
        info: Mapping[str, Any] | None = None,
        dataset_id: str | None = None,
        status: str | None = None,
    ) -> Project:
        """Change what is given; the rest stays. project: as it was read.

        Raises InvalidInput (project name, …), Conflict(project), NotFound, Throttled (changed since it was read).
        Cost: 1 transaction.
        """
        changes: dict[str, Any] = {
            "name": None if name is None else check_name(name, "project name"),
            "description": None if description is None else _check_description(description, "project description"),
            "task_type": task_type,
            "architecture": architecture,
            "info": None if info is None else _check_info(info),
            "dataset_id": dataset_id,
            "status": status,
        }
        given = {field: value for field, value in changes.items() if value is not None}
        return self._projects.update(project, self._clock.text(), **given) if given else project

    def delete(self, project: Project) -> Task:
        """It looks gone at once; a task removes what is in it, and a sweep its last trace. Returns the task.

        The task is durable before anything changes and begins with the same mark: a crash between leaves no half.
        Cost: 2 writes, 1 transaction, 1 start.
        """
        id = self._clock.decided_id(from_text(project.created_at), "delete project", project.id)
        task = self._batch(project, {"what": "project"}, id)
        self.begin_deletion(project)
        return self._tasks.start(task)

    def begin_deletion(self, project: Project) -> Project:
        """DELETING, whatever else changes in it meanwhile. Again is no error. Raises NotFound(project), Throttled."""
        for _ in range(ATTEMPTS):
            try:
                return self._projects.begin_deletion(project, self._clock.text())
            except Throttled:
                stands = self._projects.get(project.tenant, project.id)
                if stands is None:
                    raise NotFound("project", project.id) from None
                project = stands
        raise Throttled("this project keeps changing")

    def delete_images(
        self, project: Project, image_ids: Sequence[str] | None = None, *, all_iterations: bool = False
    ) -> Task:
        """Delete images, or every image that the workspace has now: a task does it. Images that come later stay.

        image_ids: up to 256; those that are gone are no error. all_iterations: also from what iterations were trained
        on. Raises LimitExceeded(images of a request). Cost: 1 read, 2 writes, 1 start.
        """
        wish: dict[str, Any] = {"what": "images", "all_iterations": all_iterations}
        if image_ids is None:
            wish["until"] = self._images.last_ordinal(project.tenant, project.id)
        elif len(image_ids) > MAX_LISTED:
            raise LimitExceeded("images of a request", MAX_LISTED, len(image_ids))
        else:
            wish["image_ids"] = list(image_ids)
        return self._tasks.start(self._batch(project, wish))

    def create_tag(
        self,
        project: Project,
        name: object,
        *,
        description: object = "",
        kind: str = "regular",
        tag_id: str | None = None,
    ) -> Tag:
        """A new tag. kind: regular, negative or general_product; a project has at most one of each of the last two.

        Raises InvalidInput (tag name, tag description, tag type), Conflict(tag, negative tag, general_product tag),
        LimitExceeded(tags of a project; many at once may pass it by a few), NotFound(project). 1 query, 1 transaction.
        """
        tag = Tag(
            tenant=project.tenant,
            project_id=project.id,
            id=tag_id or self._clock.new_id(),
            name=check_name(name, "tag name"),
            created_at=self._clock.text(),
            kind=_check_kind(kind),
            description=_check_description(description, "tag description"),
        )
        if len(self.tags(project)) >= MAX_TAGS:
            raise LimitExceeded("tags of a project", MAX_TAGS)
        return self._projects.create_tag(tag)

    def tags(self, project: Project) -> Tags:
        """In the order they were made, each with its count of images. 1 query."""
        return self._projects.tags(project.tenant, project.id)

    def tag(self, project: Project, tag_id: str) -> Tag:
        """Raises NotFound(tag). 1 read."""
        tag = self._projects.tag(project.tenant, project.id, tag_id)
        if tag is None:
            raise NotFound("tag", tag_id)
        return tag

    def update_tag(
        self, project: Project, tag_id: str, *, name: object = None, description: object = None, kind: str | None = None
    ) -> Tag:
        """Change what is given. Raises NotFound(tag), InvalidInput and Conflict as `create_tag`. 1 read, 1 transaction."""
        tag = self.tag(project, tag_id)
        return self._projects.update_tag(
            tag,
            name=tag.name if name is None else check_name(name, "tag name"),
            description=tag.description if description is None else _check_description(description, "tag description"),
            kind=tag.kind if kind is None else _check_kind(kind),
        )

    def delete_tag(self, project: Project, tag_id: str) -> Task | None:
        """Gone at once, its name is free; a task takes it off the images when there are any (returned).

        A note stays until then, so that a sweep finishes what a crash left. Raises NotFound(tag). 1 read, 1 transaction.
        """
        tag = self.tag(project, tag_id)
        self._projects.delete_tag(tag, self._clock.text())
        return self.clean(project, tag.id) if tag.image_count else None

    def clean(self, project: Project, tag_id: str) -> Task:
        """Take a deleted tag off the images that have it: a task does it. 2 writes, 1 start."""
        return self._tasks.start(self._batch(project, {"what": "tag", "tag_id": tag_id}))

    def continue_deletion(self, project: Project) -> Task:
        """Another task for a project that is being deleted: what came since the last one is found by it."""
        return self._tasks.start(self._batch(project, {"what": "project"}))

    def _batch(self, project: Project, parameters: Mapping[str, Any], id: str | None = None) -> Task:
        return self._tasks.create(project.tenant, "bulk_delete", target_of(project.id), parameters, id=id)


def target_of(project_id: str) -> str:
    """How tasks name the project they work on."""
    return f"Project#{project_id}"


def _check_description(value: object, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text", value)
    if len(value) > MAX_DESCRIPTION:
        raise InvalidInput(field, f"must have at most {MAX_DESCRIPTION} characters", f"{len(value)} characters")
    check_storable(value, field)
    return value


def _check_kind(kind: str) -> str:
    if kind not in TAG_KINDS:
        raise InvalidInput("tag type", f"must be one of {', '.join(TAG_KINDS)}", kind)
    return kind


def _check_info(info: Mapping[str, Any]) -> Mapping[str, Any]:
    check_storable(info, "info")
    if len(canonical_json(dict(info))) > MAX_INFO_BYTES:
        raise LimitExceeded("project info: bytes", MAX_INFO_BYTES)
    return dict(info)
