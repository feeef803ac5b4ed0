"""Who calls? One mechanism, whatever style of credential a surface uses (design §9)."""

from __future__ import annotations

from aws_lambda_powertools.event_handler.api_gateway import Router

from dataloop.bootstrap import Services
from dataloop.domain.principals import Principal
from edge.request import header


def bearer_or_key(router: Router) -> str | None:
    """The secret of `Authorization: Bearer …` or `x-api-key`."""
    authorization = header(router, "authorization") or ""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return header(router, "x-api-key") or authorization or None


def caller(services: Services, secret: str | None, scope: str) -> Principal:
    """Raises Unauthenticated, Forbidden(scope)."""
    principal = services.keyring.authenticate(secret)
    principal.require(scope)
    return principal
