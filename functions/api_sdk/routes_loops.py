"""Loops: standing orders to retrain."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping
from api_sdk.context import claimed_id, services, tenant
from dataloop.domain.errors import InvalidInput
from edge.request import json_body

router = APIGatewayHttpRouter()


@router.post("/api/v1/loops")
def create_loop() -> tuple[dict[str, Any], int]:
    """From now on matching annotations gather in the loop's draft. Scope: admin."""
    owner, body = tenant(router, "admin"), json_body(router)
    return mapping.loop(services().looping.create(owner, body, claimed_id(router, owner, "loop", body))), 201


@router.get("/api/v1/loops")
def list_loops() -> dict[str, Any]:
    """All loops. Scope: read."""
    return {"items": [mapping.loop(loop) for loop in services().looping.of_tenant(tenant(router, "read"))]}


@router.get("/api/v1/loops/<loop_id>")
def get_loop(loop_id: str) -> dict[str, Any]:
    """One loop with its newest decisions and their reasons. Scope: read."""
    owner = tenant(router, "read")
    loop = services().looping.get(owner, loop_id)
    return mapping.loop(loop, services().looping.decisions(owner, loop_id))


@router.post("/api/v1/loops/<loop_id>/start")
def start_loop(loop_id: str) -> tuple[dict[str, Any], int]:
    """Run now, if the policy agrees; force overrides thresholds and cool-down. Scope: train."""
    owner, force = tenant(router, "train"), json_body(router).get("force", False)
    if not isinstance(force, bool):
        raise InvalidInput("force", "must be true or false", force)
    return mapping.task(services().looping.run_once(owner, loop_id, force)), 202
