"""Uploads, files, raw data and annotations (seed 000: upload_file, upload_raw_data, upload_annotated_data, download_*)."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import faults, mapping, wire
from api_sdk.context import principal, services, tenant
from dataloop.domain.errors import DomainError, InvalidInput
from dataloop.domain.ids import check_uid
from edge.request import base_url, json_body, page, query

router = APIGatewayHttpRouter()


@router.post("/api/v1/uploads")
def plan_uploads() -> dict[str, Any]:
    """A presigned form per file, or what is wrong with it. Scope: write."""
    owner, requests = tenant(router, "write"), wire.upload_requests(json_body(router))
    plans, base = services().uploading.plan(owner, requests), base_url(router)
    return {"results": [_either(plan, lambda found: mapping.upload_plan(found, base)) for plan in plans]}


def _either(result: Any, render: Any) -> dict[str, Any]:
    return faults.item(result) if isinstance(result, DomainError) else render(result)


@router.post("/api/v1/raw-data")
def register_raw_data() -> dict[str, Any]:
    """Seed 000 `upload_raw_data`. Scope: write."""
    caller = principal(router, "write")
    raw = services().registering.register_metadata(caller.tenant, json_body(router), caller.clearance)
    return {"raw_data_id": raw.uid}


@router.post("/api/v1/raw-data/batch")
def register_raw_data_batch() -> dict[str, Any]:
    """Up to a hundred, each with its own answer. Scope: write."""
    caller, items = principal(router, "write"), wire.batch(json_body(router))
    results = services().registering.register_metadata_batch(caller.tenant, items, caller.clearance)
    return {"results": [_either(result, lambda raw: {"raw_data_id": raw.uid}) for result in results]}


@router.get("/api/v1/raw-data")
def list_raw_data() -> dict[str, Any]:
    """Raw data whose object came last on a day (default: today, UTC). Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    day = (query(router, "day") or services().clock.text()[:10]).replace("-", "")
    if len(day) != 8 or not day.isascii() or not day.isdigit():
        raise InvalidInput("day", "must be yyyy-mm-dd", query(router, "day"))
    found, following = services().registering.of_day(owner, day, limit, cursor)
    return {"items": [mapping.raw_data(raw) for raw in found], "cursor": following}


@router.get("/api/v1/raw-data/<uid>")
def get_raw_data(uid: str) -> dict[str, Any]:
    """One record with the ids of its annotations. Scope: read."""
    caller = principal(router, "read")
    raw = services().registering.get(caller.tenant, check_uid(uid), caller.clearance)
    return mapping.raw_data(raw) | {"annotation_ids": services().registering.annotation_ids(caller.tenant, uid)}


@router.get("/api/v1/raw-data/<uid>/annotations")
def annotations_of(uid: str) -> dict[str, Any]:
    """What is said of a file, in order of ids. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    ids = [id for id in services().registering.annotation_ids(owner, check_uid(uid)) if id > (cursor or "")]
    found, following = services().annotating.page(owner, ids, limit)
    return {"items": [mapping.annotation(entry) for entry in found], "cursor": following}


@router.post("/api/v1/annotations")
def register_annotation() -> dict[str, Any]:
    """Seed 000 `upload_annotated_data`. Scope: write."""
    caller = principal(router, "write")
    annotation = services().annotating.register(caller.tenant, json_body(router), caller.clearance)
    return {"annotation_data_id": annotation.id}


@router.post("/api/v1/annotations/batch")
def register_annotations() -> dict[str, Any]:
    """Up to a hundred, each with its own answer. Scope: write."""
    caller, bodies = principal(router, "write"), wire.batch(json_body(router))
    results = services().annotating.register_batch(caller.tenant, bodies, caller.clearance)
    return {"results": [_either(result, lambda found: {"annotation_data_id": found.id}) for result in results]}


@router.get("/api/v1/annotations/<annotation_id>")
def get_annotation(annotation_id: str) -> dict[str, Any]:
    """One annotation as it was sent. Scope: read."""
    return mapping.annotation(services().annotating.get(tenant(router, "read"), annotation_id))


@router.get("/api/v1/files/<uid>/link")
def link_of(uid: str) -> dict[str, Any]:
    """A link for 15 minutes that needs no key. Scope: read."""
    caller = principal(router, "read")
    raw, url, file_name = services().uploading.link_by_uid(caller.tenant, check_uid(uid), caller.clearance)
    facts = raw.facts
    sha256, size = (facts.sha256, facts.size_bytes) if facts else (None, None)
    return {"url": url, "file_name": file_name, "size_bytes": size, "sha256": sha256}


@router.get("/api/v1/files/<uid>/content")
def content_of(uid: str) -> Response[str]:
    """The file itself, by redirect. Scope: read."""
    caller = principal(router, "read")
    _, url, _ = services().uploading.link_by_uid(caller.tenant, check_uid(uid), caller.clearance)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"}, body="")


@router.post("/api/v1/files/by-storage")
def link_by_storage() -> dict[str, Any]:
    """A link by (storage_id, bucket, object_name), as upload_file returned them. Scope: read."""
    caller, body = principal(router, "read"), json_body(router)
    names = body.get("storage_id"), body.get("bucket"), body.get("object_name")
    stored, url, file_name = services().uploading.link_by_storage(caller.tenant, *names, caller.clearance)
    return {"url": url, "file_name": file_name, "size_bytes": stored.size_bytes, "sha256": stored.sha256}
