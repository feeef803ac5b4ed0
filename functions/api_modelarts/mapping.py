"""Pure translation from surveys of the core to the objects of ModelArts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api_modelarts import labels
from api_modelarts.objects import whole
from api_modelarts.vocabulary import ANNOTATION_TYPES, DATASET_TYPES, TABLE, dataset_type, train_share
from dataloop.domain.datasets import DatasetVersion
from dataloop.domain.surveys import Sample, Survey, images_of, labelled_images
from dataloop.domain.times import from_text

Json = dict[str, Any]

_VERSION_STATUS = {"BUILDING": 0, "READY": 1, "DELETING": 2, "DELETED": 3, "FAILED": 4}
_DATASET_STATUS = {"ACTIVE": 1, "DELETING": 2, "DELETED": 3}
_ABNORMAL, _PUBLISHING, _IMPORTING = 4, 6, 8
# The only feature the documentation knows: files of limited size.
_FEATURES = ["0"]


@dataclass(frozen=True, slots=True)
class Places:
    """The buckets, as ModelArts writes paths: /bucket/folder/."""

    raw: str
    artifacts: str

    def of_tenant(self, tenant: str, area: str) -> str:
        return f"/{self.artifacts}/{tenant}/{area}/"


def milliseconds(time: str | None) -> int:
    """Since 1970; 0 for a time that is not known."""
    return int(from_text(time).timestamp() * 1000) if time else 0


# -- datasets ----------------------------------------------------------------------------------------------------
def status(survey: Survey) -> int:
    """0 creating and 7 switching do not last here; 5 synchronising is an import (8)."""
    importing = survey.importing
    if survey.dataset.status != "ACTIVE":
        return _DATASET_STATUS[survey.dataset.status]
    if importing is not None and not importing.is_ended:
        return _IMPORTING
    if any(version.status == "BUILDING" for version in survey.versions):
        return _PUBLISHING
    has_failed = importing is not None and importing.status != "SUCCEEDED"
    return _ABNORMAL if has_failed and not survey.labelled else _DATASET_STATUS["ACTIVE"]


def dataset(survey: Survey, places: Places, *, with_labels: bool) -> Json:
    info = survey.dataset.info
    kept: Mapping[str, Any] = info.get("modelarts", {})
    current, type = survey.current, dataset_type(survey)
    erased = current.erased if current else 0
    values = {
        "dataset_id": survey.dataset.id,
        "dataset_name": survey.dataset.name,
        "dataset_type": type,
        "dataset_format": 1 if type == TABLE else 0,
        "dataset_tags": list(DATASET_TYPES[type]),
        "description": info.get("description", ""),
        "status": status(survey),
        "create_time": milliseconds(survey.dataset.created_at),
        "update_time": milliseconds(survey.dataset.updated_at or survey.dataset.created_at),
        "data_update_time": milliseconds(survey.changed_at),
        "workspace_id": info.get("workspace_id", "0"),
        "enterprise_project_id": kept.get("enterprise_project_id", "0"),
        "total_sample_count": survey.total,
        "annotated_sample_count": survey.labelled,
        "loading_sample_count": _loading(survey),
        "deleted_sample_count": erased,
        "deletion_stats": {"erased": erased} if erased else {},
        "data_statistics": _statistics(current),
        "current_version_id": current.id if current else "",
        "current_version_name": current.version if current else "",
        "dataset_version_count": len(survey.versions),
        "next_version_num": len(survey.versions) + 1,
        "versions": [version(survey, current, places)] if current else [],
        "labels": labels.answered(info.get("labels", []), _used(survey), type) if with_labels else [],
        "samples": [sample(each, survey.dataset.id) for each in survey.samples],
        "exist_running_task": bool(survey.running),
        "running_tasks_id": [task.id for task in survey.running],
        "import_task_id": info.get("import_task_id", ""),
        "label_task_count": 1 if ANNOTATION_TYPES.get(type) else 0,
        "feature_supports": _FEATURES,
        "workforce_descriptor": _workforce(kept.get("workforce") or {}),
    }
    return whole("DatasetAndFilePreview", values | _kept(kept) | _paths(survey, places))


def _kept(kept: Mapping[str, Any]) -> Json:
    """What was said when the dataset was made and means nothing to the core."""
    return {
        "data_format": kept.get("data_format", "Default"),
        "data_sources": [_source(entry) for entry in kept.get("sources", [])],
        "schema": [whole("Field", entry) for entry in kept.get("schema", [])],
        "import_data": kept.get("import_data", False),
        "managed": kept.get("managed", False),
        "content_labeling": kept.get("content_labeling", True),
    }


def _paths(survey: Survey, places: Places) -> Json:
    tenant = survey.dataset.tenant
    kept: Mapping[str, Any] = survey.dataset.info.get("modelarts", {})
    sources = kept.get("sources", [])
    current = survey.current
    return {
        "work_path": kept.get("work_path") or f"/{places.artifacts}/{tenant}/",
        "work_path_type": 0,
        "inner_work_path": f"/{places.artifacts}/{tenant}/",
        "inner_annotation_path": places.of_tenant(tenant, "manifests"),
        "inner_data_path": sources[0]["data_path"] if sources else f"/{places.raw}/",
        "inner_task_path": places.of_tenant(tenant, "builds"),
        "inner_temp_path": places.of_tenant(tenant, "builds"),
        "data_url": _data_path(current, places) if current else "",
    }


def _loading(survey: Survey) -> int:
    task = survey.importing
    if task is None or task.is_ended:
        return 0
    return max(0, int(task.progress.get("total", 0)) - int(task.progress.get("done", 0)))


def _used(survey: Survey) -> list[str]:
    current = survey.current
    return list(current.report.get("labels") or []) if current else []


def _source(entry: Mapping[str, Any]) -> Json:
    inner = {
        "schema_maps": [whole("SchemaMap", each) for each in entry.get("schema_maps", [])],
        "source_info": whole("SourceInfo", entry.get("source_info", {})),
    }
    return whole("DataSource", {**entry, **inner})


def _workforce(kept: Mapping[str, Any]) -> Json:
    return whole(
        "WorkforceDescriptor", {**kept, "workers": [whole("Worker", each) for each in kept.get("workers", [])]}
    )


def sample(found: Sample, dataset_id: str) -> Json:
    """depth (channels) is not recorded."""
    return whole(
        "AnnotationFile",
        {
            "create_time": milliseconds(found.at),
            "dataset_id": dataset_id,
            "file_Name": found.key.rpartition("/")[2],
            "file_id": found.uid,
            "file_type": found.media_type,
            "height": found.height or 0,
            "width": found.width or 0,
            "size": found.size_bytes,
            "tags": dict(found.labels),
            "url": found.url,
        },
    )


# -- versions ----------------------------------------------------------------------------------------------------
def version(survey: Survey, found: DatasetVersion, places: Places) -> Json:
    type, older = dataset_type(survey), _before(survey, found)
    current = survey.current
    values = {
        "version_id": found.id,
        "version_name": found.version,
        "version_format": "Default",
        "description": found.info.get("description", ""),
        "status": _VERSION_STATUS[found.status],
        "message": f"its build failed: task {found.task_id} says why" if found.status == "FAILED" else "",
        "create_time": milliseconds(found.created_at),
        "update_time": milliseconds(found.updated_at or found.created_at),
        "is_current": current is not None and current.id == found.id,
        "task_type": type,
        "tags": [*DATASET_TYPES[type], *found.tags],
        "total_sample_count": images_of(found),
        "annotated_sample_count": labelled_images(found),
        "deleted_sample_count": found.erased,
        "deletion_stats": {"erased": found.erased} if found.erased else {},
        "data_statistics": _statistics(found),
        "train_evaluate_sample_ratio": _ratio(train_share(found)),
        "label_type": _label_type(found),
        "label_stats": _label_stats(survey, found, type),
        "previous_version_id": older.id if older else "",
        "previous_total_sample_count": images_of(older),
        "previous_annotated_sample_count": labelled_images(older),
        "add_sample_count": max(0, images_of(found) - images_of(older)),
        "data_validate": found.status == "READY",
        "sample_state": "__ALL__",
        "clear_hard_property": True,
        "remove_sample_usage": True,
    }
    if found.manifest_prefix:
        values["data_path"] = _data_path(found, places)
        values["manifest_path"] = f"/{places.artifacts}/{found.manifest_prefix}/index.json"
    return whole("DatasetVersion", values)


def _before(survey: Survey, found: DatasetVersion) -> DatasetVersion | None:
    """The newest version that was ready before this one was made."""
    older = (each for each in survey.versions if each.status == "READY" and each.created_at < found.created_at)
    return next(older, None)


def _data_path(found: DatasetVersion, places: Places) -> str:
    return f"/{places.artifacts}/{found.manifest_prefix}/" if found.manifest_prefix else ""


def _statistics(found: DatasetVersion | None) -> Json:
    """Images per split."""
    return {name: int(count) for name, count in (found.report.get("counts") or {}).items()} if found else {}


def _ratio(share: float) -> str:
    """At least two digits, as in 1.00, and no more than four, as in 0.9999."""
    text = f"{share:.4f}".rstrip("0")
    return text.ljust(text.index(".") + 3, "0")


def _label_type(found: DatasetVersion) -> str:
    """multi when an image has several labels: as the build counted them, or else when there are more than images."""
    report = found.report
    several = report.get("multi_label")
    if several is None:
        counts = sum(sum(splits.values()) for splits in (report.get("statistics") or {}).values())
        several = counts > sum((report.get("counts") or {}).values())
    return "multi" if several else "single"


def _label_stats(survey: Survey, found: DatasetVersion, type: int) -> list[Json]:
    declared = {label["name"]: label for label in survey.dataset.info.get("labels", [])}
    images: Mapping[str, Any] = found.report.get("label_images") or {}
    total = images_of(found)
    return [
        whole(
            "LabelStats",
            {
                "name": name,
                "type": type,
                "count": sum(splits.values()),
                "sample_count": int(images.get(name, min(sum(splits.values()), total))),
                **labels.parts(declared.get(name)),
            },
        )
        for name, splits in (found.report.get("statistics") or {}).items()
    ]
