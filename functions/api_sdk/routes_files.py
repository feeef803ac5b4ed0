"""The files of a built version."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk.context import principal, services

router = APIGatewayHttpRouter()


@router.get("/api/v1/datasets/<dataset_id>/files")
def files_of(dataset_id: str) -> dict[str, Any]:
    """Links to the files of a built version (docs/manifest.md), with their digests. Scope: read."""
    caller = principal(router, "read")
    version, format, files = services().manifest_files.of_version(caller.tenant, dataset_id, caller.clearance)
    return {"dataset_id": version.id, "digest": version.digest, "format": format, "files": files}
