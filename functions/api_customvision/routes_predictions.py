"""Stored predictions: query and delete."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_predictions as mapping
from api_customvision import requests, wire
from api_customvision.context import project, services
from api_customvision.faults import Refused
from dataloop.domain.predictions import MAX_IDS

router = APIGatewayHttpRouter()


@router.post("/training/projects/<project_id>/predictions/query")
def query_predictions(project_id: str) -> dict[str, Any]:
    """A page of stored predictions, and the token of the next. Scope: read."""
    _, found = project(router, "read", project_id)
    query = mapping.prediction_query(requests.body(router))
    page = services().prediction_queries.query(found, query)
    links = services().stored_predictions.links
    return {
        "token": mapping.prediction_token(query, page.session, page.continuation),
        "results": [mapping.stored(each, links(each)) for each in page.predictions],
    }


@router.delete("/training/projects/<project_id>/predictions")
def delete_prediction(project_id: str) -> Response[str]:
    """Delete up to 64 stored predictions with their images; what is not there is no error. Scope: write."""
    _, found = project(router, "write", project_id)
    ids = requests.ids(router, "ids", MAX_IDS, "BadRequestPredictionIdsExceededCount")
    if not ids:
        raise Refused("BadRequestPredictionIdsMissing", "ids: at least one is needed")
    services().stored_predictions.delete(found, ids)
    return wire.nothing()
