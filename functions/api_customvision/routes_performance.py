"""How well an iteration does on its test images: measures at a threshold, and image by image."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping, requests, views, wire
from api_customvision import mapping_performance as mapped
from api_customvision.context import project, services
from dataloop.domain.projects import Iteration, Project
from dataloop.domain.terms import EVERYTHING

router = APIGatewayHttpRouter()
PERFORMANCE = "/training/projects/<project_id>/iterations/<iteration_id>/performance"


@router.get(PERFORMANCE)
def get_iteration_performance(project_id: str, iteration_id: str) -> dict[str, Any]:
    """Precision, recall and average precision at `threshold` and, for boxes, `overlapThreshold`. Scope: read."""
    _, owner = project(router, "read", project_id)
    iteration = _iteration(owner, iteration_id)
    threshold = requests.number(router, "threshold", 0, 1)
    overlap = requests.number(router, "overlapThreshold", 0, 1)
    found = services().performing.performance(iteration, threshold, overlap)
    return mapped.performance(found)


@router.get(f"{PERFORMANCE}/images")
def get_image_performances(project_id: str, iteration_id: str) -> list[dict[str, Any]]:
    """A page of the test images, with any of tagIds, and what the iteration says of them. Scope: read."""
    _, owner = project(router, "read", project_id)
    iteration = _iteration(owner, iteration_id)
    names = _names(iteration)
    query = views.page(router, (views.with_tags(router, names) or [EVERYTHING])[0])
    types = {str(tag["id"]): mapping.TAG_TYPES[tag["kind"]] for tag in iteration.tags}
    renditions = services().renditions
    found = services().performing.images(iteration, query)
    return [mapped.image(each, names, types, renditions.links_of(each.image)) for each in found]


@router.get(f"{PERFORMANCE}/images/count")
def get_image_performance_count(project_id: str, iteration_id: str) -> Response[str]:
    """How many test images there are, with any of tagIds. Scope: read."""
    _, owner = project(router, "read", project_id)
    iteration = _iteration(owner, iteration_id)
    where = views.with_tags(router, _names(iteration), views.MAX_TAGS_OF_COUNTS) or [EVERYTHING]
    return wire.plain(services().performing.count(iteration, where[0]))


def _iteration(owner: Project, iteration_id: str) -> Iteration:
    return services().iterating.get(owner, requests.guid(iteration_id, "iterationId"))


def _names(iteration: Iteration) -> dict[str, str]:
    return {str(tag["id"]): str(tag["name"]) for tag in iteration.tags}
