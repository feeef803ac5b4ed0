"""Deletion of images for good, with receipts; retention policies."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping_deletions as mapping
from api_sdk.context import claimed_id, principal, services, tenant
from edge.request import json_body, page

router = APIGatewayHttpRouter()


@router.post("/api/v1/deletions")
def delete_images() -> tuple[dict[str, Any], int]:
    """Delete images for good, from everywhere; the task says when it is done. Scope: admin."""
    caller, body = principal(router, "admin"), json_body(router)
    uids = services().deleting.uids_of(caller.tenant, body)
    deletion, task = services().erasing.request(caller.tenant, uids, body.get("reason"), by=caller.key_id)
    return mapping.requested(deletion, task), 202


@router.get("/api/v1/deletions")
def list_deletions() -> dict[str, Any]:
    """Newest first, without their receipts. Scope: admin."""
    owner, (limit, cursor) = tenant(router, "admin"), page(router)
    deletions, following = services().erasing.page(owner, limit, cursor)
    return {"items": [mapping.deletion(each) for each in deletions], "cursor": following}


@router.get("/api/v1/deletions/<deletion_id>")
def get_deletion(deletion_id: str) -> dict[str, Any]:
    """One deletion with its receipt, once it is done. Scope: admin."""
    found = services().erasing.get(tenant(router, "admin"), deletion_id)
    return mapping.deletion(found) | {"receipt": services().erasing.receipt(found)}


@router.post("/api/v1/retention")
def create_policy() -> tuple[dict[str, Any], int]:
    """Make a retention policy; it runs once it is enabled. Scope: admin."""
    owner, body = tenant(router, "admin"), json_body(router)
    policy_id = claimed_id(router, owner, "create_retention", body)
    return mapping.policy(services().retaining.create(owner, body, policy_id)), 201


@router.get("/api/v1/retention")
def list_policies() -> dict[str, Any]:
    """All retention policies, newest first. Scope: admin."""
    return {"items": [mapping.policy(each) for each in services().retaining.all(tenant(router, "admin"))]}


@router.get("/api/v1/retention/<policy_id>")
def get_policy(policy_id: str) -> dict[str, Any]:
    """One policy with what its last runs did. Scope: admin."""
    owner = tenant(router, "admin")
    found = services().retaining.get(owner, policy_id)
    return mapping.policy(found) | {"runs": [mapping.run(each) for each in services().retaining.runs(owner, policy_id)]}


@router.put("/api/v1/retention/<policy_id>")
def change_policy(policy_id: str) -> dict[str, Any]:
    """Other conditions, or enabled, under the same name. Scope: admin."""
    return mapping.policy(services().retaining.change(tenant(router, "admin"), policy_id, json_body(router)))


@router.delete("/api/v1/retention/<policy_id>")
def remove_policy(policy_id: str) -> dict[str, Any]:
    """Forget a policy; what it deleted stays deleted. Scope: admin."""
    services().retaining.remove(tenant(router, "admin"), policy_id)
    return {"policy_id": policy_id, "deleted": True}


@router.post("/api/v1/retention/<policy_id>/dry-run")
def dry_run_policy(policy_id: str) -> dict[str, Any]:
    """What the policy would delete now; nothing is deleted. Scope: admin."""
    return mapping.run(services().retaining.dry_run(tenant(router, "admin"), policy_id))
