"""Pure translation between core entities and the SDK's JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dataloop.domain.ids import storage_id
from dataloop.domain.raw_data import split_key

# Entities are only named here: a cold start does not pay for the modules of routes that are not called.
if TYPE_CHECKING:
    from dataloop.domain.annotations import Annotation
    from dataloop.domain.datasets import DatasetVersion
    from dataloop.domain.models import Model, Release
    from dataloop.domain.principals import AccessKey
    from dataloop.domain.raw_data import RawData
    from dataloop.domain.retraining import Loop
    from dataloop.domain.search import Found, SavedQuery
    from dataloop.domain.tasks import Task
    from dataloop.services.uploading import UploadPlan

Json = dict[str, Any]


def upload_plan(plan: UploadPlan, base_url: str) -> Json:
    """url is a stable address of the content that needs a key; links that need none live for minutes only."""
    return {
        "uid": plan.uid,
        "bucket": plan.bucket,
        "storage_id": plan.storage_id,
        "object_name": plan.object_name,
        "url": f"{base_url}/api/v1/files/{quote(plan.uid)}/content",
        "exists": plan.form is None,
        "upload": plan.form,
    }


def raw_data(raw: RawData) -> Json:
    facts = raw.facts
    return {
        "raw_data_id": raw.uid,
        "uid": raw.uid,
        "status": raw.status,
        "type": facts.type if facts else (raw.meta or {}).get("type"),
        "media_type": facts.media_type if facts else None,
        "size_bytes": facts.size_bytes if facts else None,
        "sha256": facts.sha256 if facts else None,
        "width": facts.width if facts else None,
        "height": facts.height if facts else None,
        "rejected": facts.rejected if facts else None,
        "locations": [
            {
                "bucket": at.bucket,
                "object_name": split_key(at.key)[1],
                "storage_id": storage_id(at.bucket, at.key),
                "version_id": at.version_id,
                "size_bytes": at.size_bytes,
            }
            for at in raw.live_locations
        ],
        "meta": dict(raw.meta) if raw.meta is not None else None,
        "first_seen": raw.first_seen,
    }


def found(hit: Found) -> Json:
    """A file that a search found."""
    ids = [annotation.id for annotation in hit.annotations]
    return raw_data(hit.raw) | {"last_seen": hit.raw.last_seen, "annotation_ids": ids}


def query(saved: SavedQuery) -> Json:
    return {
        "query_id": saved.id,
        "name": saved.name,
        "where": dict(saved.where),
        "comment": saved.comment,
        "revision": saved.revision,
        "created_at": saved.created_at,
        "updated_at": saved.updated_at,
    }


def annotation(found: Annotation) -> Json:
    return {
        "annotation_data_id": found.id,
        "annotationType": found.type,
        "dataId": list(found.data_ids),
        "labelInfo": [dict(label) for label in found.labels],
        "labelMethod": found.method,
        "labelScope": list(found.scope),
        "modelName": found.model_name,
        "modelVersion": found.model_version,
        "bg": found.bg,
        "owner": found.owner,
        "supersedes": found.supersedes,
        "created_at": found.created_at,
    }


def dataset(version: DatasetVersion) -> Json:
    return {
        "dataset_id": version.id,
        "series_id": version.dataset_id,
        "dataset_name": version.name,
        "dataset_version": version.version,
        "status": version.status,
        "digest": version.digest,
        "info": dict(version.info),
        "split": {name: value for name, value in asdict(version.split).items() if name != "salt"},
        "task_id": version.task_id,
        "base_dataset_id": version.base_version_id,
        "anchor_dataset_id": version.anchor_id,
        "tags": list(version.tags),
        "erased": version.erased,
        "deletion": dict(version.deletion) or None,
        "residency": dict(version.residency),
        "created_at": version.created_at,
        "updated_at": version.updated_at,
        **{name: version.report.get(name) for name in ("counts", "labels", "statistics", "report", "splits")},
    }


def task(found: Task, url: str | None = None, files: list[Json] | None = None) -> Json:
    """Keys of the artifacts bucket stay inside; url and files carry links instead."""
    result = {name: value for name, value in found.result.items() if name not in ("key", "files")}
    if files is not None:
        result["files"] = files
    if url:
        result["url"] = url
    return {
        "task_id": found.id,
        "kind": found.kind,
        "status": found.status,
        "target": found.target,
        "phase": found.phase,
        "progress": dict(found.progress),
        "error": dict(found.error) if found.error else None,
        "parameters": dict(found.parameters),
        "result": result,
        "attempt": found.attempt,
        "parent_id": found.parent_id,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


def model(found: Model) -> Json:
    names = (
        "name",
        "version",
        "status",
        "task_type",
        "architecture",
        "task_id",
        "parent_model_id",
        "model_package_arn",
        "created_at",
        "updated_at",
    )
    return {
        "model_id": found.id,
        **{name: getattr(found, name) for name in names},
        "dataset": dict(found.dataset),
        "test": dict(found.test),
        "labels": list(found.labels),
        "metrics": dict(found.metrics),
        "parameters": dict(found.parameters),
        "artifacts": [{"name": entry["name"], "size_bytes": entry["size_bytes"]} for entry in found.artifacts],
        "touched_by": [dict(touch) for touch in found.touched_by],
    }


def release(found: Release) -> Json:
    """A release without the token that only the execution may know."""
    body = {name: value for name, value in asdict(found).items() if name not in ("approval_token", "tenant")}
    return {"release_id": body.pop("id"), **body}


def loop(found: Loop, decisions: list[Json] | None = None) -> Json:
    fields = {name: value for name, value in asdict(found).items() if name not in ("tenant", "id", "info")}
    body = {"loop_id": found.id, **fields, "split": {k: v for k, v in found.info["split"].items() if k != "salt"}}
    if decisions is not None:
        body["decisions"] = decisions
    return body


def access_key(key: AccessKey) -> Json:
    """Never the secret, nor its digest."""
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "residency": dict(key.residency),
        "access_key_id": key.access_key_id,
        "projects": list(key.projects),
    }
