"""The services of this Lambda and the caller of the current request."""

from __future__ import annotations

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from dataloop import bootstrap
from dataloop.bootstrap import Services
from dataloop.domain.principals import Principal
from edge import auth
from edge.request import header

_services: Services = bootstrap.from_environment()


def services() -> Services:
    return _services


def tenant(router: APIGatewayHttpRouter, scope: str) -> str:
    """The caller's tenant. Raises Unauthenticated, Forbidden(scope)."""
    return principal(router, scope).tenant


def principal(router: APIGatewayHttpRouter, scope: str) -> Principal:
    """The caller. Raises Unauthenticated, Forbidden(scope)."""
    return auth.caller(_services, auth.bearer_or_key(router), scope)


def claimed_id(router: APIGatewayHttpRouter, tenant: str, operation: str, request: object) -> str:
    """The id of what this request makes: the same for every repeat of one Idempotency-Key."""
    return _services.claiming.id_for(tenant, operation, header(router, "idempotency-key"), request)
