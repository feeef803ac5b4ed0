"""The eight operations of the prediction client: one image, asked of a published iteration. Scope: predict, or read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import requests
from api_customvision.context import principal, services
from api_customvision.faults import Refused
from api_customvision.prediction_context import answered, image_behind_url, image_of
from dataloop.domain.principals import Principal

router = APIGatewayHttpRouter()

# Which kinds of projects an operation is for.
CLASSIFY, DETECT = ("classification", "multilabel_classification"), ("detection",)
Read = Callable[[APIGatewayHttpRouter], bytes]


@router.post("/prediction/<project_id>/classify/iterations/<published_name>/image")
def classify_image(project_id: str, published_name: str) -> dict[str, Any]:
    """Every tag's probability for an image of the body; image and answer are kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, CLASSIFY, image_of, keep=True)


@router.post("/prediction/<project_id>/classify/iterations/<published_name>/image/nostore")
def classify_image_with_no_store(project_id: str, published_name: str) -> dict[str, Any]:
    """Every tag's probability for an image of the body; nothing is kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, CLASSIFY, image_of, keep=False)


@router.post("/prediction/<project_id>/classify/iterations/<published_name>/url")
def classify_image_url(project_id: str, published_name: str) -> dict[str, Any]:
    """Every tag's probability for the image behind a URL; image and answer are kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, CLASSIFY, image_behind_url, keep=True)


@router.post("/prediction/<project_id>/classify/iterations/<published_name>/url/nostore")
def classify_image_url_with_no_store(project_id: str, published_name: str) -> dict[str, Any]:
    """Every tag's probability for the image behind a URL; nothing is kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, CLASSIFY, image_behind_url, keep=False)


@router.post("/prediction/<project_id>/detect/iterations/<published_name>/image")
def detect_image(project_id: str, published_name: str) -> dict[str, Any]:
    """Boxes in an image of the body; image and answer are kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, DETECT, image_of, keep=True)


@router.post("/prediction/<project_id>/detect/iterations/<published_name>/image/nostore")
def detect_image_with_no_store(project_id: str, published_name: str) -> dict[str, Any]:
    """Boxes in an image of the body; nothing is kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, DETECT, image_of, keep=False)


@router.post("/prediction/<project_id>/detect/iterations/<published_name>/url")
def detect_image_url(project_id: str, published_name: str) -> dict[str, Any]:
    """Boxes in the image behind a URL; image and answer are kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, DETECT, image_behind_url, keep=True)


@router.post("/prediction/<project_id>/detect/iterations/<published_name>/url/nostore")
def detect_image_url_with_no_store(project_id: str, published_name: str) -> dict[str, Any]:
    """Boxes in the image behind a URL; nothing is kept. Scope: predict, or read."""
    caller = principal(router, "predict", "read")
    return _ask(caller, project_id, published_name, DETECT, image_behind_url, keep=False)


def _ask(
    caller: Principal, project_id: str, published_name: str, kinds: tuple[str, ...], read: Read, *, keep: bool
) -> dict[str, Any]:
    """The image is read last: nobody makes this service fetch a URL for a project that is not his."""
    project = services().projects.get(caller.tenant, requests.guid(project_id, "projectId"))
    if project.task_type not in kinds:
        raise Refused("BadRequest", f"Invalid project type for operation: the project is for {project.task_type}.")
    iteration = services().iterating.published(project, published_name)
    application = requests.text(router, "application")
    return answered(project, iteration, read(router), keep=keep, application=application)
