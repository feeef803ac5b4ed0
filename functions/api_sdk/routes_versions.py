"""Datasets as series of versions: history, tags, diff, restore, deletion; and lineage both ways."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping, mapping_versions
from api_sdk.context import claimed_id, principal, services, tenant
from dataloop.domain.errors import InvalidInput
from dataloop.domain.ids import check_annotation_id, check_uid
from dataloop.domain.principals import Principal
from edge.request import json_body, page, path_text, query

router = APIGatewayHttpRouter()
# How many of each dataset's versions a list of datasets shows; the history of one has all.
SHOWN = 5


@router.get("/api/v1/series")
def list_series() -> dict[str, Any]:
    """Datasets, newest first, each with its tags and its newest versions; or the one of a name. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    found, following = services().curating.grouped(owner, limit, cursor, SHOWN, query(router, "name"))
    return {"items": [mapping_versions.with_versions(*each) for each in found], "cursor": following}


@router.get("/api/v1/series/<series_id>")
def get_series(series_id: str) -> dict[str, Any]:
    """One dataset with its history: all versions, newest first, also deleted ones. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    found = services().curating.dataset(owner, series_id)
    versions, following = services().curating.versions(owner, series_id, limit, cursor)
    return mapping_versions.with_versions(found, versions) | {"cursor": following}


@router.delete("/api/v1/series/<series_id>")
def delete_series(series_id: str) -> dict[str, Any]:
    """Delete a dataset with all its versions. Query: force. Scope: train, with force admin."""
    caller, removing = principal(router, "train"), services().removing
    force = _force(caller, query(router, "force"))
    return mapping_versions.series(removing.delete_dataset(caller.tenant, series_id, by=caller.key_id, force=force))


@router.delete("/api/v1/datasets/<dataset_id>")
def delete_dataset(dataset_id: str) -> dict[str, Any]:
    """Delete a version; its record stays. Query: force. Scope: train, with force admin."""
    caller, removing = principal(router, "train"), services().removing
    force = _force(caller, query(router, "force"))
    return mapping.dataset(removing.delete_version(caller.tenant, dataset_id, by=caller.key_id, force=force))


def _force(caller: Principal, said: str | None) -> bool:
    """Does the caller insist? Raises InvalidInput, Forbidden(admin)."""
    if said not in (None, "true", "false"):
        raise InvalidInput("force", "must be true or false", said)
    if said == "true":
        caller.require("admin")
    return said == "true"


@router.get("/api/v1/datasets/<dataset_id>/images")
def images_of(dataset_id: str) -> dict[str, Any]:
    """A page of a version's images with object versions, annotations and digests. Scope: read."""
    caller, (limit, cursor) = principal(router, "read"), page(router)
    version = services().curating.get(caller.tenant, dataset_id)
    items, following = services().tracing.images_in(version, limit, cursor, caller.clearance)
    return {"dataset": mapping.dataset(version), "items": items, "cursor": following}


@router.post("/api/v1/datasets/<dataset_id>/diff")
def diff(dataset_id: str) -> tuple[dict[str, Any], int]:
    """What changed from this version to another one: answers a task. Scope: read."""
    caller, body = principal(router, "read"), json_body(router)
    id = claimed_id(router, caller.tenant, "diff", {"dataset_id": dataset_id, **body})
    task = services().comparing.request(caller.tenant, dataset_id, body.get("other"), id, caller.clearance)
    return mapping.task(task), 202


@router.post("/api/v1/datasets/<dataset_id>/verify")
def verify(dataset_id: str) -> tuple[dict[str, Any], int]:
    """Recompute a version's digests, and ask for each object and annotation: answers a task. Scope: read."""
    owner = tenant(router, "read")
    id = claimed_id(router, owner, "verify", {"dataset_id": dataset_id})
    return mapping.task(services().auditing.request(owner, dataset_id, id)), 202


@router.post("/api/v1/datasets/<dataset_id>/restore")
def restore(dataset_id: str) -> tuple[dict[str, Any], int]:
    """A new draft with the members of this version. Scope: write."""
    caller, body = principal(router, "write"), json_body(router)
    id = claimed_id(router, caller.tenant, "restore", {"dataset_id": dataset_id, **body})
    name = body.get("datasetVersion")
    return mapping.dataset(services().versioning.restore(caller.tenant, dataset_id, name, id, caller.clearance)), 201


@router.put("/api/v1/datasets/<dataset_id>/tags/<tag>")
def set_tag(dataset_id: str, tag: str) -> dict[str, Any]:
    """From now on the tag stands for this version. Scope: write."""
    return mapping_versions.series(services().versioning.set_tag(tenant(router, "write"), dataset_id, path_text(tag)))


@router.delete("/api/v1/datasets/<dataset_id>/tags/<tag>")
def remove_tag(dataset_id: str, tag: str) -> dict[str, Any]:
    """Forget a tag of this version. Scope: write."""
    owner = tenant(router, "write")
    return mapping_versions.series(services().versioning.remove_tag(owner, dataset_id, path_text(tag)))


@router.get("/api/v1/annotations/<annotation_id>/usage")
def usage_of_annotation(annotation_id: str) -> dict[str, Any]:
    """Every built version, model and release an annotation counts in. Scope: read."""
    owner, id = tenant(router, "read"), check_annotation_id(annotation_id)
    annotation, used = services().tracing.usage_of_annotation(owner, id)
    return mapping_versions.usage(used) | {"annotation": mapping.annotation(annotation)}


@router.get("/api/v1/raw-data/<uid>/usage")
def usage_of_image(uid: str) -> dict[str, Any]:
    """Every built version, model and release an image is in, and whether it was deleted. Scope: read."""
    caller = principal(router, "read")
    image = services().registering.get(caller.tenant, check_uid(uid), caller.clearance)
    return mapping_versions.usage(services().tracing.usage_of(caller.tenant, uid)) | {"image": mapping.raw_data(image)}


@router.get("/api/v1/lineage/<id>")
def lineage(id: str) -> dict[str, Any]:
    """What any id names, the chain behind it, and what was made from it. Scope: read."""
    caller, tracing = principal(router, "read"), services().tracing
    found = tracing.find(caller.tenant, id)
    if found.image:
        caller.clearance.require(found.image.meta or {}, f"file {id}")
    return mapping_versions.trace(id, found, tracing.used_by(caller.tenant, found))
