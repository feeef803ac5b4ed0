"""Routes of exports and artifacts."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_exports as mapping
from api_customvision import requests
from api_customvision.context import project, services
from dataloop.domain.artifact_paths import check_path

router = APIGatewayHttpRouter()


@router.post("/training/projects/<project_id>/iterations/<iteration_id>/export")
def export_iteration(project_id: str, iteration_id: str) -> dict[str, Any]:
    """Start an export, or answer the one that is done. Scope: train."""
    _, owner = project(router, "train", project_id)
    iteration = services().iterating.get(owner, requests.guid(iteration_id, "iterationId"))
    wished = mapping.wish(requests.required(router, "platform"), requests.text(router, "flavor"))
    texts = mapping.texts(wished, owner, iteration)
    return mapping.export(services().iteration_exports.request(iteration, wished.name, wished.format, texts))


@router.get("/training/projects/<project_id>/iterations/<iteration_id>/export")
def get_exports(project_id: str, iteration_id: str) -> list[dict[str, Any]]:
    """Every export that was asked for, with a fresh link to each that is done. Scope: read."""
    _, owner = project(router, "read", project_id)
    iteration = services().iterating.get(owner, requests.guid(iteration_id, "iterationId"))
    return [mapping.export(found) for found in services().iteration_exports.exports(iteration, mapping.NAMES)]


@router.get("/training/projects/<project_id>/artifacts")
def get_artifact(project_id: str) -> Response[str]:
    """A redirection to a link: a Lambda answers at most 6 MB, and clients follow. Scope: read."""
    _, owner = project(router, "read", project_id)
    iteration_id, path = check_path(requests.required(router, "path"))
    iteration = services().iterating.get(owner, requests.guid(iteration_id, "path: iteration"))
    return Response(302, headers={"Location": services().iteration_exports.artifact(iteration, path)})
