"""Domain events, version 1. A published schema never changes; a change is a new version (design §6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dataloop.domain.canonical import digest

# EventBridge takes 256 KB per entry; a hundred ids keep an event below 10 KB.
MAX_IDS = 100


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """The envelope: what happened (`name`), in which area, to whom (`tenant`), with which data."""

    name: str
    area: str
    tenant: str
    time: str
    data: Mapping[str, Any]
    correlation_id: str | None = None
    version: int = 1

    @property
    def id(self) -> str:
        """Decided by the content: publishing the same stream record twice gives the same id, and consumers dedupe."""
        return digest([self.name, self.version, self.tenant, self.time, dict(self.data)])[:32]

    def envelope(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "version": self.version,
            "source": f"dataloop.{self.area}",
            "time": self.time,
            "correlation_id": self.correlation_id,
            "scope": {"tenant": self.tenant},
            "data": dict(self.data),
        }


@dataclass(frozen=True, slots=True)
class EventType:
    """A declaration: the area and the fields of `data` with their JSON types."""

    name: str
    area: str
    meaning: str
    fields: Mapping[str, str]


# Where a project's owner wants to hear of it, as it was given: "" for nowhere. Rules forward by it; nothing here calls it.
_PROJECT: Mapping[str, str] = {"project_id": "string", "name": "string", "notification_uri": "string"}
_ITERATION: Mapping[str, str] = {
    "project_id": "string",
    "iteration_id": "string",
    "notification_uri": "string",
    "container_uri": "string",
}


class EventTypes:
    """All events that leave the core."""

    RAW_DATA_REGISTERED: ClassVar = EventType(
        "RawDataRegistered", "data", "Both halves of raw data are present.", {"count": "integer", "uids": "array"}
    )
    ANNOTATIONS_REGISTERED: ClassVar = EventType(
        "AnnotationsRegistered", "labels", "Annotations were inserted.", {"count": "integer", "annotation_ids": "array"}
    )
    DATASET_VERSION_READY: ClassVar = EventType(
        "DatasetVersionReady", "datasets", "A version was built.", {"version_id": "string", "digest": "string"}
    )
    DATASET_VERSION_FAILED: ClassVar = EventType(
        "DatasetVersionFailed", "datasets", "A version could not be built.", {"version_id": "string"}
    )
    MODEL_TRAINED: ClassVar = EventType(
        "ModelTrained", "models", "A training finished.", {"model_id": "string", "dataset_version_id": "string"}
    )
    TRAINING_FAILED: ClassVar = EventType("TrainingFailed", "models", "A training failed.", {"model_id": "string"})
    MODEL_EVALUATED: ClassVar = EventType(
        "ModelEvaluated", "models", "Numbers on a test set exist.", {"model_id": "string", "version_id": "string"}
    )
    MODEL_EXPORTED: ClassVar = EventType(
        "ModelExported", "models", "An export was verified.", {"task_id": "string", "target": "string"}
    )
    RELEASE_PUBLISHED: ClassVar = EventType(
        "ReleasePublished", "releases", "The pointer moved.", {"release_id": "string", "name": "string"}
    )
    RELEASE_ROLLED_BACK: ClassVar = EventType(
        "ReleaseRolledBack", "releases", "The pointer went back.", {"release_id": "string", "name": "string"}
    )
    RAW_DATA_ERASED: ClassVar = EventType(
        "RawDataErased",
        "data",
        "Images were deleted for good: whoever keeps copies removes them.",
        {"count": "integer", "deletion_id": "string", "uids": "array"},
    )
    PROJECT_CREATED: ClassVar = EventType("ProjectCreated", "projects", "A project was made.", _PROJECT)
    PROJECT_IMPORTED: ClassVar = EventType(
        "ProjectImported", "projects", "Everything was copied into a project.", _PROJECT
    )
    PROJECT_IMPORT_FAILED: ClassVar = EventType(
        "ProjectImportFailed", "projects", "A copy of a project is not whole.", _PROJECT
    )
    PROJECT_DELETED: ClassVar = EventType("ProjectDeleted", "projects", "A project looks gone from now on.", _PROJECT)
    ITERATION_TRAINED: ClassVar = EventType("IterationTrained", "projects", "A training finished.", _ITERATION)
    ITERATION_FAILED: ClassVar = EventType("IterationFailed", "projects", "A training failed.", _ITERATION)
    ITERATION_PUBLISHED: ClassVar = EventType(
        "IterationPublished", "projects", "An iteration answers under a name.", {**_ITERATION, "name": "string"}
    )
    ITERATION_UNPUBLISHED: ClassVar = EventType(
        "IterationUnpublished", "projects", "It does not any more.", {**_ITERATION, "name": "string"}
    )
    ITERATION_EXPORTED: ClassVar = EventType(
        "IterationExported", "projects", "An export was verified.", {**_ITERATION, "task_id": "string"}
    )
    TASK_FAILED: ClassVar = EventType(
        "TaskFailed", "tasks", "A task ended in FAILED.", {"task_id": "string", "kind": "string"}
    )

    @classmethod
    def all(cls) -> tuple[EventType, ...]:
        return tuple(value for value in vars(cls).values() if isinstance(value, EventType))
