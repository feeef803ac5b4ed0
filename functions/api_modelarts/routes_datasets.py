"""Datasets: list (seed 003), create, get, change, delete."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_modelarts import listing, mapping, requests, wire
from api_modelarts.context import entity, places, principal, query, services
from api_modelarts.vocabulary import dataset_type
from dataloop.services.surveying import Details
from edge.request import json_body

router = APIGatewayHttpRouter()

# "每个数据集返回4个": images of a preview.
PREVIEW = 4


@router.get("/v2/<project_id>/datasets")
def list_datasets(project_id: str) -> Response[str]:
    """Seed 003. Datasets, filtered, ordered and cut into pages; offset counts pages. Scope: read."""
    caller, wish = principal(router, "read", project_id), listing.read(query(router))
    page, total = listing.page(services().surveying, caller.tenant, wish)
    details = Details(wish.running_kinds, PREVIEW if wish.file_preview else 0)
    found = services().surveying.complete(caller.tenant, page, details, caller.clearance)
    shown = [mapping.dataset(survey, places(), with_labels=wish.with_labels) for survey in found]
    return wire.sized({"total_number": total, "datasets": shown})


@router.post("/v2/<project_id>/datasets")
def create_dataset(project_id: str) -> tuple[dict[str, Any], int]:
    """`CreateDataset`: from a folder of the raw bucket, or empty. Scope: write."""
    caller = principal(router, "write", project_id)
    wish = requests.new_dataset(json_body(router), places())
    made = services().collecting.create(
        caller.tenant,
        wish.name,
        wish.info,
        folder=wish.folder,
        with_labels=wish.with_labels,
        clearance=caller.clearance,
    )
    return {"dataset_id": made.id, "import_task_id": made.info.get("import_task_id", "")}, 201


@router.get("/v2/<project_id>/datasets/<dataset_id>")
def get_dataset(project_id: str, dataset_id: str) -> dict[str, Any]:
    """`DescDataset`: one dataset with its labels. Scope: read."""
    caller, wanted = principal(router, "read", project_id), Details(listing.running_kinds(query(router)))
    id = entity(dataset_id, "dataset")
    survey = services().surveying.look(caller.tenant, id, wanted, caller.clearance)
    return mapping.dataset(survey, places(), with_labels=True)


@router.put("/v2/<project_id>/datasets/<dataset_id>")
def update_dataset(project_id: str, dataset_id: str) -> dict[str, Any]:
    """`UpdateDataset`: description, labels, current version. Scope: write."""
    caller, id = principal(router, "write", project_id), entity(dataset_id, "dataset")
    survey = services().surveying.look(caller.tenant, id, Details(), caller.clearance)
    dataset = survey.dataset
    known = list(dataset.info.get("labels", []))
    found, current = requests.changes(json_body(router), dataset.name, known, dataset_type(survey))
    if current is not None:
        current = entity(current, "dataset version")
    services().collecting.change(dataset, found, current_version_id=current)
    return {"dataset_id": id}


@router.delete("/v2/<project_id>/datasets/<dataset_id>")
def delete_dataset(project_id: str, dataset_id: str) -> Response[str]:
    """`DeleteDataset`: with its versions, not with the images. Refused while something needs it. Scope: write."""
    caller, id = principal(router, "write", project_id), entity(dataset_id, "dataset")
    services().surveying.look(caller.tenant, id, Details(), caller.clearance)
    services().removing.delete_dataset(caller.tenant, id, by=caller.key_id)
    return Response(status_code=204, body="")
