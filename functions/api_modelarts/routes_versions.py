"""Versions of a dataset: list, publish, get, delete; and its labels."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_modelarts import labels, listing, mapping, requests, wire
from api_modelarts.context import entity, places, principal, query, services
from api_modelarts.vocabulary import ANNOTATION_TYPES, dataset_type, train_share
from dataloop.domain.errors import InvalidInput
from dataloop.services.surveying import Details
from edge.request import json_body

router = APIGatewayHttpRouter()

STATUSES = range(5)


@router.get("/v2/<project_id>/datasets/<dataset_id>/versions")
def list_versions(project_id: str, dataset_id: str) -> Response[str]:
    """`ListDatasetVersions`: newest first, by status, split ratio and format. Scope: read."""
    caller, id, asked = principal(router, "read", project_id), entity(dataset_id, "dataset"), query(router)
    survey = services().surveying.look(caller.tenant, id, Details(), caller.clearance)
    low, high = wire.query_ratios(asked, "train_evaluate_ratio") or (0.0, 1.0)
    status = wire.query_choice(asked, "status", STATUSES)
    is_format = wire.query_choice(asked, "version_format", listing.VERSION_FORMATS) in (None, 0)
    fitting = [each for each in survey.versions if is_format and low <= train_share(each) <= high]
    shown = [mapping.version(survey, each, places()) for each in fitting]
    shown = [each for each in shown if status in (None, each["status"])]
    return wire.sized({"total_number": len(shown), "versions": shown})


@router.post("/v2/<project_id>/datasets/<dataset_id>/versions")
def create_version(project_id: str, dataset_id: str) -> tuple[dict[str, Any], int]:
    """`CreateDatasetVersion`: freeze the annotations gathered so far, and build them. Scope: write."""
    caller, id = principal(router, "write", project_id), entity(dataset_id, "dataset")
    survey = services().surveying.look(caller.tenant, id, Details(), caller.clearance)
    if dataset_type(survey) not in ANNOTATION_TYPES:
        raise InvalidInput("dataset_type", "has no data here: such a dataset is kept and listed, not published")
    wish = requests.new_version(json_body(router), survey.dataset.name)
    version, _ = services().collecting.freeze(
        caller.tenant, id, wish.name, info=wish.info, split=wish.split, clearance=caller.clearance
    )
    return {"version_id": version.id}, 201


@router.get("/v2/<project_id>/datasets/<dataset_id>/versions/<version_id>")
def get_version(project_id: str, dataset_id: str, version_id: str) -> dict[str, Any]:
    """`DescribeDatasetVersion`. Scope: read."""
    caller = principal(router, "read", project_id)
    ids = entity(dataset_id, "dataset"), entity(version_id, "dataset version")
    survey, version = services().surveying.version(caller.tenant, *ids)
    return mapping.version(survey, version, places())


@router.delete("/v2/<project_id>/datasets/<dataset_id>/versions/<version_id>")
def delete_version(project_id: str, dataset_id: str, version_id: str) -> Response[str]:
    """`DeleteDatasetVersion`. Refused while it is built, or a model learnt from it. Scope: write."""
    caller = principal(router, "write", project_id)
    ids = entity(dataset_id, "dataset"), entity(version_id, "dataset version")
    services().surveying.version(caller.tenant, *ids)
    services().removing.delete_version(caller.tenant, ids[1], by=caller.key_id)
    return Response(status_code=204, body="")


@router.get("/v2/<project_id>/datasets/<dataset_id>/data-annotations/labels")
def list_labels(project_id: str, dataset_id: str) -> dict[str, Any]:
    """`ListLabels`: the declared ones, then those that annotations brought. Scope: read."""
    caller, id = principal(router, "read", project_id), entity(dataset_id, "dataset")
    survey = services().surveying.look(caller.tenant, id, Details(), caller.clearance)
    used = survey.current.report.get("labels", []) if survey.current else []
    return {"labels": labels.answered(survey.dataset.info.get("labels", []), used, dataset_type(survey))}
