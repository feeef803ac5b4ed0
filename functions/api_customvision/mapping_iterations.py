"""Iterations on the wire, and what a request to train asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from api_customvision import domains, requests
from api_customvision.mapping_exports import PLATFORMS
from dataloop.domain.iterations import TrainingWish
from dataloop.domain.projects import Iteration

Json = dict[str, Any]

STATUSES = {"TRAINING": "Training", "COMPLETED": "Completed", "FAILED": "Failed"}
KINDS = {"Regular": "regular", "Advanced": "advanced"}
_KIND_WORDS = {kind: word for word, kind in KINDS.items()}
# A project has so many tags at most.
MAX_SELECTED = 500


def iteration(found: Iteration) -> Json:
    """trainedAt and the minutes only of one that has ended well; trainingErrorDetails only of one that has not."""
    info, is_done = found.info, found.status == "COMPLETED"
    answer: Json = {
        "id": found.id,
        "name": found.name,
        "status": STATUSES[found.status],
        "created": found.created_at,
        "lastModified": found.updated_at,
        "projectId": found.project_id,
        "exportable": is_done,
        "exportableTo": list(PLATFORMS) if is_done else [],
        "domainId": info.get("domain_id", domains.DEFAULT_ID),
        "trainingType": _KIND_WORDS[info.get("training", "regular")],
        "reservedBudgetInHours": int(info.get("budget_hours", 0)),
        "trainingTimeInMinutes": math.ceil(found.training_seconds / 60),
    }
    base = info.get("base")
    optional: Json = {
        "trainedAt": found.trained_at if is_done else None,
        "classificationType": info.get("classification_type"),
        "publishName": found.published.get("name"),
        "originalPublishResourceId": found.published.get("target"),
        "customBaseModelInfo": base and {"projectId": base["project_id"], "iterationId": base["iteration_id"]},
        "trainingErrorDetails": found.error or None,
    }
    return answer | {name: value for name, value in optional.items() if value is not None}


def wish(kind: str | None, budget_hours: int, force: bool, email: str | None, body: Mapping[str, Any]) -> TrainingWish:
    """The body is TrainingParameters or nothing. Raises Refused: BadRequest, BadRequestInvalidIds, …RequiredParamIsNull."""
    base = requests.an_object(body, "customBaseModelInfo")
    return TrainingWish(
        kind=KINDS[kind or "Regular"],
        budget_hours=budget_hours,
        force=force,
        email=email or "",
        tag_ids=requests.body_ids(body, "selectedTags", MAX_SELECTED),
        base=None
        if base is None
        else (requests.guid(base.get("projectId"), "projectId"), requests.guid(base.get("iterationId"), "iterationId")),
    )
