"""Iterations of projects: ask for one, look at them, publish, delete. What a training does: services/freezing.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from dataloop.catalog import architectures
from dataloop.domain.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Throttled,
    Unavailable,
)
from dataloop.domain.ids import derived_uuid
from dataloop.domain.iterations import (
    MAX_ITERATIONS,
    TrainingWish,
    check_iteration_name,
    check_published_name,
    check_tags,
    check_target,
    check_wish,
    newest_trained,
)
from dataloop.domain.projects import Iteration, Project, Tag
from dataloop.domain.tasks import Task
from dataloop.domain.terms import tag_term
from dataloop.domain.times import from_text
from dataloop.gateways.objects import Bucket
from dataloop.repositories.iterations import IterationRepository
from dataloop.repositories.models import ModelRepository
from dataloop.repositories.releases import ReleaseRepository
from dataloop.services.browsing import BrowsingService
from dataloop.services.clock import Clock
from dataloop.services.learnt_content import LearntContent
from dataloop.services.projects import ProjectService, target_of
from dataloop.services.snapshots import SnapshotService, prefix_of
from dataloop.services.tracking import TaskService
from dataloop.services.training import model_id_of

# Two people who change one iteration at once: the later one looks again.
ATTEMPTS = 5
# A round takes 500 suggestions away; so many are some ten seconds of a request.
SUGGESTION_ROUNDS = 40


class IterationService:
    """Reads are strongly consistent."""

    def __init__(
        self,
        iterations: IterationRepository,
        projects: ProjectService,
        browsing: BrowsingService,
        content: LearntContent,
        snapshots: SnapshotService,
        models: ModelRepository,
        releases: ReleaseRepository,
        tasks: TaskService,
        artifacts: Bucket,
        clock: Clock,
        forget_suggestions: Callable[[str, str], bool],
    ) -> None:
        """forget_suggestions: some of what an iteration suggested (tenant, iteration id); True when nothing is left."""
        self._iterations = iterations
        self._projects = projects
        self._browsing = browsing
        self._content = content
        self._snapshots = snapshots
        self._models = models
        self._releases = releases
        self._tasks = tasks
        self._artifacts = artifacts
        self._clock = clock
        self._forget_suggestions = forget_suggestions

    # -- training ------------------------------------------------------------------------------------------------
    def train(self, project: Project, wish: TrainingWish) -> Iteration:
        """Ask for a training; it is TRAINING from now on. Its id is the id that its model will have.

        Raises InvalidInput (training kind, training budget, notification address, negative tag, `<task type> images`,
        base model), NotFound (tag, iteration), LimitExceeded (iterations of a project), IllegalTransition (running
        training, base iteration, unchanged project).
        Cost: 4 reads, a read a tag and 65,536 images, 2 writes, 1 transaction, 1 start; for boxes that may be
        unchanged also 1 read per 256 images (services/learnt_content.py).
        """
        check_wish(wish)
        self._bring_on(project)
        running, _ = self._iterations.running(project.tenant, project.id)
        if running is not None:
            raise IllegalTransition("running training", project.id, f"training iteration {running}", "training")
        stands = self.list(project)
        if len(stands) >= MAX_ITERATIONS:
            raise LimitExceeded("iterations of a project", MAX_ITERATIONS, len(stands) + 1)
        tags = self._tags(project, wish)
        base = self._base(project, wish)
        info = self._info(project, wish, tags)
        last = newest_trained(stands)
        if not wish.force and last is not None and self._content.is_unchanged(project, tags, info, last):
            raise IllegalTransition("unchanged project", project.id, "as it was at the last training", "training")
        return self._begin(project, info, base)

    def _tags(self, project: Project, wish: TrainingWish) -> list[Tag]:
        """What is learnt: the tags that were selected, or all that some image has."""
        known = {tag.id: tag for tag in self._projects.tags(project)}
        for id in wish.tag_ids:
            if id not in known:
                raise NotFound("tag", id)
        wanted = [known[id] for id in dict.fromkeys(wish.tag_ids)] if wish.tag_ids else list(known.values())
        source = self._browsing.workspace(project)
        found = {tag.id: source.bitmap(tag_term(tag.id)) for tag in wanted}
        counts = {id: len(images) for id, images in found.items()}
        tags = [tag for tag in wanted if wish.tag_ids or counts[tag.id]]
        together = sum(counts[tag.id] for tag in tags)
        different = len(type(next(iter(found.values()))).union(*found.values())) if found else 0
        check_tags(project.task_type, tags, counts, overlapping=together - different)
        return tags

    def _base(self, project: Project, wish: TrainingWish) -> str | None:
        """The model to start from. Raises NotFound, IllegalTransition(base iteration), InvalidInput(base model)."""
        if wish.base is None:
            return None
        project_id, iteration_id = wish.base
        other = project if project_id == project.id else self._projects.get(project.tenant, project_id)
        base = self.get(other, iteration_id)
        if base.status != "COMPLETED":
            raise IllegalTransition("base iteration", base.id, base.status, "being a base model")
        model = self._models.get(project.tenant, base.id)
        wanted = project.architecture or architectures.DEFAULT
        if model.task_type != project.task_type or model.architecture != wanted:
            raise InvalidInput(
                "base model",
                f"must be {project.task_type} with {wanted}",
                f"{model.task_type} with {model.architecture}",
            )
        return base.id

    @staticmethod
    def _info(project: Project, wish: TrainingWish, tags: list[Tag]) -> dict[str, Any]:
        """What an iteration keeps of the project's words and of the wish."""
        own: dict[str, Any] = {
            "task_type": project.task_type,
            "architecture": project.architecture or architectures.DEFAULT,
            "training": wish.kind,
            "budget_hours": wish.budget_hours,
            "selected_tags": list(wish.tag_ids),
            "learnt_tags": [tag.id for tag in tags],
        }
        if wish.base is not None:
            own["base"] = {"project_id": wish.base[0], "iteration_id": wish.base[1]}
        if wish.email:
            own["email"] = wish.email
        return dict(project.info) | own

    def _begin(self, project: Project, info: Mapping[str, Any], base_id: str | None) -> Iteration:
        """The task is durable first: after a crash a sweep starts it, and its first step writes the iteration.

        Who asks again, or at the same moment, meets the same task. Raises IllegalTransition(running training) when that
        one was asked for something else.
        """
        _, number = self._iterations.running(project.tenant, project.id)
        now = self._clock.text()
        task_id = self._task_id(project, number + 1)
        id = model_id_of(training_id_of(task_id))
        wanted = Iteration(
            tenant=project.tenant,
            id=id,
            project_id=project.id,
            name=f"Iteration {number + 1}",
            number=number + 1,
            status="TRAINING",
            task_id=task_id,
            created_at=now,
            updated_at=now,
            snapshot=prefix_of(project.tenant, project.id, id),
            info=info,
        )
        wish = {"project_id": project.id, "iteration": asdict(wanted), "base_model_id": base_id}
        task = self._tasks.create(project.tenant, "train_project", target_of(project.id), wish, id=task_id)
        first = iteration_of(task)
        if first.info != info:
            raise IllegalTransition("running training", project.id, f"training iteration {id}", "training")
        try:
            stands = self.begin(first)
        except NotFound as gone:
            self._tasks.fail(project.tenant, task.id, "NotFound", str(gone))
            raise
        self._tasks.start(task)
        return stands

    def _task_id(self, project: Project, number: int) -> str:
        """Everybody who starts the training of this number gives it one id; a task that ended without it is used up."""
        for attempt in range(ATTEMPTS):
            id = self._clock.decided_id(from_text(project.created_at), "training", project.id, number, attempt)
            try:
                if not self._tasks.read(project.tenant, id).is_ended:
                    return id
            except NotFound:
                return id
        raise Throttled("trainings of this project keep ending before they begin")

    def begin(self, iteration: Iteration) -> Iteration:
        """Write it as the one that trains, under the next name that is free. Again, it is what stands."""
        for _ in range(ATTEMPTS):
            try:
                return self._iterations.begin(iteration)
            except Conflict:
                # Somebody named another one so, or got the number.
                _, last = self._iterations.running(iteration.tenant, iteration.project_id)
                number = max(last, iteration.number) + 1
                iteration = replace(iteration, name=f"Iteration {number}", number=number)
        raise Throttled("the iterations of this project keep changing")

    def _bring_on(self, project: Project) -> None:
        """What a crash left of the training that is noted: one that was never started is, one that is lost ends."""
        running, _ = self._iterations.running(project.tenant, project.id)
        iteration = self._iterations.find(project.tenant, project.id, running) if running else None
        if iteration is None:
            return
        try:
            task = self._tasks.read(project.tenant, iteration.task_id)
        except NotFound:
            self.fail(iteration, "its task is not there")
            return
        if task.is_ended:
            self.fail(iteration, str((task.error or {}).get("message") or f"its task is {task.status}"))
        elif task.status == "CREATED":
            self._tasks.start(task)

    def fail(self, iteration: Iteration, reason: str) -> None:
        """FAILED with a reason; the project may train again. One that has ended otherwise stays as it is."""
        try:
            self._iterations.end(iteration, "FAILED", self._clock.text(), error=reason)
        except (IllegalTransition, NotFound):
            return

    def end_training(self, task: Task) -> None:
        """A failed or stopped task of a training ends its iteration."""
        given = iteration_of(task)
        iteration = self._iterations.find(task.tenant, given.project_id, given.id)
        if iteration is not None and iteration.task_id == task.id:
            self.fail(iteration, str((task.error or {}).get("message") or "it was stopped"))

    # -- looking -------------------------------------------------------------------------------------------------
    def list(self, project: Project) -> list[Iteration]:
        """The oldest first. 1 query."""
        found = self._iterations.of_project(project.tenant, project.id)
        return [iteration for iteration in found if iteration.status != "DELETING"]

    def get(self, project: Project, iteration_id: str) -> Iteration:
        """Raises NotFound(iteration). 1 read."""
        found = self._iterations.find(project.tenant, project.id, iteration_id)
        if found is None or found.status == "DELETING":
            raise NotFound("iteration", iteration_id)
        return found

    def published(self, project: Project, name: str) -> Iteration:
        """What a published name stands for. Raises NotFound(iteration). 2 reads."""
        found = self._iterations.published(project.tenant, project.id, name)
        if found is None or found.status == "DELETING" or found.published.get("name") != name:
            raise NotFound("iteration", name)
        return found

    # -- changing ------------------------------------------------------------------------------------------------
    def rename(self, project: Project, iteration_id: str, name: object) -> Iteration:
        """Raises InvalidInput(iteration name), Conflict(iteration), NotFound, Throttled. 1 read, 1 transaction."""
        checked = check_iteration_name(name)
        iteration = self.get(project, iteration_id)
        return (
            iteration if iteration.name == checked else self._iterations.rename(iteration, checked, self._clock.text())
        )

    def publish(
        self, project: Project, iteration_id: str, name: object, target: object, overwrite: bool = False
    ) -> Iteration:
        """Offer an iteration under a name. overwrite: take the name from the iteration that has it, or give it another.

        Raises InvalidInput (published name, published target), IllegalTransition (iteration: not trained; published
        iteration: it is, and overwrite was not asked for), Conflict(published name), NotFound, Throttled.
        Cost: 3 reads, 1 transaction.
        """
        checked, where = check_published_name(name), check_target(target)
        for _ in range(ATTEMPTS):
            iteration = self.get(project, iteration_id)
            if overwrite and (iteration.published.get("name"), iteration.published.get("target")) == (checked, where):
                return iteration  # done before; only the answer was lost
            if iteration.status != "COMPLETED":
                raise IllegalTransition("iteration", iteration.id, iteration.status, "publishing")
            if iteration.published and not overwrite:
                as_ = iteration.published["name"]
                raise IllegalTransition("published iteration", iteration.id, f"published as {as_!r}", "publishing")
            owner = self._iterations.published(project.tenant, project.id, checked)
            other = owner if owner is not None and owner.id != iteration.id else None
            if other is not None and not overwrite:
                raise Conflict("published name", checked)
            offer = {"name": checked, "target": where, "at": self._clock.text()}
            try:
                return self._iterations.publish(iteration, offer, offer["at"], other)
            except Throttled:
                continue
        raise Throttled("the published iterations of this project keep changing")

    def unpublish(self, project: Project, iteration_id: str) -> Iteration:
        """Raises NotFound, IllegalTransition(unpublished iteration), Throttled. 1 read, 1 transaction."""
        iteration = self.get(project, iteration_id)
        if not iteration.published:
            raise IllegalTransition("unpublished iteration", iteration.id, "not published", "unpublishing")
        return self._iterations.unpublish(iteration, self._clock.text())

    def delete(self, project: Project, iteration_id: str) -> None:
        """Delete an iteration; one that trains is stopped. It looks gone at once, then its files go, its row last.

        A repeat goes on where the first one stopped. Of its model the record stays (lineage), DELETED and without files;
        one that was ever released stays whole. Raises NotFound, IllegalTransition(published iteration).
        """
        iteration = self._iterations.find(project.tenant, project.id, iteration_id)
        if iteration is None:
            raise NotFound("iteration", iteration_id)
        if iteration.published:
            as_ = iteration.published["name"]
            raise IllegalTransition("published iteration", iteration.id, f"published as {as_!r}", "deleting")
        if iteration.status != "DELETING":
            iteration = self._iterations.begin_deletion(iteration, self._clock.text())
        self._finish_deletion(iteration)

    def _finish_deletion(self, iteration: Iteration) -> None:
        self._remove(iteration)
        self._iterations.end_deletion(iteration)

    def _remove(self, iteration: Iteration) -> None:
        """Everything of an iteration but its row."""
        self._stop(iteration)
        self._snapshots.remove(iteration.tenant, iteration.project_id, iteration.id)
        if not any(self._forget_suggestions(iteration.tenant, iteration.id) for _ in range(SUGGESTION_ROUNDS)):
            raise Unavailable("what this iteration suggested is too much for one request: delete it again")
        model = self._models.find(iteration.tenant, iteration.id)
        if model is None or model.status == "TRAINING" or any(self._releases.of_model(model.tenant, model.id)):
            return
        # First the status: nobody is offered a model whose files go.
        self._models.move(model, "DELETED", self._clock.text())
        self._artifacts.delete([key for key, _ in self._artifacts.keys(f"{model.tenant}/models/{model.id}/")])

    def _stop(self, iteration: Iteration) -> None:
        try:
            self._tasks.stop(iteration.tenant, iteration.task_id)
        except (IllegalTransition, NotFound):
            return  # it has ended, as that of most iterations has

    def forget(self, project: Project) -> None:
        """Stop what trains and remove every iteration, also the published ones: their project goes. Repeatable."""
        for iteration in self._iterations.of_project(project.tenant, project.id):
            self._remove(iteration)
        self._iterations.forget(project.tenant, project.id)


def training_id_of(task_id: str) -> str:
    """The id of the train task of a project's training: decided by the latter's."""
    return derived_uuid(int(task_id.replace("-", "")[:12], 16), "train", task_id)


def iteration_of(task: Task) -> Iteration:
    """The iteration that a training's task was made for, as it was asked for."""
    given: dict[str, Any] = dict(task.parameters["iteration"])
    return Iteration(**given | {"tags": tuple(given["tags"])})
