"""The services of this Lambda and the caller of the current request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_modelarts import signature
from api_modelarts.mapping import Places
from dataloop import bootstrap
from dataloop.bootstrap import Services
from dataloop.domain.errors import InvalidInput, NotFound
from dataloop.domain.ids import ENTITY_ID
from dataloop.domain.principals import Principal

_services: Services = bootstrap.from_environment()


def services() -> Services:
    return _services


def places() -> Places:
    settings = _services.settings
    return Places(settings.raw_bucket, settings.artifacts_bucket)


def principal(router: APIGatewayHttpRouter, scope: str, project_id: str) -> Principal:
    """The caller, by signature or by token. Raises Unauthenticated, NotFound(project), Forbidden(scope).

    A project that the key does not serve looks like one that does not exist.
    """
    request = _request(router)
    if signature.is_signed(request.headers.get("authorization")):
        claim = signature.claim(request, _services.clock.now())
        caller = _services.keyring.authenticate_signature(claim.access_key_id, claim.message, claim.signature)
    else:
        caller = _services.keyring.authenticate(request.headers.get("x-auth-token"))
    if not caller.serves(project_id):
        raise NotFound("project", project_id)
    caller.require(scope)
    return caller


def query(router: APIGatewayHttpRouter) -> Mapping[str, Any]:
    return router.current_event.query_string_parameters or {}


def entity(value: str, kind: str) -> str:
    """An id of a path. What cannot be an id is not found, as an id that nobody has. Raises NotFound."""
    if not ENTITY_ID.fullmatch(value):
        raise NotFound(kind, value)
    return value


def _request(router: APIGatewayHttpRouter) -> signature.SignedRequest:
    event = router.current_event
    raw = event.body or ""
    try:
        body = base64.b64decode(raw, validate=True) if event.get("isBase64Encoded") else raw.encode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("body", "is not valid base64") from error
    headers = {name.lower(): value for name, value in (event.headers or {}).items()}
    return signature.SignedRequest(
        event.http_method, event.get("rawPath") or event.path, event.get("rawQueryString") or "", headers, body
    )
