"""Exports: a built version in somebody else's format, as one archive that has the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.domain.tasks import Task
from dataloop.formats import registry
from dataloop.formats.packing import ARCHIVE_SUFFIX, FILES, REPORT, pack
from dataloop.gateways.objects import Bucket
from dataloop.repositories.datasets import DatasetRepository
from dataloop.services.job_inputs import processing_inputs
from dataloop.services.tracking import TaskService
from dataloop.settings import Settings

# Formats whose library only jobs have (pyarrow takes 150 MB of a function's 250).
JOB_FORMATS = ("parquet", "croissant")
# Above either a job does it: a step has ten minutes and ten gigabytes of disk. Measured on one CPU: 0.05 to 0.2 ms a row of
# seven labels, 6.5 ms where their masks are drawn at 640 × 480 (Ground Truth), and 10 ms for mask pictures.
MAX_ROWS = 20_000
MAX_PICTURE_BYTES = 2 * 1024**3
COMMAND = "export_dataset"
MAX_RUNTIME_S = 12 * 3600
# Labels and archive of a version of a million images, and what the container itself needs.
DISK_GB = 50


class ExportService:
    """`export_dataset` tasks: prepare, run or the job, record."""

    def __init__(
        self, datasets: DatasetRepository, tasks: TaskService, artifacts: Bucket, raw: Bucket, settings: Settings
    ) -> None:
        self._datasets = datasets
        self._tasks = tasks
        self._artifacts = artifacts
        self._raw = raw
        self._settings = settings

    def request(
        self,
        tenant: str,
        version_id: str,
        body: Mapping[str, Any],
        task_id: str | None = None,
        clearance: Clearance = EVERYTHING,
    ) -> Task:
        """{"format", "images"?} of a READY version -> the task.

        Raises NotFound, InvalidInput, IllegalTransition (not built), ResidencyViolation. Cost: 1 read and the task.
        """
        names = sorted(registry.names_written())
        if body.get("format") not in names:
            raise InvalidInput("format", f"must be one of {', '.join(names)}", body.get("format"))
        images = body.get("images", False)
        if not isinstance(images, bool):
            raise InvalidInput("images", "must be true or false", images)
        version = self._ready(tenant, version_id)
        clearance.require_holdings(version.report.get("residency") or {}, f"dataset {version_id}")
        wish = {"version_id": version_id, "format": body["format"], "images": images}
        return self._tasks.start(
            self._tasks.create(tenant, "export_dataset", f"Dataset#{version_id}", wish, id=task_id)
        )

    def prepare(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Who does it: the step itself, or a job where there is much to do or a library is needed."""
        task = self._tasks.read(tenant, task_id)
        if task.status == "SUCCEEDED":
            return {"mode": "done"}
        task = self._tasks.begin(task, "export")
        version = self._version_of(task)
        rows = sum((version.report.get("counts") or {}).values())
        self._tasks.note(task, progress={"done": 0, "total": rows, "unit": "image"})
        is_small = rows <= MAX_ROWS and task.parameters["format"] not in JOB_FORMATS
        size_bytes = self._picture_bytes(version) if task.parameters["images"] else 0
        if is_small and size_bytes <= MAX_PICTURE_BYTES:
            return {"mode": "run"}
        root = _root(task)
        self._artifacts.put(f"{root}/input/spec.json", canonical_json(_spec(task, version)))
        settings, prefix = self._settings, version.manifest_prefix
        return {
            "mode": "job",
            "job_name": task.job_name,
            "image": settings.processing_image,
            "instance_type": settings.processing_instance,
            "volume_gb": DISK_GB + 3 * size_bytes // 1024**3,
            "role_arn": settings.job_role_arn,
            "arguments": [COMMAND],
            "processing_inputs": processing_inputs(
                code=settings.code_uri,
                dataset=self._artifacts.uri(f"{prefix}/"),
                images=self._artifacts.uri(f"{prefix}/images.manifest") if size_bytes else None,
                spec=self._artifacts.uri(f"{root}/input/"),
            ),
            "environment": {},
            "output_uri": self._artifacts.uri(f"{root}/output"),
            "max_runtime_s": MAX_RUNTIME_S,
        }

    def run(self, tenant: str, task_id: str) -> dict[str, Any]:
        """Pack a small version. Cost: 1 GET a file of the manifest, and 1 a picture; again it makes the same bytes."""
        task = self._tasks.read(tenant, task_id)
        if task.is_ended:
            return {"task_id": task.id}
        version = self._version_of(task)
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "dataset"), Path(folder, "output")
            source.mkdir()
            target.mkdir()
            for name in FILES:
                self._artifacts.download(f"{version.manifest_prefix}/{name}", source / name)
            pack(source, target, _spec(task, version), self._open_picture)
            for path in sorted(target.iterdir(), key=lambda path: path.name == REPORT):
                self._artifacts.upload(path, f"{_root(task)}/output/{path.name}")
        return {"task_id": task.id}

    def _open_picture(self, place: Mapping[str, Any]) -> IO[bytes]:
        """Raises FileNotFoundError for a picture that is gone."""
        try:
            return io.BytesIO(self._raw.get(str(place["key"]), place.get("version_id")))
        except NotFound as error:
            raise FileNotFoundError(str(place["key"])) from error

    def record(self, tenant: str, task_id: str) -> dict[str, Any]:
        """The report becomes the task's result, with the archive beside it. Again it changes nothing."""
        task = self._tasks.read(tenant, task_id)
        if task.is_ended:
            return {"task_id": task.id}
        prefix = f"{_root(task)}/output"
        report = json.loads(self._artifacts.get(f"{prefix}/{REPORT}"))
        archive = report["archive"]
        files = [
            entry | ({"sha256": archive["sha256"]} if entry["name"] == archive["file_name"] else {})
            for entry in self._tasks.files_below(prefix)
        ]
        self._tasks.succeed(task, {"dataset_id": task.parameters["version_id"]} | report | {"files": files})
        return {"task_id": task.id}

    def _picture_bytes(self, version: DatasetVersion) -> int:
        lines = self._artifacts.lines(f"{version.manifest_prefix}/objects.jsonl")
        return sum(int(json.loads(line)["size_bytes"]) for line in lines if line)

    def _version_of(self, task: Task) -> DatasetVersion:
        return self._ready(task.tenant, str(task.parameters["version_id"]))

    def _ready(self, tenant: str, version_id: str) -> DatasetVersion:
        version = self._datasets.get_version(tenant, version_id)
        if version is None:
            raise NotFound("dataset", version_id)
        if version.status != "READY":
            raise IllegalTransition("dataset", version_id, version.status, "exporting")
        return version


def _root(task: Task) -> str:
    return f"{task.tenant}/dataset-exports/{task.id}"


def _spec(task: Task, version: DatasetVersion) -> dict[str, Any]:
    """What the archive says of itself: nothing of the task, so that the same version gives the same bytes."""
    name = f"{version.name}-{version.version}-{task.parameters['format']}".replace("/", "_").replace("\\", "_")
    return {
        "file_name": _short(name) + ARCHIVE_SUFFIX,
        "name": version.name,
        "version": version.version,
        "dataset_id": version.id,
        "digest": version.digest,
        "format": task.parameters["format"],
        "images": task.parameters["images"],
    }


def _short(name: str) -> str:
    """A name that fits a file system, unique by its digest when it had to be cut."""
    return name if len(name.encode()) <= 200 else f"{name[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
