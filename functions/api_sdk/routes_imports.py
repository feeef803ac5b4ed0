"""Labels in, datasets out: imports of label files, exports of versions, and the formats there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping
from api_sdk.context import claimed_id, principal, services, tenant
from edge.request import json_body

router = APIGatewayHttpRouter()


@router.post("/api/v1/imports")
def import_labels() -> tuple[dict[str, Any], int]:
    """Read label files that are in the storage and register what they say of its images: answers the task. Scope: write."""
    caller, body = principal(router, "write"), json_body(router)
    task_id = claimed_id(router, caller.tenant, "import", body)
    return mapping.task(services().importing.request(caller.tenant, body, task_id, caller.clearance)), 202


@router.post("/api/v1/datasets/<dataset_id>/exports")
def export_dataset(dataset_id: str) -> tuple[dict[str, Any], int]:
    """Pack a built version in another format: answers a task whose files have links. Scope: read."""
    caller, body = principal(router, "read"), json_body(router)
    task_id = claimed_id(router, caller.tenant, "export_dataset", body | {"dataset_id": dataset_id})
    task = services().exporting.request(caller.tenant, dataset_id, body, task_id, caller.clearance)
    return mapping.task(task), 202


@router.get("/api/v1/formats")
def list_formats() -> dict[str, Any]:
    """What can be imported and exported, and which annotation types each format can say. Scope: read."""
    # Only here: a cold start does not pay for it.
    from dataloop.catalog.formats import FORMATS

    tenant(router, "read")
    return {"items": [asdict(entry) | {"kinds": list(entry.kinds)} for entry in FORMATS.values()]}
