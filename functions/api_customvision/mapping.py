"""Core objects as the wire has them. Every answer is a plain JSON value; absent values are left out.

`names` gives a tag's name by its id: the project's tags for the workspace, an iteration's own for its images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dataloop.domain.projects import Image, Region, Tag

Json = dict[str, Any]

TAG_TYPES = {"regular": "Regular", "negative": "Negative", "general_product": "GeneralProduct"}


class Links(Protocol):
    """Signed URLs of one image, which open without a key."""

    @property
    def original(self) -> str: ...
    @property
    def resized(self) -> str: ...
    @property
    def thumbnail(self) -> str: ...


def tag(found: Tag) -> Json:
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "type": TAG_TYPES[found.kind],
        "imageCount": found.image_count,
    }


def image(found: Image, names: Mapping[str, str], links: Links) -> Json:
    """Tags and regions are left out where there are none, as the service does."""
    answer: Json = {
        "id": found.id,
        "created": found.created_at,
        "width": found.width,
        "height": found.height,
        "resizedImageUri": links.resized,
        "thumbnailUri": links.thumbnail,
        "originalImageUri": links.original,
    }
    answer |= tags_and_regions(found, names)
    if found.metadata:
        answer["metadata"] = dict(found.metadata)
    return answer


def tags_and_regions(found: Image, names: Mapping[str, str]) -> Json:
    """What images and image performances say of their labels. A tag that was deleted since is left out."""
    answer: Json = {}
    known = {tag_id: at for tag_id, at in found.all_tags.items() if tag_id in names}
    if known:
        answer["tags"] = [{"tagId": id, "tagName": names[id], "created": at} for id, at in known.items()]
    regions = [region(each, names[each.tag_id]) for each in found.regions if each.tag_id in names]
    if regions:
        answer["regions"] = regions
    return answer


def region(found: Region, tag_name: str) -> Json:
    return {"regionId": found.id, "tagName": tag_name, "created": found.created_at, **box(found), "tagId": found.tag_id}


def box(found: Region) -> Json:
    return {"left": found.left, "top": found.top, "width": found.width, "height": found.height}
