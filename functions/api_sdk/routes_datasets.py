"""Datasets (seed 000: create_dataset, link_dataset, download_dataset)."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping
from api_sdk.context import claimed_id, principal, services, tenant
from edge.request import json_body, page, query

router = APIGatewayHttpRouter()


@router.post("/api/v1/datasets")
def create_dataset() -> tuple[dict[str, Any], int]:
    """Seed 000 `create_dataset`: dataset_id names one (name, version) pair. Scope: write."""
    owner, body = tenant(router, "write"), json_body(router)
    version = services().curating.create(owner, body, claimed_id(router, owner, "create_dataset", body))
    return {"dataset_id": version.id}, 201


@router.get("/api/v1/datasets")
def list_datasets() -> dict[str, Any]:
    """All versions, newest first. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    versions, following = services().curating.page(owner, limit, cursor)
    return {"items": [mapping.dataset(version) for version in versions], "cursor": following}


@router.get("/api/v1/datasets/lookup")
def find_dataset() -> dict[str, Any]:
    """By dataset_name and dataset_version. Scope: read."""
    owner = tenant(router, "read")
    found = services().curating.find(owner, query(router, "dataset_name"), query(router, "dataset_version"))
    return mapping.dataset(found)


@router.get("/api/v1/datasets/<dataset_id>")
def get_dataset(dataset_id: str) -> dict[str, Any]:
    """One version with its counts and its build report. Scope: read."""
    return mapping.dataset(services().curating.get(tenant(router, "read"), dataset_id))


@router.post("/api/v1/datasets/<dataset_id>/links")
def link_dataset(dataset_id: str) -> dict[str, Any]:
    """Seed 000 `link_dataset`: append annotations to a draft. Scope: write."""
    caller, body = principal(router, "write"), json_body(router)
    ids = body.get("annotation_id_list")
    segment = services().curating.link(caller.tenant, dataset_id, ids, caller.clearance)
    return {"dataset_id": dataset_id, "segment_id": segment.id, "linked": segment.count}


@router.post("/api/v1/datasets/<dataset_id>/build")
def build_dataset(dataset_id: str) -> tuple[dict[str, Any], int]:
    """Freeze a draft and build it: answers the task. Scope: write."""
    owner = tenant(router, "write")
    task_id = claimed_id(router, owner, "build", {"dataset_id": dataset_id})
    return mapping.task(services().building.request_build(owner, dataset_id, task_id=task_id)), 202


@router.post("/api/v1/datasets/<dataset_id>/download")
def download_dataset(dataset_id: str) -> tuple[dict[str, Any], int]:
    """The files and annotations of a version in one JSON file: answers a task whose result has the link. Scope: read."""
    caller = principal(router, "read")
    task = services().building.request_download(caller.tenant, dataset_id, caller.clearance)
    return mapping.task(task, services().building.download_link(task)), 202
