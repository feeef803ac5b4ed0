"""What only the function has that runs models: the models it holds, and how an image of a request becomes an answer."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_predictions as mapping
from api_customvision import multipart, requests
from api_customvision.context import services
from api_customvision.faults import Refused
from dataloop.domain.projects import Iteration, Project
from model_runner.runner import ModelRunner

_runner = ModelRunner()


def runner() -> ModelRunner:
    return _runner


def image_of(router: APIGatewayHttpRouter) -> bytes:
    """The one image of a multipart form or of a plain body. Raises Refused(BadRequestImageStream), UnsupportedMedia."""
    found = multipart.images(router)
    if len(found) != 1:
        raise Refused(multipart.BAD_STREAM, f"body: one image is needed, got {len(found)}")
    return found[0].data


def image_behind_url(router: APIGatewayHttpRouter) -> bytes:
    """The image that {"url": …} names. Raises Refused, InvalidInput(url), LimitExceeded(url: bytes)."""
    url = requests.body_text(requests.body(router), "url")
    if not url:
        raise Refused("BadRequestImageUrl", "url: is needed")
    return services().project_predicting.fetch(url)


def answered(
    project: Project, iteration: Iteration, content: bytes, *, keep: bool, application: str | None = None
) -> dict[str, Any]:
    """The iteration's answer on an image; kept with the image before it is given, so that its id can be relied on."""
    answer = services().project_predicting.predict(iteration, content, runner())
    stored = services().stored_predictions
    prediction = stored.prepare(project, iteration, content, answer, application, mapping.info(project, iteration))
    if keep:
        stored.store(prediction, content)
    return mapping.image_prediction(prediction)
