"""Answers about tags, regions and metadata of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api_customvision.mapping import Json, region
from dataloop.domain.image_changes import AddedRegions, MetadataSet, NewRegion, Tagged

METADATA_STATUSES = {"ok": "OK", "not_found": "ErrorImageNotFound", "exceeded": "ErrorLimitExceed"}


def tagged(found: Tagged) -> Json:
    return {name: _pairs(getattr(found, name)) for name in ("created", "duplicated", "exceeded")}


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[Json]:
    return [{"imageId": image_id, "tagId": tag_id} for image_id, tag_id in pairs]


def regions(found: AddedRegions, names: Mapping[str, str]) -> Json:
    return {
        "created": [{"imageId": id, **region(each, names.get(each.tag_id, ""))} for id, each in found.created],
        "duplicated": [_entry(each) for each in found.duplicated],
        "exceeded": [_entry(each) for each in found.exceeded],
    }


def _entry(asked: NewRegion) -> Json:
    sides: dict[str, Any] = {name: getattr(asked, name) for name in ("left", "top", "width", "height")}
    return {"imageId": asked.image_id, "tagId": asked.tag_id, **sides}


def metadata(found: Sequence[MetadataSet]) -> Json:
    return {
        "isBatchSuccessful": all(each.status == "ok" for each in found),
        "images": [
            {"imageId": each.image_id, "status": METADATA_STATUSES[each.status], "metadata": dict(each.metadata)}
            for each in found
        ],
    }
