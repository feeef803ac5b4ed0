"""Performance as the wire has it. Every number is a number: where there is nothing to divide by it is 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from api_customvision.mapping import Json, Links, tags_and_regions
from dataloop.domain.performance import Measure

if TYPE_CHECKING:
    from dataloop.services.performing import Answer, Performance, TestedImage

SIDES = ("left", "top", "width", "height")


def performance(found: Performance) -> Json:
    """An IterationPerformance; precision, recall and their deviations are shares, 0 to 1."""
    per_tag = [{"id": id, "name": name, **_measure(measure)} for id, name, measure in found.tags]
    return {"perTagPerformance": per_tag, **_measure(found.overall)}


def image(found: TestedImage, names: Mapping[str, str], types: Mapping[str, str], links: Links) -> Json:
    """An ImagePerformance. types: of the tags, in the service's words, by id."""
    return {
        "predictions": [_answer(each, names, types) for each in found.answers],
        "id": found.image.id,
        "created": found.image.created_at,
        "width": found.image.width,
        "height": found.image.height,
        "imageUri": links.resized,
        "thumbnailUri": links.thumbnail,
        **tags_and_regions(found.image, names),
    }


def _measure(found: Measure) -> Json:
    return {
        "precision": found.precision or 0.0,
        "precisionStdDeviation": found.precision_deviation or 0.0,
        "recall": found.recall or 0.0,
        "recallStdDeviation": found.recall_deviation or 0.0,
        "averagePrecision": found.average_precision or 0.0,
    }


def _answer(said: Answer, names: Mapping[str, str], types: Mapping[str, str]) -> Json:
    answer: Json = {
        "probability": said.probability,
        "tagId": said.tag_id,
        "tagName": names[said.tag_id],
        "tagType": types[said.tag_id],
    }
    if said.box is not None:
        answer["boundingBox"] = dict(zip(SIDES, said.box, strict=True))
    return answer
