"""The services of this Lambda, the caller of the current request, and the project it names."""

from __future__ import annotations

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import requests
from dataloop import bootstrap
from dataloop.bootstrap import Services
from dataloop.domain.errors import Forbidden
from dataloop.domain.principals import Principal
from dataloop.domain.projects import Project
from edge.request import header

_services: Services = bootstrap.from_environment()

_KEY_HEADERS = {"training": "training-key", "prediction": "prediction-key"}


def services() -> Services:
    return _services


def principal(router: APIGatewayHttpRouter, scope: str, *or_scopes: str) -> Principal:
    """The caller, by `Training-Key` or, below /prediction, by `Prediction-Key`.

    Any one of the scopes is enough. Raises Unauthenticated, Forbidden(scope).
    """
    side = router.current_event.path.split("/", 2)[1]
    caller = _services.keyring.authenticate(header(router, _KEY_HEADERS[side]))
    if not any(_has(caller, each) for each in (scope, *or_scopes)):
        raise Forbidden(scope)
    return caller


def _has(caller: Principal, scope: str) -> bool:
    try:
        caller.require(scope)
    except Forbidden:
        return False
    return True


def project(router: APIGatewayHttpRouter, scope: str, project_id: str) -> tuple[Principal, Project]:
    """The caller and the project of its path. Raises Unauthenticated, Forbidden(scope), Refused(ids), NotFound."""
    caller = principal(router, scope)
    return caller, _services.projects.get(caller.tenant, requests.guid(project_id, "projectId"))
