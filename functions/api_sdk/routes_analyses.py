"""What models say of images that are there: predictions, suggestions, selections; and what layers can lose."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping, wire
from api_sdk.context import claimed_id, services, tenant
from edge.request import json_body

router = APIGatewayHttpRouter()


@router.post("/api/v1/predictions")
def predict() -> tuple[dict[str, Any], int]:
    """Predict on many images, by uid or by query: answers the task, whose files hold the predictions. Scope: train."""
    owner, body = tenant(router, "train"), json_body(router)
    task_id = claimed_id(router, owner, "predict", body)
    return mapping.task(services().analysing.request_prediction(owner, body, task_id)), 202


@router.post("/api/v1/auto-annotations")
def auto_annotate() -> tuple[dict[str, Any], int]:
    """Let a teacher model suggest labels: its predictions become annotations of the method auto. Scope: train."""
    owner, body = tenant(router, "train"), json_body(router)
    task_id = claimed_id(router, owner, "auto_annotate", body)
    return mapping.task(services().analysing.request_annotation(owner, body, task_id)), 202


@router.post("/api/v1/selections")
def select() -> tuple[dict[str, Any], int]:
    """Choose the images that are worth a person's time, with reasons, and group near-duplicates. Scope: train."""
    owner, body = tenant(router, "train"), json_body(router)
    task_id = claimed_id(router, owner, "select", body)
    return mapping.task(services().analysing.request_selection(owner, body, task_id)), 202


@router.post("/api/v1/sensitivities")
def sensitivity() -> tuple[dict[str, Any], int]:
    """Measure how much of each layer a model can lose: what pruning goes by. Scope: train."""
    owner, body = tenant(router, "train"), json_body(router)
    model_id = wire.text(body, "model_id")
    task_id = claimed_id(router, owner, "sensitivity", body)
    return mapping.task(services().analysing.request_sensitivity(owner, model_id, task_id)), 202
