"""Health and keys."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

import dataloop
from api_sdk import mapping
from api_sdk.context import principal, services, tenant
from edge.request import json_body

router = APIGatewayHttpRouter()


@router.get("/health")
def health() -> dict[str, Any]:
    """Alive, without a key."""
    return {"status": "ok", "stage": services().settings.stage, "version": dataloop.__version__}


@router.post("/api/v1/keys")
def create_key() -> tuple[dict[str, Any], int]:
    """Make a key for the caller's tenant; the secret is in this answer only. Scope: admin.

    signing: make an access key id and a secret access key (the answer's `key`) for clients that sign their requests.
    """
    caller, body = principal(router, "admin"), json_body(router)
    name, scopes, days = body.get("name"), body.get("scopes"), body.get("expires_in_days")
    wish = {"projects": body.get("projects"), "signs": body.get("signing", False)}
    key, secret = services().keyring.create(caller.tenant, name, scopes, days, body.get("residency"), **wish)
    return mapping.access_key(key) | {"key": secret}, 201


@router.get("/api/v1/keys")
def list_keys() -> dict[str, Any]:
    """The tenant's keys without secrets. Scope: admin."""
    return {"items": [mapping.access_key(key) for key in services().keyring.of_tenant(tenant(router, "admin"))]}


@router.delete("/api/v1/keys/<key_id>")
def revoke_key(key_id: str) -> dict[str, Any]:
    """The key fails from the next request on. Scope: admin."""
    services().keyring.revoke(tenant(router, "admin"), key_id)
    return {"key_id": key_id, "revoked": True}
