"""Models with their lineage, and releases."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping, wire
from api_sdk.context import claimed_id, principal, services, tenant
from edge.request import json_body, page, path_text, query

router = APIGatewayHttpRouter()


@router.get("/api/v1/models")
def list_models() -> dict[str, Any]:
    """Newest first. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    models, following = services().tracing.models(owner, limit, cursor)
    return {"items": [mapping.model(model) for model in models], "cursor": following}


@router.get("/api/v1/models/<model_id>")
def get_model(model_id: str) -> dict[str, Any]:
    """One model with its metrics on every test set it met. Scope: read."""
    owner = tenant(router, "read")
    model = services().tracing.model(owner, model_id)
    return mapping.model(model) | {"evaluations": services().tracing.evaluations(owner, model_id)}


@router.get("/api/v1/models/<model_id>/files")
def model_files(model_id: str) -> dict[str, Any]:
    """Links to weights, ONNX, model card, metrics and curves, for 15 minutes. Scope: read."""
    return {"items": services().tracing.files_of(tenant(router, "read"), model_id)}


@router.get("/api/v1/models/<model_id>/lineage")
def model_lineage(model_id: str) -> dict[str, Any]:
    """Every image and annotation a model comes from, with object version and digest. Scope: read."""
    caller, (limit, cursor) = principal(router, "read"), page(router)
    found = services().tracing.images_of(caller.tenant, model_id, limit, cursor, caller.clearance)
    model, version, items, following = found
    names = {"model": mapping.model(model), "dataset": mapping.dataset(version)}
    return names | {"items": items, "cursor": following}


@router.post("/api/v1/releases")
def create_release() -> tuple[dict[str, Any], int]:
    """Offer a model under a release name: answers the task. Scope: release."""
    caller, body = principal(router, "release"), json_body(router)
    wish: dict[str, Any] = {name: body.get(name) for name in ("name", "gate", "residency")}
    flags = {name: body.get(name, False) for name in ("require_approval", "force")}
    task_id = claimed_id(router, caller.tenant, "release", body)
    wish |= flags | {"task_id": task_id, "clearance": caller.clearance}
    task = services().releasing.request(caller.tenant, wire.text(body, "model_id"), **wish)
    return mapping.task(task), 202


@router.get("/api/v1/releases")
def list_releases() -> dict[str, Any]:
    """Newest first, of one name or of all. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    releases, following = services().releasing.page(owner, query(router, "name"), limit, cursor)
    return {"items": [mapping.release(release) for release in releases], "cursor": following}


@router.get("/api/v1/releases/<name>/current")
def current_release(name: str) -> dict[str, Any]:
    """What a name stands for now. Scope: read."""
    return mapping.release(services().releasing.current(tenant(router, "read"), path_text(name)))


@router.post("/api/v1/releases/<name>/rollback")
def roll_back(name: str) -> dict[str, Any]:
    """The release before the current one is current again. Scope: release."""
    owner = tenant(router, "release")
    request_id = claimed_id(router, owner, "rollback", {"name": name})
    return mapping.release(services().releasing.roll_back_name(owner, path_text(name), request_id))


@router.post("/api/v1/releases/<release_id>/approve")
def approve(release_id: str) -> dict[str, Any]:
    """Let a waiting release go on. Scope: release."""
    owner, body = tenant(router, "release"), json_body(router)
    return mapping.release(services().releasing.approve(owner, release_id, body.get("comment")))


@router.post("/api/v1/releases/<release_id>/reject")
def reject(release_id: str) -> dict[str, Any]:
    """Refuse a waiting release. Scope: release."""
    owner, body = tenant(router, "release"), json_body(router)
    return mapping.release(services().releasing.reject(owner, release_id, body.get("comment")))
