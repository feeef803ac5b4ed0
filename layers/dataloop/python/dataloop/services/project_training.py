"""The later steps of project_training: train on the version that was built, and record what came of it."""

from __future__ import annotations

from typing import Any

from dataloop.domain.errors import NotFound
from dataloop.domain.iterations import training_parameters
from dataloop.domain.projects import Iteration
from dataloop.domain.tasks import Task
from dataloop.domain.times import from_text
from dataloop.repositories.iterations import IterationRepository
from dataloop.repositories.models import ModelRepository
from dataloop.services.advising import AdviceService
from dataloop.services.clock import Clock
from dataloop.services.iterating import iteration_of, training_id_of
from dataloop.services.performing import PerformanceService
from dataloop.services.projects import ProjectService
from dataloop.services.tracking import TaskService
from dataloop.services.training import TrainingService

MAX_MODEL_NAME = 200


class ProjectTrainingService:
    """Plan the training and record its model; both may run twice."""

    def __init__(
        self,
        iterations: IterationRepository,
        projects: ProjectService,
        training: TrainingService,
        advising: AdviceService,
        performing: PerformanceService,
        models: ModelRepository,
        tasks: TaskService,
        clock: Clock,
    ) -> None:
        self._iterations = iterations
        self._projects = projects
        self._training = training
        self._advising = advising
        self._performing = performing
        self._models = models
        self._tasks = tasks
        self._clock = clock

    def plan_training(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Ask for a training of the built version, with parameters for its size."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "train")
        iteration = self._stands(task)
        project = self._projects.get(tenant, iteration.project_id)
        version_id, base_id = str(iteration.version_id), task.parameters.get("base_model_id")
        wish = {"task_type": iteration.info["task_type"], "parent_model_id": base_id}
        advice = self._advising.advise(tenant, version_id, wish)
        train_id = training_id_of(task.id)
        self._training.request(
            tenant,
            version_id,
            task_type=iteration.info["task_type"],
            architecture=iteration.info["architecture"],
            parameters=training_parameters(advice, iteration.info),
            model_name=f"{project.name} {iteration.name}"[:MAX_MODEL_NAME],
            parent_model_id=base_id,
            task_id=train_id,
            parent_id=task.id,
        )
        return {"train": {"tenant": tenant, "task_id": train_id}, "train_name": f"train-{train_id}"}

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        """What the model says of its test images is kept; then the iteration is COMPLETED, and then the task."""
        task = self._tasks.read(tenant, task_id)
        iteration = self._stands(task)
        result = {"iteration_id": iteration.id, "version_id": iteration.version_id}
        if task.status == "SUCCEEDED":
            return result  # done before; only the answer was lost
        task = self._tasks.begin(task, "record")
        if iteration.status == "TRAINING":
            model = self._models.get(tenant, iteration.id)
            self._performing.record(iteration, model)
            now = self._clock.now()
            seconds = (now - from_text(iteration.created_at)).total_seconds()
            at = self._clock.text()
            self._iterations.end(iteration, "COMPLETED", at, trained_at=at, training_seconds=max(0.0, seconds))
        self._tasks.succeed(task, result)
        return result

    def _stands(self, task: Task) -> Iteration:
        given = iteration_of(task)
        found = self._iterations.find(task.tenant, given.project_id, given.id)
        if found is None or found.status == "DELETING":
            raise NotFound("iteration", given.id)
        return found
