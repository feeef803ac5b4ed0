"""Evaluation and export of models that exist: two processing jobs of the same shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dataloop.catalog import exporters, task_types
from dataloop.domain.analyses import check_share
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.metrics import compact
from dataloop.domain.models import Evaluation, Model
from dataloop.domain.tasks import Task
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.services.clock import Clock
from dataloop.services.export_archives import write_archive
from dataloop.services.job_inputs import JobInputs, processing_inputs
from dataloop.services.tracking import TaskService
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
        self,
        tenant: str,
        model_id: str,
        version_id: str,
        *,
        baseline_model_id: object = None,
        task_id: str | None = None,
        parent_id: str | None = None,
    ) -> Task:
        """baseline_model_id: a second model, judged on the same images and compared with the first.

        Raises NotFound, IllegalTransition (model not trained, version not built), InvalidInput(baseline_model_id).
        """
        model = self._completed(tenant, model_id)
        self._ready(tenant, version_id)
        wish = {"model_id": model_id, "version_id": version_id}
        if baseline_model_id is not None:
            baseline = self._baseline(tenant, model, baseline_model_id)
            wish["baseline_model_id"] = baseline.id
        task = self._tasks.create(tenant, "evaluate", f"Model#{model_id}", wish, id=task_id, parent_id=parent_id)
        return task if parent_id else self._tasks.start(task)

    def request_export(
        self,
        tenant: str,
        model_id: str,
        format: object,
        *,
        max_drop: object = None,
        archive: Mapping[str, Any] | None = None,
        origin: Mapping[str, str] | None = None,
        task_id: str | None = None,
        parent_id: str | None = None,
    ) -> Task:
        """max_drop: how much of the primary metric a format that rounds may lose (0 to 1; the job's own limit if None).

        archive: also pack all files into one, with these "texts" (content by name) and a list of the labels.
        origin: which project's iteration it is of, and who wants to hear of it (services/project_events.py).
        Raises NotFound, IllegalTransition, InvalidInput(format, max_drop).
        """
        exporter = exporters.by_name(format)
        if exporter is None:
            raise InvalidInput("format", f"must be one of {', '.join(exporters.FORMATS)}", format)
        model = self._completed(tenant, model_id)
        kind = task_types.by_name(model.task_type)
        if not exporter.takes_masks and kind is not None and kind.needs == "mask":
            raise InvalidInput("format", f"{format} has no place for the masks of {model.task_type}", format)
        wish: dict[str, Any] = {"model_id": model_id, "format": format}
        if max_drop is not None:
            wish["max_drop"] = check_share(max_drop, "max_drop")
            if not exporter.calibrates:
                raise InvalidInput("max_drop", f"{format} must compute the same: it may lose nothing", max_drop)
        if archive is not None:
            wish["archive"] = dict(archive)
        if origin is not None:
            wish["origin"] = dict(origin)
        task = self._tasks.create(tenant, "export", f"Model#{model_id}", wish, id=task_id, parent_id=parent_id)
        return task if parent_id else self._tasks.start(task)

    def prepare_evaluation(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Lay out the test split and say everything CreateProcessingJob needs."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "evaluate")
        model = self._completed(tenant, str(task.parameters["model_id"]))
        test = self._ready(tenant, str(task.parameters["version_id"]))
        baseline_id = task.parameters.get("baseline_model_id")
        baseline = self._completed(tenant, str(baseline_id)) if baseline_id else None
        return self._job(task, model, test, f"{tenant}/evaluations/{task.id}", baseline)

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
        result = {"model_id": model_id, "version_id": test.id, "metrics": metrics}
        if task.parameters.get("baseline_model_id"):
            result["comparison"] = json.loads(self._artifacts.get(f"{prefix}/comparison.json"))
        self._tasks.succeed(task, result | {"files": self._tasks.files_below(prefix)})
        return {"model_id": model_id, "metrics": metrics["primary"]}

    def prepare_export(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The model's own test split serves as real samples for the verification."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "export")
        model = self._completed(tenant, str(task.parameters["model_id"]))
        test = self._ready(tenant, str(model.test["version_id"]))
        exporter = exporters.by_name(task.parameters["format"])
        calibration = None
        if exporter is not None and exporter.calibrates:
            calibration = self._ready(tenant, str(model.dataset["version_id"]))
        job = self._job(task, model, test, f"{tenant}/exports/{task.id}", calibration=calibration)
        environment = {"EXPORT_FORMAT": str(task.parameters["format"])}
        if task.parameters.get("max_drop") is not None:
            environment["EXPORT_MAX_DROP"] = str(float(task.parameters["max_drop"]))
        return job | {"environment": environment}

    def record_export(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Offer the artefacts. Their verification passed, or the job would have failed."""
        task = self._tasks.read(tenant, task_id)
        prefix = f"{tenant}/exports/{task.id}/output"
        verification = json.loads(self._artifacts.get(f"{prefix}/verification.json"))
        files = [
            {"name": name, "key": f"{prefix}/{name}", **facts} for name, facts in sorted(verification["files"].items())
        ]
        archive = task.parameters.get("archive")
        if archive is not None:
            labels = self._models.get(tenant, str(task.parameters["model_id"])).labels
            files.append(write_archive(self._artifacts, prefix, files, labels, archive["texts"]))
        result = {"format": verification["format"], "files": files, "verification": verification}
        self._tasks.succeed(task, result | {"model_id": task.parameters["model_id"]})
        return {"format": verification["format"], "files": len(files)}

    def _job(
        self,
        task: Task,
        model: Model,
        test: DatasetVersion,
        root: str,
        baseline: Model | None = None,
        calibration: DatasetVersion | None = None,
    ) -> dict[str, Any]:
        named = {"version_id": test.id, "name": test.name, "version": test.version, "digest": test.digest}
        spec = {"model_id": model.id, "task_id": task.id, "dataset": dict(model.dataset), "test": named}
        self._inputs.for_test(f"{root}/input", test, list(model.labels), spec, calibration)
        return {
            "job_name": task.job_name,
            "image": self._settings.processing_image,
            "instance_type": self._settings.processing_instance,
            "role_arn": self._settings.job_role_arn,
            "processing_inputs": processing_inputs(
                code=self._settings.code_uri,
                dataset=self._artifacts.uri(f"{root}/input/"),
                images=self._artifacts.uri(f"{root}/input/images.manifest"),
                model=self._artifacts.uri(f"{model.prefix}/"),
                baseline=self._artifacts.uri(f"{baseline.prefix}/") if baseline else None,
            ),
            "output_uri": self._artifacts.uri(f"{root}/output"),
            "max_runtime_s": MAX_RUNTIME_S,
        }

    def _completed(self, tenant: str, model_id: str) -> Model:
        model = self._models.get(tenant, model_id)
        if model.status != "COMPLETED":
            raise IllegalTransition("model", model_id, model.status, "evaluation and export")
        return model

    def _baseline(self, tenant: str, model: Model, baseline_model_id: object) -> Model:
        if not isinstance(baseline_model_id, str) or baseline_model_id in ("", model.id):
            raise InvalidInput("baseline_model_id", "must be the id of another model", baseline_model_id)
        baseline = self._completed(tenant, baseline_model_id)
        if baseline.task_type != model.task_type:
            what = f"is a model of {baseline.task_type}: only one of {model.task_type} can be compared"
            raise InvalidInput("baseline_model_id", what, baseline_model_id)
        return baseline

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "evaluation")
        return version
