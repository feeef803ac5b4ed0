"""New images: from bytes, base64 files, URLs and stored predictions. Up to 64 a request, each with its own answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_uploads, multipart, requests
from api_customvision.context import project, services
from api_customvision.faults import Refused
from dataloop.domain.image_changes import MAX_ADDED, MAX_TAGS_ADDED, NewImage
from dataloop.domain.principals import Principal
from dataloop.domain.projects import Project
from edge.request import json_body

router = APIGatewayHttpRouter()
IMAGES = "/training/projects/<project_id>/images"

BAD_BATCH = "BadRequestImageBatch"
BAD_URL = "BadRequestImageUrl"
# 64 images of 6 MB as base64, and a megabyte of words. That much comes on one machine only: on AWS a request ends at 6 MB.
MAX_FILES_BODY_BYTES = 513 * 1024 * 1024
# Of one entry, as it is read; what an image may have is the project's rule.
MAX_REGIONS = 10_000

Answer = tuple[dict[str, Any], int]
Read = Callable[[], bytes]


@router.post(IMAGES)
def create_images_from_data(project_id: str) -> Answer:
    """Images as parts of multipart/form-data, or one as application/octet-stream. Scope: write."""
    caller, owner = project(router, "write", project_id)
    tag_ids = requests.ids(router, "tagIds", MAX_TAGS_ADDED)
    parts = multipart.images(router)
    _check_count(len(parts))
    entries = [NewImage(_source(part.file_name, index), _given(part.data)) for index, part in enumerate(parts)]
    return _added(caller, owner, entries, tag_ids, None)


@router.post(f"{IMAGES}/files")
def create_images_from_files(project_id: str) -> Answer:
    """Images as base64 in JSON, with tags and regions each. Scope: write."""
    caller, owner = project(router, "write", project_id)
    return _batch(caller, owner, json_body(router, MAX_FILES_BODY_BYTES), _file)


@router.post(f"{IMAGES}/urls")
def create_images_from_urls(project_id: str) -> Answer:
    """Images that are fetched from public URLs. Scope: write."""
    caller, owner = project(router, "write", project_id)
    reader = services().adding.url_reader()

    def url(entry: requests.Json, place: str) -> tuple[str, Read]:
        found = entry.get("url")
        if not isinstance(found, str) or not found:
            raise Refused(BAD_URL, f"{place}.url: is needed (got {str(found)[:100]!r})")
        return found, reader(found)

    return _batch(caller, owner, requests.body(router), url)


@router.post(f"{IMAGES}/predictions")
def create_images_from_predictions(project_id: str) -> Answer:
    """Images that predictions were asked about, and that were stored then. Scope: write."""
    caller, owner = project(router, "write", project_id)

    def prediction(entry: requests.Json, place: str) -> tuple[str, Read]:
        found = requests.guid(entry.get("id"), f"{place}.id")
        return found, lambda: services().stored_predictions.content(owner, found)

    return _batch(caller, owner, requests.body(router), prediction)


def _batch(
    caller: Principal,
    owner: Project,
    body: requests.Json,
    source: Callable[[requests.Json, str], tuple[str, Read]],
) -> Answer:
    """What the three JSON bodies share: images with tags and regions, tags and metadata for all of them."""
    batch = requests.optional_entries(body, "images", MAX_ADDED)
    _check_count(len(batch))
    tag_ids, metadata = requests.body_ids(body, "tagIds", MAX_TAGS_ADDED), requests.an_object(body, "metadata")
    entries = []
    for index, entry in enumerate(batch):
        place = f"images[{index}]"
        name, read = source(entry, place)
        own = requests.body_ids(entry, "tagIds", MAX_TAGS_ADDED)
        entries.append(NewImage(name or str(index), read, own, _regions(entry, place)))
    return _added(caller, owner, entries, tag_ids, metadata)


def _added(
    caller: Principal,
    owner: Project,
    entries: Sequence[NewImage],
    tag_ids: Sequence[str],
    metadata: requests.Json | None,
) -> Answer:
    seconds_left = router.lambda_context.get_remaining_time_in_millis() / 1000
    added = services().adding.add(owner, entries, tag_ids, metadata, caller.clearance, seconds_left)
    names = {tag.id: tag.name for tag in services().projects.tags(owner)}
    links = {each.image.id: services().renditions.links_of(each.image) for each in added if each.image is not None}
    return mapping_uploads.summary(added, names, links)


def _file(entry: requests.Json, place: str) -> tuple[str, Read]:
    contents = entry.get("contents")
    if not isinstance(contents, str) or not contents:
        raise Refused(BAD_BATCH, f"{place}.contents: the image's bytes are needed, as base64")
    try:
        data = base64.b64decode(contents, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(BAD_BATCH, f"{place}.contents: is not valid base64: {error}") from error
    return requests.body_text(entry, "name") or "", _given(data)


def _given(data: bytes) -> Read:
    return lambda: data


def _regions(entry: requests.Json, place: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    found = []
    for index, region in enumerate(requests.optional_entries(entry, "regions", MAX_REGIONS)):
        at = f"{place}.regions[{index}]"
        found.append((requests.guid(region.get("tagId"), f"{at}.tagId"), requests.box(region, at)))
    return found


def _check_count(count: int) -> None:
    if count == 0:
        raise Refused(BAD_BATCH, "images: at least one is needed")
    if count > MAX_ADDED:
        raise Refused("BadRequestExceededBatchSize", f"images: at most {MAX_ADDED}, got {count}")


def _source(file_name: str, index: int) -> str:
    """What the answer calls a part: its name in quotes, as its header has it, or its number."""
    return f'"{file_name}"' if file_name else str(index)
