"""Evaluation and export of models that exist: two processing jobs of the same shape."""

from __future__ import annotations

import json
from typing import Any

from dataloop.catalog.exporters import FORMATS
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.models import Evaluation, Model
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.services.clock import Clock
from dataloop.services.job_inputs import JobInputs
from dataloop.services.tracking import TaskService
from dataloop.services.training import compact
from dataloop.settings import Settings

MAX_RUNTIME_S = 4 * 3600


class JudgingService:
    """`evaluate` gives a model's numbers on a version's test split; `export` gives a verified artefact."""

    def __init__(
        self,
        datasets: DatasetRepository,
        models: ModelRepository,
        tasks: TaskService,
        inputs: JobInputs,
        artifacts: Bucket,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._datasets = datasets
        self._models = models
        self._tasks = tasks
        self._inputs = inputs
        self._artifacts = artifacts
        self._clock = clock
        self._settings = settings

    def request_evaluation(
        self, tenant: str, model_id: str, version_id: str, *, task_id: str | None = None, parent_id: str | None = None
    ) -> Task:
        """Raises NotFound, IllegalTransition (model not trained, version not built)."""
        self._completed(tenant, model_id)
        self._ready(tenant, version_id)
        wish = {"model_id": model_id, "version_id": version_id}
        task = self._tasks.create(tenant, "evaluate", f"Model#{model_id}", wish, id=task_id, parent_id=parent_id)
        return task if parent_id else self._tasks.start(task)

    def request_export(
        self, tenant: str, model_id: str, format: object, *, task_id: str | None = None, parent_id: str | None = None
    ) -> Task:
        """Raises NotFound, IllegalTransition, InvalidInput(format)."""
        if format not in FORMATS:
            raise InvalidInput("format", f"must be one of {', '.join(FORMATS)}", format)
        self._completed(tenant, model_id)
        wish = {"model_id": model_id, "format": format}
        task = self._tasks.create(tenant, "export", f"Model#{model_id}", wish, id=task_id, parent_id=parent_id)
        return task if parent_id else self._tasks.start(task)

    def prepare_evaluation(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Lay out the test split and say everything CreateProcessingJob needs."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "evaluate")
        model = self._completed(tenant, str(task.parameters["model_id"]))
        test = self._ready(tenant, str(task.parameters["version_id"]))
        return self._job(task, model, test, f"{tenant}/evaluations/{task.id}")

    def record_evaluation(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Keep the numbers the job left."""
        task = self._tasks.read(tenant, task_id)
        test = self._ready(tenant, str(task.parameters["version_id"]))
        prefix = f"{tenant}/evaluations/{task.id}/output"
        metrics = compact(json.loads(self._artifacts.get(f"{prefix}/metrics.json")))
        model_id = str(task.parameters["model_id"])
        self._models.put_evaluation(
            Evaluation(tenant, model_id, test.id, str(test.digest), metrics, prefix, self._clock.text(), task.id)
        )
        self._tasks.succeed(task, {"model_id": model_id, "version_id": test.id, "metrics": metrics})
        return {"model_id": model_id, "metrics": metrics["primary"]}

    def prepare_export(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The model's own test split serves as real samples for the verification."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "export")
        model = self._completed(tenant, str(task.parameters["model_id"]))
        test = self._ready(tenant, str(model.test["version_id"]))
        job = self._job(task, model, test, f"{tenant}/exports/{task.id}")
        return job | {"environment": {"EXPORT_FORMAT": str(task.parameters["format"])}}

    def record_export(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Offer the artefacts. Their verification passed, or the job would have failed."""
        task = self._tasks.read(tenant, task_id)
        prefix = f"{tenant}/exports/{task.id}/output"
        verification = json.loads(self._artifacts.get(f"{prefix}/verification.json"))
        files = [
            {"name": name, "key": f"{prefix}/{name}", **facts} for name, facts in sorted(verification["files"].items())
        ]
        result = {"format": verification["format"], "files": files, "verification": verification}
        self._tasks.succeed(task, result | {"model_id": task.parameters["model_id"]})
        return {"format": verification["format"], "files": len(files)}

    def export_files(self, task: Task) -> list[dict[str, Any]]:
        """The files of a finished export with fresh links, for 15 minutes."""
        return [
            {name: value for name, value in entry.items() if name != "key"}
            | {"url": self._artifacts.link(str(entry["key"]), file_name=str(entry["name"]))}
            for entry in task.result.get("files", [])
        ]

    def _job(self, task: Task, model: Model, test: DatasetVersion, root: str) -> dict[str, Any]:
        named = {"version_id": test.id, "name": test.name, "version": test.version, "digest": test.digest}
        spec = {"model_id": model.id, "task_id": task.id, "dataset": dict(model.dataset), "test": named}
        self._inputs.for_test(f"{root}/input", test, list(model.labels), spec)
        return {
            "job_name": task.execution_name,
            "image": self._settings.processing_image,
            "instance_type": self._settings.processing_instance,
            "role_arn": self._settings.job_role_arn,
            "code_uri": self._settings.code_uri,
            "dataset_uri": self._artifacts.uri(f"{root}/input/"),
            "images_manifest_uri": self._artifacts.uri(f"{root}/input/images.manifest"),
            "model_uri": self._artifacts.uri(f"{model.prefix}/"),
            "output_uri": self._artifacts.uri(f"{root}/output"),
            "max_runtime_s": MAX_RUNTIME_S,
        }

    def _completed(self, tenant: str, model_id: str) -> Model:
        model = self._models.get(tenant, model_id)
        if model.status != "COMPLETED":
            raise IllegalTransition("model", model_id, model.status, "evaluation and export")
        return model

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "evaluation")
        return version
