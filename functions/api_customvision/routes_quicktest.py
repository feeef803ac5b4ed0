"""What of the training surface runs a model: quick tests, suggested tags, region proposals."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_predictions as mapping
from api_customvision import requests
from api_customvision.context import project, services
from api_customvision.faults import Refused
from api_customvision.prediction_context import answered, image_behind_url, image_of, runner
from dataloop.domain.principals import Principal
from dataloop.domain.projects import Iteration, Project
from dataloop.services.suggesting_tags import MAX_IMAGES

router = APIGatewayHttpRouter()


@router.post("/training/projects/<project_id>/quicktest/image")
def quick_test_image(project_id: str) -> dict[str, Any]:
    """An iteration's answer on an image of the body; without iterationId the newest's. Scope: read, to store it write."""
    caller, found = project(router, "read", project_id)
    keep = _keeps(caller)
    return answered(found, _iteration(found), image_of(router), keep=keep)


@router.post("/training/projects/<project_id>/quicktest/url")
def quick_test_image_url(project_id: str) -> dict[str, Any]:
    """The same for the image behind a URL. Scope: read, to store it write."""
    caller, found = project(router, "read", project_id)
    keep = _keeps(caller)
    return answered(found, _iteration(found), image_behind_url(router), keep=keep)


@router.post("/training/projects/<project_id>/tagsandregions/suggestions")
def suggest_tags_and_regions(project_id: str) -> list[dict[str, Any]]:
    """What an iteration says about up to 64 untagged images; kept for the queries of suggestions. Scope: write."""
    _, found = project(router, "write", project_id)
    iteration = services().iterating.get(found, requests.guid(requests.required(router, "iterationId"), "iterationId"))
    image_ids = requests.ids(router, "imageIds", MAX_IMAGES)
    if not image_ids:
        raise Refused("BadRequestRequiredParamIsNull", "imageIds: at least one is needed")
    suggestions = services().suggesting_tags.suggest(found, iteration, image_ids, runner())
    return [mapping.suggestion(each) for each in suggestions]


@router.post("/training/projects/<project_id>/images/<image_id>/regionproposals")
def get_image_region_proposals(project_id: str, image_id: str) -> dict[str, Any]:
    """Boxes that may be worth a region, best first; an empty list where nothing stands out. Scope: read."""
    _, found = project(router, "read", project_id)
    id = requests.guid(image_id, "imageId")
    proposals = services().proposing.propose(found, id, runner())
    return {"projectId": found.id, "imageId": id, "proposals": [mapping.proposal(each) for each in proposals]}


def _keeps(caller: Principal) -> bool:
    """`store`, which a key must be allowed. Raises Refused, Forbidden(write)."""
    keep = requests.boolean(router, "store", True)
    if keep:
        caller.require("write")
    return keep


def _iteration(found: Project) -> Iteration:
    """Raises NotFound (iteration, default iteration)."""
    iteration_id = requests.id(router, "iterationId")
    if iteration_id is None:
        return services().project_predicting.newest(found)
    return services().iterating.get(found, iteration_id)
