"""Search over raw data; saved queries, and datasets made from them."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_sdk import mapping, wire
from api_sdk.context import claimed_id, principal, services, tenant
from edge.request import json_body, page

router = APIGatewayHttpRouter()


@router.post("/api/v1/raw-data/search")
def search_raw_data() -> dict[str, Any]:
    """Files that match, page after page; reads nothing but what it finds. Scope: read."""
    caller, body = principal(router, "read"), json_body(router)
    limit, cursor = wire.page_of(body)
    found = services().searching.page(caller.tenant, body.get("where"), limit, cursor, caller.clearance)
    return {"items": [mapping.found(hit) for hit in found.found], "cursor": found.cursor, "scanned": found.scanned}


@router.post("/api/v1/queries")
def create_query() -> tuple[dict[str, Any], int]:
    """Save a search under a name. Scope: write."""
    owner, body = tenant(router, "write"), json_body(router)
    return mapping.query(services().searching.save(owner, body, claimed_id(router, owner, "create_query", body))), 201


@router.get("/api/v1/queries")
def list_queries() -> dict[str, Any]:
    """Saved queries, newest first. Scope: read."""
    owner, (limit, cursor) = tenant(router, "read"), page(router)
    queries, following = services().searching.queries(owner, limit, cursor)
    return {"items": [mapping.query(query) for query in queries], "cursor": following}


@router.get("/api/v1/queries/<query_id>")
def get_query(query_id: str) -> dict[str, Any]:
    """One saved query. Scope: read."""
    return mapping.query(services().searching.get(tenant(router, "read"), query_id))


@router.put("/api/v1/queries/<query_id>")
def change_query(query_id: str) -> dict[str, Any]:
    """Other conditions under the same name. Scope: write."""
    return mapping.query(services().searching.change(tenant(router, "write"), query_id, json_body(router)))


@router.delete("/api/v1/queries/<query_id>")
def delete_query(query_id: str) -> dict[str, Any]:
    """Forget a saved query; datasets made from it stay. Scope: write."""
    services().searching.remove(tenant(router, "write"), query_id)
    return {"query_id": query_id, "deleted": True}


@router.post("/api/v1/queries/<query_id>/datasets")
def dataset_of_query(query_id: str) -> tuple[dict[str, Any], int]:
    """A new draft of the annotations that the query finds now: answers the task. Scope: write."""
    owner, body = tenant(router, "write"), json_body(router)
    task_id = claimed_id(router, owner, "query_dataset", {"query_id": query_id} | body)
    return mapping.task(services().querying.request(owner, query_id, body, task_id)), 202
