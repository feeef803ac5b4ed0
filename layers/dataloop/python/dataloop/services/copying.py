"""Copies of projects by token: what there is to copy, a new project at once, its tags and images in a task's steps."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dataloop.domain.datasets import MAX_NAME, check_name
from dataloop.domain.errors import Conflict, InvalidInput, NotFound, Throttled
from dataloop.domain.project_tokens import project_of, token_of
from dataloop.domain.projects import ROWS_A_BLOCK, Image, Project, Tag, numbered_id
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text, to_text
from dataloop.gateways.secrets import Secret
from dataloop.repositories.images import ImageRepository
from dataloop.repositories.iterations import IterationRepository
from dataloop.repositories.terms import TermIndex
from dataloop.services.clock import Clock
from dataloop.services.projects import ProjectService, target_of
from dataloop.services.tagging import TaggingService
from dataloop.services.tracking import TaskService

# A token lives a day: Microsoft calls its own temporary, without a number.
TOKEN_HOURS = 24
# One step copies this many blocks of 256 images: 4,096, each written in its own transaction, within a minute.
BLOCKS_A_STEP = 16
# What the estimate says: a start (an execution and a cold function), and ten milliseconds a transaction, eight at a time.
START_MS, IMAGE_MS = 5_000, 2
THREADS = 16
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ProjectExport:
    """How much a copy would be, and the token that makes one. estimated_ms: START_MS and IMAGE_MS a picture."""

    iterations: int
    images: int
    tags: int
    regions: int
    estimated_ms: int
    token: str


class CopyService:
    """A copy has the same images (their bytes are not copied), tags, regions and metadata; not the iterations."""

    def __init__(
        self,
        projects: ProjectService,
        images: ImageRepository,
        terms: TermIndex,
        iterations: IterationRepository,
        tagging: TaggingService,
        tasks: TaskService,
        signing_root: Secret,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._images = images
        self._terms = terms
        self._iterations = iterations
        self._tagging = tagging
        self._tasks = tasks
        self._signing_root = signing_root
        self._clock = clock

    def export(self, project: Project) -> ProjectExport:
        """Exact counts, and a token for a day. Cost: 3 queries; with boxes also 1 per 256 images, sixteen at a time."""
        tenant = project.tenant
        images = len(self._terms.bitmap(tenant, project.id, "all"))
        ends = int((self._clock.now() + timedelta(hours=TOKEN_HOURS)).timestamp())
        return ProjectExport(
            iterations=len(self._iterations.of_project(tenant, project.id)),
            images=images,
            tags=len(self._projects.tags(project)),
            regions=self._regions(project) if project.task_type == "detection" and images else 0,
            estimated_ms=START_MS + IMAGE_MS * images,
            token=token_of(self._signing_root.value(), tenant, project.id, ends),
        )

    def _regions(self, project: Project) -> int:
        with ThreadPoolExecutor(THREADS) as pool:
            blocks = range(_blocks(self._images.last_ordinal(project.tenant, project.id)))
            found = pool.map(lambda block: self._images.block(project.tenant, project.id, block), blocks)
            return sum(len(image.regions) for images in found for image in images)

    def start(self, tenant: str, token: str, name: object = None) -> Project:
        """A new project, IMPORTING until a task has copied everything into it.

        Raises InvalidInput(import token): not ours, changed, ended, another tenant's, or its project is gone;
        InvalidInput(project name), Conflict(project), LimitExceeded(projects).
        The task is durable first: one whose project was never made ends by itself. Cost: 1 query, 2 reads, 4 writes, 1 start.
        """
        now = self._clock.now()
        source_id = project_of(self._signing_root.value(), tenant, token, int(now.timestamp()))
        try:
            source = self._projects.get(tenant, source_id or "")
        except NotFound:
            raise InvalidInput("import token", "is not valid, has ended, or its project is gone") from None
        name = f"{source.name[: MAX_NAME - 40]} ({to_text(now)})" if name is None else check_name(name, "project name")
        if any(each.name == name for each in self._projects.list(tenant)):
            raise Conflict("project", str(name))
        new_id = self._clock.new_id()
        until = self._images.last_ordinal(tenant, source.id)
        wish = {"source_id": source.id, "until": until}
        task = self._tasks.create(tenant, "copy_project", target_of(new_id), wish)
        if until:
            # An image of the copy has the number it has in the source: whatever is added meanwhile comes behind.
            self._images.reserve(tenant, new_id, until)
        made = self._projects.create(
            tenant,
            name,
            task_type=source.task_type,
            description=source.description,
            architecture=source.architecture,
            info=source.info,
            status="IMPORTING",
            project_id=new_id,
        )
        self._tasks.start(task)
        return made

    def step(self, task: Task) -> bool:
        """Some blocks of images, the tags before the first; True when all is copied. Again it changes nothing.

        Raises NotFound when either project is gone: the copy has failed then.
        """
        tenant, target_id = task.tenant, task.target.partition("#")[2]
        target = self._projects.get(tenant, target_id)
        source = self._projects.get(tenant, task.parameters["source_id"])
        done, until = dict(task.context), task.parameters["until"]
        if "tags" not in done:
            done = {"tags": self._copy_tags(source, target), "block": 0, "images": 0}
            task = self._tasks.note(task, context=done)
        last = min(done["block"] + BLOCKS_A_STEP, _blocks(until))
        for block in range(done["block"], last):
            rows = [row for row in self._images.block(tenant, source.id, block) if row.ordinal < until]
            if rows:
                self._tagging.store(target, [self._copy(target, row, done["tags"]) for row in rows])
            done["images"] += len(rows)
        done["block"] = last
        counted = {"done": min(last * ROWS_A_BLOCK, until), "total": until}
        task = self._tasks.note(task, context=done, progress=counted)
        if last < _blocks(until):
            return False
        self._set_status(target, "ACTIVE")
        self._tasks.succeed(task, {"project_id": target_id, "images": done["images"], "tags": len(done["tags"])})
        return True

    def end_copy(self, task: Task) -> None:
        """The task failed or was stopped: the project says so and keeps what it has."""
        target_id = task.target.partition("#")[2]
        try:
            target = self._projects.get(task.tenant, target_id)
        except NotFound:
            if not self._projects.stands(task.tenant, target_id):  # it was never made: a crash came first
                self._images.forget_sequence(task.tenant, target_id)
            return
        if target.status == "IMPORTING":
            self._set_status(target, "FAILED")

    def _copy_tags(self, source: Project, target: Project) -> dict[str, str]:
        """Source tag -> tag of the copy. Their ids are decided, so that a repeat finds those of the first time."""
        since = from_text(target.created_at)
        return {tag.id: self._copy_tag(target, tag, since).id for tag in self._projects.tags(source)}

    def _copy_tag(self, target: Project, tag: Tag, since: datetime) -> Tag:
        try:
            return self._projects.create_tag(
                target,
                tag.name,
                description=tag.description,
                kind=tag.kind,
                tag_id=self._clock.decided_id(since, "copied tag", target.id, tag.id),
            )
        except Conflict:
            # Somebody made one of the name, or the only one of its kind, in the copy meanwhile: that one it is.
            there = self._projects.tags(target)
            named = [each for each in there if each.name == tag.name]
            return (named or [each for each in there if each.kind == tag.kind])[0]

    def _copy(self, target: Project, row: Image, tags: Mapping[str, str]) -> Image:
        """A row of the copy: the same bytes, the same words, ids of its own. Tags deleted meanwhile are left out."""
        regions = tuple(
            replace(region, id=self._new_id(row.ordinal), tag_id=tags[region.tag_id])
            for region in row.regions
            if region.tag_id in tags
        )
        return replace(
            row,
            project_id=target.id,
            id=self._new_id(row.ordinal),
            tags={tags[tag_id]: at for tag_id, at in row.tags.items() if tag_id in tags},
            regions=regions,
            revision=0,
        )

    def _new_id(self, ordinal: int) -> str:
        return numbered_id(int(self._clock.now().timestamp() * 1000), ordinal, self._clock.random(6))

    def _set_status(self, project: Project, status: str) -> None:
        for _ in range(ATTEMPTS):
            if project.status == status:
                return
            try:
                self._projects.update(project, status=status)
                return
            except Throttled:
                project = self._projects.get(project.tenant, project.id)
        raise Throttled("this project keeps changing")


def _blocks(ordinals: int) -> int:
    """How many blocks hold this many ordinals."""
    return -(-ordinals // ROWS_A_BLOCK)
