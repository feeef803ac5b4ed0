"""Training: from a READY version to a registered model."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from pathlib import PurePosixPath
from typing import Any

from dataloop.catalog import architectures, task_types
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.ids import derived_uuid
from dataloop.domain.metrics import compact
from dataloop.domain.models import Evaluation, Model
from dataloop.domain.residency import EVERYTHING, Clearance, united
from dataloop.domain.tasks import Task
from dataloop.domain.training_parameters import check_parameters
from dataloop.gateways.model_registry import ModelRegistry
from dataloop.gateways.objects import Bucket, split_uri
from dataloop.repositories.datasets import DatasetRepository
from dataloop.repositories.models import ModelRepository
from dataloop.services.clock import Clock
from dataloop.services.job_inputs import JobInputs
from dataloop.services.tracking import TaskService
from dataloop.settings import Settings

VOLUME_GB = 100
# A file of an archive that is being streamed cannot be read twice, and an upload may have to: it waits here.
SPOOL_BYTES = 32 * 1024 * 1024


class TrainingService:
    """One SageMaker job trains, exports, verifies and evaluates: starting a job takes minutes (design §6.3)."""

    def __init__(
        self,
        datasets: DatasetRepository,
        models: ModelRepository,
        tasks: TaskService,
        inputs: JobInputs,
        registry: ModelRegistry,
        artifacts: Bucket,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._datasets = datasets
        self._models = models
        self._tasks = tasks
        self._inputs = inputs
        self._registry = registry
        self._artifacts = artifacts
        self._clock = clock
        self._settings = settings

    def request(
        self,
        tenant: str,
        version_id: str,
        *,
        task_type: object = None,
        architecture: object = None,
        parameters: object = None,
        model_name: object = None,
        parent_model_id: object = None,
        test_version_id: str | None = None,
        task_id: str | None = None,
        parent_id: str | None = None,
        clearance: Clearance = EVERYTHING,
    ) -> Task:
        """Train on a READY version. Raises NotFound, IllegalTransition (not built), InvalidInput, ResidencyViolation.

        parent_model_id: start from that model's weights. test_version_id: judge on that version's frozen test split.
        """
        version, kind = self.trainable(tenant, version_id, task_type)
        clearance.require_holdings(version.report.get("residency") or {}, f"dataset {version_id}")
        backbone = self._architecture(architecture, kind)
        checked = check_parameters(parameters)
        if model_name is not None and (not isinstance(model_name, str) or not 0 < len(model_name) <= 200):
            raise InvalidInput("model_name", "must be a text of 1 to 200 characters", model_name)
        if parent_model_id is not None:
            self.parent(tenant, parent_model_id)
        id = task_id or self._clock.new_id()
        model_id = model_id_of(id)
        task = self._tasks.create(
            tenant,
            "train",
            f"Dataset#{version_id}",
            {
                "version_id": version_id,
                "test_version_id": test_version_id or version_id,
                "model_id": model_id,
                "model_name": model_name or version.name,
                "task_type": kind,
                "architecture": backbone,
                "parameters": checked,
                "parent_model_id": parent_model_id,
            },
            id=id,
            parent_id=parent_id,
        )
        self._models.create(self._new_model(task, version))
        return task if parent_id else self._tasks.start(task)

    def trainable(self, tenant: str, version_id: str, task_type: object) -> tuple[DatasetVersion, str]:
        """A READY version and the task type that a training of it has. Raises as `request` does."""
        version = self._ready(tenant, version_id)
        return version, self._task_type(version, task_type)

    def parent(self, tenant: str, model_id: object) -> Model:
        """A model that a training may start from. Raises NotFound, IllegalTransition."""
        parent = self._models.get(tenant, str(model_id))
        if parent.status != "COMPLETED":
            raise IllegalTransition("model", parent.id, parent.status, "being a parent")
        return parent

    def _new_model(self, task: Task, version: DatasetVersion) -> Model:
        wish = task.parameters
        test = self._ready(task.tenant, str(wish["test_version_id"]))
        seen = [entry.report.get("residency") or {} for entry in (version, test)]
        if wish.get("parent_model_id"):
            seen.append(self._models.get(task.tenant, str(wish["parent_model_id"])).holdings)
        return Model(
            tenant=task.tenant,
            id=wish["model_id"],
            name=wish["model_name"],
            version=task.created_at.replace("-", "").replace(":", "")[:15],
            status="TRAINING",
            task_type=wish["task_type"],
            architecture=wish["architecture"],
            dataset=_named(version),
            test=_named(test),
            task_id=task.id,
            created_at=task.created_at,
            parameters=wish["parameters"],
            parent_model_id=wish.get("parent_model_id"),
            holdings=united(seen),
        )

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Lay out the job's inputs and say everything CreateTrainingJob needs; `input_data_config` is in its own shape."""
        task = self._tasks.begin(self._tasks.read(tenant, task_id), "prepare")
        wish = task.parameters
        version = self._ready(tenant, str(wish["version_id"]))
        test = self._ready(tenant, str(wish["test_version_id"]))
        # The request may have died between its two writes: the model is made again if it is missing.
        self._models.create(self._new_model(task, version))
        root = f"{tenant}/training/{task.id}"
        spec = {"model_id": wish["model_id"], "task_id": task.id, "dataset": _named(version), "test": _named(test)}
        self._inputs.for_training(f"{root}/input", version, test, spec)
        hyper = {"task_type": wish["task_type"], "architecture": wish["architecture"]} | dict(wish["parameters"])
        settings = self._settings
        stopping = {"MaxRuntimeInSeconds": settings.max_training_seconds}
        if settings.use_spot:
            # Room to wait for spot capacity and for restarts after interruptions.
            stopping["MaxWaitTimeInSeconds"] = 2 * settings.max_training_seconds
        channels = [
            _channel("code", settings.code_uri),
            _channel("dataset", self._artifacts.uri(f"{root}/input/")),
            _channel("images", self._artifacts.uri(f"{root}/input/images.manifest"), "ManifestFile"),
        ]
        # SageMaker refuses a channel without a location, so there is none without a parent.
        if wish.get("parent_model_id"):
            parent = self._models.get(tenant, str(wish["parent_model_id"]))
            channels.append(_channel("parent", self._artifacts.uri(f"{parent.prefix}/")))
        job = {
            "job_name": task.execution_name,
            "hyper_parameters": {name: json.dumps(value) for name, value in sorted(hyper.items())},
            "training_image": settings.training_image,
            "instance_type": settings.training_instance,
            "instance_count": settings.training_instances,
            "volume_gb": VOLUME_GB,
            "role_arn": settings.job_role_arn,
            "input_data_config": channels,
            "output_uri": self._artifacts.uri(f"{root}/jobs"),
            "checkpoint_uri": self._artifacts.uri(f"{root}/checkpoints"),
            "tensorboard_uri": self._artifacts.uri(f"{root}/tensorboard"),
            "use_spot": settings.use_spot,
            "stopping_condition": stopping,
            "environment": {},
        }
        self._tasks.note(task, phase="train")
        return job

    def register_model(self, tenant: str, task_id: str, model_artifacts: str) -> dict[str, Any]:
        """Unpack what the job left, and make the model COMPLETED with its metrics, artifacts and registry package."""
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"model_id": task.parameters["model_id"]}  # done before; only the answer was lost
        task = self._tasks.begin(task, "register")
        model = self._models.get(tenant, str(task.parameters["model_id"]))
        _, model_key = split_uri(model_artifacts)
        prefix = f"{tenant}/models/{model.id}"
        artifacts = self._unpack(model_key, f"{prefix}/model")
        report_key = model_key.removesuffix("model.tar.gz") + "output.tar.gz"
        reports = self._unpack(report_key, f"{prefix}/report")
        metrics = json.loads(self._artifacts.get(f"{prefix}/report/metrics.json"))
        described = json.loads(self._artifacts.get(f"{prefix}/model/model.json"))
        arn = self._registry.register(
            token=model.id,
            image=self._settings.training_image,
            model_data_uri=model_artifacts,
            description=f"{model.name} {model.version} trained on {model.dataset['name']} {model.dataset['version']}",
        )
        now = self._clock.text()
        self._models.put_evaluation(
            Evaluation(
                tenant=tenant,
                model_id=model.id,
                version_id=str(model.test["version_id"]),
                test_digest=str(model.test["digest"]),
                metrics=compact(metrics),
                prefix=f"{prefix}/report",
                created_at=now,
                task_id=task.id,
            )
        )
        self._models.move(
            model,
            "COMPLETED",
            now,
            prefix=f"{prefix}/model",
            report_prefix=f"{prefix}/report",
            labels=described["labels"],
            metrics=compact(metrics),
            artifacts=artifacts + reports,
            model_package_arn=arn,
        )
        result: dict[str, Any] = {"model_id": model.id, "metrics": compact(metrics)["primary"]}
        if task.parameters["parameters"].get("tensorboard"):
            result["files"] = self._tasks.files_below(f"{tenant}/training/{task.id}/tensorboard")
        self._tasks.succeed(task, result)
        return {"model_id": model.id}

    def _unpack(self, archive_key: str, prefix: str) -> list[dict[str, Any]]:
        """The files of a job's tar.gz as objects of their own. Names that would leave the prefix are refused."""
        found = []
        _, stream = self._artifacts.open(archive_key)
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if not member.isfile():
                    continue
                if path.is_absolute() or ".." in path.parts:
                    raise InvalidInput("archive", "holds a path outside its folder", member.name)
                body = archive.extractfile(member)
                assert body is not None  # isfile says so
                key = f"{prefix}/{path.as_posix().removeprefix('./')}"
                with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
                    shutil.copyfileobj(body, spool)
                    spool.seek(0)
                    self._artifacts.upload_stream(spool, key)
                found.append({"key": key, "name": path.name, "size_bytes": member.size})
        return found

    def end_training(self, task: Task) -> None:
        """A failed or stopped training leaves its model FAILED."""
        try:
            model = self._models.get(task.tenant, str(task.parameters["model_id"]))
            self._models.move(model, "FAILED", self._clock.text())
        except (IllegalTransition, NotFound):
            return

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "training")
        return version

    @staticmethod
    def _task_type(version: DatasetVersion, wished: object) -> str:
        if wished is not None:
            kind = task_types.by_name(wished) if isinstance(wished, str) else None
            if kind is None:
                names = ", ".join(entry.name for entry in task_types.TASK_TYPES)
                raise InvalidInput("task_type", f"must be one of {names}", wished)
            return kind.name
        declared = str(version.info.get("annotationType") or "")
        kind = task_types.of_annotation_type(declared)
        if kind is None:
            raise InvalidInput("task_type", f"cannot be told from the dataset's annotationType {declared!r}: name it")
        return kind.name

    @staticmethod
    def _architecture(wished: object, task_type: str) -> str:
        name = wished if wished is not None else architectures.DEFAULT
        found = architectures.by_name(name) if isinstance(name, str) else None
        if found is None or task_type not in found.task_types:
            names = ", ".join(entry.name for entry in architectures.ARCHITECTURES if task_type in entry.task_types)
            raise InvalidInput("architecture", f"must be one of {names} for {task_type}", name)
        return found.name


def _channel(name: str, uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
    """One entry of CreateTrainingJob's InputDataConfig. kind: S3Prefix, or ManifestFile when uri is a list of objects."""
    source = {"S3DataType": kind, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {
        "ChannelName": name,
        "InputMode": "File",
        "CompressionType": "None",
        "DataSource": {"S3DataSource": source},
    }


def _named(version: DatasetVersion) -> dict[str, Any]:
    return {"version_id": version.id, "name": version.name, "version": version.version, "digest": version.digest}


def model_id_of(task_id: str) -> str:
    """A task's model: decided by the task's id, so that a replayed step names the same model."""
    return derived_uuid(int(task_id.replace("-", "")[:12], 16), "model", task_id)
