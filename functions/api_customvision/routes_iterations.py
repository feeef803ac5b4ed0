"""Routes of iterations: train, look at them, rename, delete, publish."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import requests, wire
from api_customvision.context import project, services
from api_customvision.mapping_iterations import KINDS, iteration, wish
from api_customvision.requests import guid

router = APIGatewayHttpRouter()

# More hours than the service has ever taken: the core says which are too few or too many.
MOST_HOURS = 1_000_000


@router.post("/training/projects/<project_id>/train")
def train_project(project_id: str) -> dict[str, Any]:
    """Train on the workspace as it is; the answer's status is Training. Scope: train."""
    _, found = project(router, "train", project_id)
    wanted = wish(
        requests.word(router, "trainingType", tuple(KINDS)),
        requests.integer(router, "reservedBudgetInHours", 0, MOST_HOURS, 0),
        requests.boolean(router, "forceTrain", False),
        requests.text(router, "notificationEmailAddress"),
        requests.body(router),
    )
    return iteration(services().iterating.train(found, wanted))


@router.get("/training/projects/<project_id>/iterations")
def get_iterations(project_id: str) -> list[dict[str, Any]]:
    """All of them, the newest first. Scope: read."""
    _, found = project(router, "read", project_id)
    return [iteration(each) for each in reversed(services().iterating.list(found))]


@router.get("/training/projects/<project_id>/iterations/<iteration_id>")
def get_iteration(project_id: str, iteration_id: str) -> dict[str, Any]:
    """One iteration, with its status. Scope: read."""
    _, found = project(router, "read", project_id)
    return iteration(services().iterating.get(found, guid(iteration_id, "iterationId")))


@router.patch("/training/projects/<project_id>/iterations/<iteration_id>")
def update_iteration(project_id: str, iteration_id: str) -> dict[str, Any]:
    """The name is all that can change. Scope: train."""
    _, found = project(router, "train", project_id)
    name = requests.body_text(requests.body(router), "name")
    return iteration(services().iterating.rename(found, guid(iteration_id, "iterationId"), name))


@router.delete("/training/projects/<project_id>/iterations/<iteration_id>")
def delete_iteration(project_id: str, iteration_id: str) -> Response[str]:
    """One that is published is refused; one that trains is stopped. Scope: train."""
    _, found = project(router, "train", project_id)
    services().iterating.delete(found, guid(iteration_id, "iterationId"))
    return wire.nothing()


@router.post("/training/projects/<project_id>/iterations/<iteration_id>/publish")
def publish_iteration(project_id: str, iteration_id: str) -> Response[str]:
    """Offer it to the prediction operations under a name; the answer is a bare true. Scope: train."""
    _, found = project(router, "train", project_id)
    services().iterating.publish(
        found,
        guid(iteration_id, "iterationId"),
        requests.required(router, "publishName"),
        requests.required(router, "predictionId"),
        requests.boolean(router, "overwrite", False),
    )
    return wire.plain(True)


@router.delete("/training/projects/<project_id>/iterations/<iteration_id>/publish")
def unpublish_iteration(project_id: str, iteration_id: str) -> Response[str]:
    """Free the name. Scope: train."""
    _, found = project(router, "train", project_id)
    services().iterating.unpublish(found, guid(iteration_id, "iterationId"))
    return wire.nothing()
