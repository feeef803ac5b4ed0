"""Suggested tags of untagged images: query and count. Making them runs a model: routes_quicktest.py."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_predictions as mapping
from api_customvision import requests
from api_customvision.context import project, services
from dataloop.domain.projects import Iteration, Project

router = APIGatewayHttpRouter()


@router.post("/training/projects/<project_id>/images/suggested")
def query_suggested_images(project_id: str) -> dict[str, Any]:
    """Untagged images that an iteration suggested any of some tags for, sorted by its doubt. Scope: read."""
    _, found = project(router, "read", project_id)
    iteration = _iteration(found)
    query = mapping.suggestion_query(requests.body(router))
    page = services().suggesting_tags.query(found, iteration, query)
    domain = mapping.info(found, iteration)["domain_id"]
    links = services().renditions.links_of
    return {
        "token": mapping.suggestion_token(query, page),
        "results": [
            mapping.stored_suggestion(suggestion, image, links(image), domain) for suggestion, image in page.suggestions
        ],
    }


@router.post("/training/projects/<project_id>/images/suggested/count")
def query_suggested_image_count(project_id: str) -> dict[str, int]:
    """How many untagged images each tag is suggested for. Scope: read."""
    _, found = project(router, "read", project_id)
    iteration = _iteration(found)
    body = requests.body(router)
    tag_ids = requests.body_ids(body, "tagIds", mapping.MAX_TAG_IDS)
    threshold = requests.body_number(body, "threshold", 0, 1) or 0.0
    return services().suggesting_tags.counts(found, iteration, tag_ids, threshold)


def _iteration(found: Project) -> Iteration:
    """Raises Refused, NotFound(iteration)."""
    return services().iterating.get(found, requests.guid(requests.required(router, "iterationId"), "iterationId"))
