"""What requests about tags, regions, metadata and deletions of images say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import requests
from api_customvision.faults import Refused
from dataloop.domain.image_changes import NewRegion

MAX_BATCH = 64  # "Limited to 64" images, regions and entries of a batch
MAX_DELETED = 256  # "Limited to 256 images per batch"
MAX_TAGS = 20  # "Limited to 20 tags"
MAX_PAIRS = 1_280  # 64 images, 20 tags each: ours, of create_image_tags; Microsoft gives no number


@dataclass(frozen=True, slots=True)
class Deletion:
    """Which images go, None for all; everywhere: from the iterations too."""

    image_ids: tuple[str, ...] | None
    everywhere: bool


def needed_ids(router: APIGatewayHttpRouter, name: str, most: int) -> tuple[str, ...]:
    """At least one id. Raises Refused."""
    found = requests.ids(router, name, most)
    if not found:
        raise Refused("BadRequestRequiredParamIsNull", f"{name}: at least one is needed")
    return found


def pairs(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(image, tag) of every entry, each once. Raises Refused."""
    entries = requests.entries(body, "tags", MAX_PAIRS)
    found = [
        (
            requests.guid(entry.get("imageId"), f"tags[{at}].imageId"),
            requests.guid(entry.get("tagId"), f"tags[{at}].tagId"),
        )
        for at, entry in enumerate(entries)
    ]
    return list(dict.fromkeys(found))


def untagging(router: APIGatewayHttpRouter) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(images, tags). Raises Refused."""
    return needed_ids(router, "imageIds", MAX_BATCH), needed_ids(router, "tagIds", MAX_TAGS)


def regions(body: Mapping[str, Any]) -> list[NewRegion]:
    """Raises Refused."""
    return [
        NewRegion(
            requests.guid(entry.get("imageId"), f"regions[{at}].imageId"),
            requests.guid(entry.get("tagId"), f"regions[{at}].tagId"),
            *requests.box(entry, f"regions[{at}]"),
        )
        for at, entry in enumerate(requests.entries(body, "regions", MAX_BATCH))
    ]


def metadata(body: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and values; null takes a key away. Raises Refused."""
    if not body:
        raise Refused("BadRequestRequiredParamIsNull", "metadata: at least one key is needed")
    return dict(body)


def deletion(router: APIGatewayHttpRouter) -> Deletion:
    """Either imageIds or allImages. Raises Refused."""
    ids = requests.ids(router, "imageIds", MAX_DELETED)
    are_all = requests.boolean(router, "allImages", default=False)
    if are_all == bool(ids):
        raise Refused("BadRequestRequiredParamIsNull", "imageIds, allImages: one of the two is needed, and not both")
    return Deletion(None if are_all else ids, requests.boolean(router, "allIterations", default=False))
