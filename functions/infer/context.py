"""The services of this Lambda, the models it holds, and the caller of the current request."""

from __future__ import annotations

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from dataloop import bootstrap
from dataloop.bootstrap import Services
from edge import auth
from model_runner.runner import ModelRunner

_services: Services = bootstrap.from_environment()
_runner = ModelRunner()


def services() -> Services:
    return _services


def runner() -> ModelRunner:
    return _runner


def tenant(router: APIGatewayHttpRouter, scope: str) -> str:
    """The caller's tenant. Raises Unauthenticated, Forbidden(scope)."""
    return auth.caller(_services, auth.bearer_or_key(router), scope).tenant
