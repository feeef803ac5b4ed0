"""Routes of tags: those of the workspace, and those an iteration was trained with."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping, requests
from api_customvision.context import project, services
from api_customvision.faults import Refused

router = APIGatewayHttpRouter()

_KINDS = {word: kind for kind, word in mapping.TAG_TYPES.items()}


@router.get("/training/projects/<project_id>/tags")
def get_tags(project_id: str) -> list[dict[str, Any]]:
    """With their counts of images; iterationId: as they were when it was trained. Scope: read."""
    _, found = project(router, "read", project_id)
    iteration_id = requests.id(router, "iterationId")
    if iteration_id is None:
        return [mapping.tag(each) for each in services().projects.tags(found)]
    iteration = services().iterating.get(found, iteration_id)
    return [mapping.tag(each) for each in services().snapshots.tags(iteration)]


@router.post("/training/projects/<project_id>/tags")
def create_tag(project_id: str) -> dict[str, Any]:
    """A new tag of a name that is free. Scope: write."""
    _, found = project(router, "write", project_id)
    name, description = requests.required(router, "name"), requests.text(router, "description") or ""
    kind = requests.word(router, "type", tuple(_KINDS), "BadRequestTagType") or "Regular"
    made = services().projects.create_tag(found, name, description=description, kind=_KINDS[kind])
    return mapping.tag(made)


@router.get("/training/projects/<project_id>/tags/<tag_id>")
def get_tag(project_id: str, tag_id: str) -> dict[str, Any]:
    """One tag with its count of images; iterationId: as it was when that was trained. Scope: read."""
    _, found = project(router, "read", project_id)
    id, iteration_id = requests.guid(tag_id, "tagId"), requests.id(router, "iterationId")
    if iteration_id is None:
        return mapping.tag(services().projects.tag(found, id))
    return mapping.tag(services().snapshots.tag(services().iterating.get(found, iteration_id), id))


@router.patch("/training/projects/<project_id>/tags/<tag_id>")
def update_tag(project_id: str, tag_id: str) -> dict[str, Any]:
    """Name, description, type; what the body leaves out stays. Scope: write."""
    _, found = project(router, "write", project_id)
    id, body = requests.guid(tag_id, "tagId"), requests.body(router)
    kind = requests.body_word(body, "type", tuple(_KINDS), "BadRequestTagType")
    name, description = requests.body_text(body, "name"), requests.body_text(body, "description")
    if name is None and description is None and kind is None:
        raise Refused("BadRequestRequiredParamIsNull", "one of name, description and type is needed")
    changed = services().projects.update_tag(
        found,
        id,
        name=name,
        description=description,
        kind=None if kind is None else _KINDS[kind],
    )
    return mapping.tag(changed)


@router.delete("/training/projects/<project_id>/tags/<tag_id>")
def delete_tag(project_id: str, tag_id: str) -> Response[str]:
    """Gone at once; images that have it lose it. Scope: write."""
    _, found = project(router, "write", project_id)
    services().projects.delete_tag(found, requests.guid(tag_id, "tagId"))
    return Response(status_code=204, body="")
