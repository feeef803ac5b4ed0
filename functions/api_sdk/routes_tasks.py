"""Tasks, and the requests that start them: train, evaluate, export."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping, wire
from api_sdk.context import claimed_id, principal, services, tenant
from edge.request import json_body, page, query

router = APIGatewayHttpRouter()


@router.post("/api/v1/train")
def train() -> tuple[dict[str, Any], int]:
    """Train a model on a built dataset. Scope: train."""
    caller, body = principal(router, "train"), json_body(router)
    fields = ("task_type", "architecture", "parameters", "model_name", "parent_model_id")
    wish: dict[str, Any] = {name: body.get(name) for name in fields}
    identity: dict[str, Any] = {
        "task_id": claimed_id(router, caller.tenant, "train", body),
        "clearance": caller.clearance,
    }
    task = services().training.request(caller.tenant, wire.text(body, "dataset_id"), **wish, **identity)
    return mapping.task(task), 202


@router.post("/api/v1/training/recommendation")
def recommend() -> dict[str, Any]:
    """Parameters for training a built dataset on a machine, each with its reason. Starts nothing. Scope: read."""
    owner, body = tenant(router, "read"), json_body(router)
    return services().advising.advise(owner, wire.text(body, "dataset_id"), body)


@router.post("/api/v1/evaluations")
def evaluate() -> tuple[dict[str, Any], int]:
    """Judge a model on the test split of a built dataset, alone or beside a baseline. Scope: train."""
    owner, body = tenant(router, "train"), json_body(router)
    model_id, dataset_id = wire.text(body, "model_id"), wire.text(body, "dataset_id")
    wish = {"baseline_model_id": body.get("baseline_model_id"), "task_id": claimed_id(router, owner, "evaluate", body)}
    return mapping.task(services().judging.request_evaluation(owner, model_id, dataset_id, **wish)), 202


@router.post("/api/v1/exports")
def export() -> tuple[dict[str, Any], int]:
    """Export a model to a format, verified on real samples. Scope: train."""
    owner, body = tenant(router, "train"), json_body(router)
    model_id, format = wire.text(body, "model_id"), body.get("format", "onnx")
    task_id = claimed_id(router, owner, "export", body)
    task = services().judging.request_export(owner, model_id, format, max_drop=body.get("max_drop"), task_id=task_id)
    return mapping.task(task), 202


@router.get("/api/v1/tasks")
def list_tasks() -> dict[str, Any]:
    """Newest first, of one kind or of all. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    tasks, following = services().tasks.page(owner, query(router, "kind"), limit, cursor)
    return {"items": [mapping.task(task) for task in tasks], "cursor": following}


@router.get("/api/v1/tasks/<task_id>")
def get_task(task_id: str) -> dict[str, Any]:
    """Status, progress, result or the reason of a failure. Scope: read."""
    task = services().tasks.get(tenant(router, "read"), task_id)
    if task.result.get("files"):
        return mapping.task(task, files=services().tasks.files(task))
    url = services().building.download_link(task) if task.kind in ("build", "download") else None
    return mapping.task(task, url)


@router.post("/api/v1/tasks/<task_id>/stop")
def stop_task(task_id: str) -> tuple[dict[str, Any], int]:
    """Ask a task to stop; its status tells when it has. Scope: train."""
    return mapping.task(services().tasks.stop(tenant(router, "train"), task_id)), 202
