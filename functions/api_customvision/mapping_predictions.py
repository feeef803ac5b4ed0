"""Predictions, stored ones and suggestions as the wire has them, and queries of them as the core has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api_customvision import requests
from api_customvision.faults import Refused
from api_customvision.mapping import TAG_TYPES, Json, Links
from dataloop.domain.predictions import PredictionQuery, Said, StoredPrediction, Suggestion, SuggestionQuery, TagRange
from dataloop.domain.projects import Image, Iteration, Project

if TYPE_CHECKING:
    from dataloop.services.proposing import Proposal
    from dataloop.services.suggesting_tags import SuggestionPage

ORDERS = {"Newest": "newest", "Oldest": "oldest", "Suggested": "suggested"}
SORTS = {"UncertaintyAscending": False, "UncertaintyDescending": True}
DEFAULT_COUNT = 50
MAX_TAG_IDS = 500  # as many as a project can have: each costs one read
_BAD_QUERY = "BadRequestPredictionInvalidQueryParameters"
_MOST = (1 << 31) - 1  # the wire's int32: how many are too many says the service


def info(project: Project, iteration: Iteration) -> dict[str, str]:
    """What of our own words a stored prediction keeps: the domain that the iteration was trained in."""
    return {"domain_id": iteration.info.get("domain_id") or project.info.get("domain_id", "")}


def said(found: Said) -> Json:
    answer: Json = {"probability": found.probability, "tagId": found.tag_id, "tagName": found.tag_name}
    if found.box is not None:
        answer["boundingBox"] = _box(found.box)
    return answer | {"tagType": TAG_TYPES[found.tag_kind]}


def image_prediction(found: StoredPrediction) -> Json:
    return {
        "id": found.id,
        "project": found.project_id,
        "iteration": found.iteration_id,
        "created": found.created_at,
        "predictions": [said(each) for each in found.predictions],
    }


def stored(found: StoredPrediction, links: Links) -> Json:
    return _uris(links) | {"domain": found.info.get("domain_id", "")} | image_prediction(found)


def suggestion(found: Suggestion) -> Json:
    """The id is the image's: whoever agrees tags the image by it."""
    return {
        "id": found.image_id,
        "project": found.project_id,
        "iteration": found.iteration_id,
        "created": found.created_at,
        "predictions": [said(each) for each in found.predictions],
        "predictionUncertainty": found.uncertainty,
    }


def stored_suggestion(found: Suggestion, image: Image, links: Links, domain_id: str) -> Json:
    return {
        "width": image.width,
        "height": image.height,
        **_uris(links),
        "domain": domain_id,
        **suggestion(found),
    }


def proposal(found: Proposal) -> Json:
    return {"confidence": found.confidence, "boundingBox": _box(found.box)}


def prediction_query(body: Json) -> PredictionQuery:
    """A PredictionQueryToken. Raises Refused."""
    entries = requests.optional_entries(body, "tags", _MOST)
    return PredictionQuery(
        start=requests.time(body, "startTime"),
        end=requests.time(body, "endTime"),
        iteration_id=requests.body_id(body, "iterationId"),
        application=requests.body_text(body, "application") or None,
        tags=tuple(_tag_range(entry, f"tags[{index}]") for index, entry in enumerate(entries)),
        order=ORDERS[requests.body_word(body, "orderBy", tuple(ORDERS), _BAD_QUERY) or "Newest"],
        count=_count(body),
        session=requests.body_text(body, "session") or None,
        continuation=requests.body_text(body, "continuation") or None,
    )


def prediction_token(query: PredictionQuery, session: str, continuation: str | None) -> Json:
    """The query as it was asked, with what leads to the next page. No continuation: there is none."""
    answer: Json = {
        "session": session,
        "continuation": continuation,
        "maxCount": query.count,
        "orderBy": next(word for word, order in ORDERS.items() if order == query.order),
        "tags": [{"id": each.tag_id, "minThreshold": each.low, "maxThreshold": each.high} for each in query.tags],
        "iterationId": query.iteration_id,
        "startTime": query.start,
        "endTime": query.end,
        "application": query.application,
    }
    return {name: value for name, value in answer.items() if value is not None}


def suggestion_query(body: Json) -> SuggestionQuery:
    """A SuggestedTagAndRegionQueryToken. Raises Refused."""
    return SuggestionQuery(
        tag_ids=requests.body_ids(body, "tagIds", MAX_TAG_IDS),
        threshold=requests.body_number(body, "threshold", 0, 1) or 0.0,
        most_uncertain_first=SORTS[requests.body_word(body, "sortBy", tuple(SORTS)) or "UncertaintyAscending"],
        count=_count(body),
        session=requests.body_text(body, "session") or None,
        continuation=requests.body_text(body, "continuation") or None,
    )


def suggestion_token(query: SuggestionQuery, page: SuggestionPage) -> Json:
    answer: Json = {
        "tagIds": list(query.tag_ids),
        "threshold": query.threshold,
        "session": page.session,
        "continuation": page.continuation,
        "maxCount": query.count,
        "sortBy": next(word for word, sort in SORTS.items() if sort == query.most_uncertain_first),
    }
    return {name: value for name, value in answer.items() if value is not None}


def _count(body: Json) -> int:
    """0 is what typed clients send for "not given"."""
    return requests.body_integer(body, "maxCount", 0, _MOST, 0) or DEFAULT_COUNT


def _tag_range(entry: Any, name: str) -> TagRange:
    tag_id = requests.guid(entry.get("id"), f"{name}.id")
    low = requests.body_number(entry, "minThreshold", 0, 1, _BAD_QUERY)
    high = requests.body_number(entry, "maxThreshold", 0, 1, _BAD_QUERY)
    if low is not None and high is not None and low > high:
        raise Refused(_BAD_QUERY, f"{name}: minThreshold {low:g} is above maxThreshold {high:g}")
    return TagRange(tag_id, 0.0 if low is None else low, 1.0 if high is None else high)


def _uris(links: Links) -> Json:
    return {
        "resizedImageUri": links.resized,
        "thumbnailUri": links.thumbnail,
        "originalImageUri": links.original,
    }


def _box(box: tuple[float, float, float, float]) -> Json:
    return dict(zip(("left", "top", "width", "height"), box, strict=True))
