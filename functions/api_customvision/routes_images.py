"""Images of a project: pages, counts, tags, regions, metadata, deletion."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import mapping_images as mapping
from api_customvision import requests, requests_images, views, wire
from api_customvision.context import project, services

router = APIGatewayHttpRouter()
IMAGES = "/training/projects/<project_id>/images"


@router.get(IMAGES)
def get_images(project_id: str) -> list[dict[str, Any]]:
    """A page of the images that taggingStatus, tagIds (any of them) and $filter let through. Scope: read."""
    _, owner = project(router, "read", project_id)
    view = views.view(router, owner)
    return view.page(views.page(router, views.wanted(router, view.names)))


@router.get(f"{IMAGES}/count")
def get_image_count(project_id: str) -> Response[str]:
    """How many images taggingStatus, tagIds and $filter let through. Scope: read."""
    _, owner = project(router, "read", project_id)
    view = views.view(router, owner)
    return wire.plain(view.count(views.wanted(router, view.names, views.MAX_TAGS_OF_COUNTS)))


@router.get(f"{IMAGES}/id")
def get_images_by_ids(project_id: str) -> list[dict[str, Any]]:
    """Up to 256 images by id, in the order asked; ids that the project does not know are left out. Scope: read."""
    _, owner = project(router, "read", project_id)
    view, ids = views.view(router, owner), requests.ids(router, "imageIds", views.MAX_PAGE)
    return view.shown(services().browsing.by_ids(view.source, ids))


@router.get(f"{IMAGES}/tagged")
def get_tagged_images(project_id: str) -> list[dict[str, Any]]:
    """A page of the images with a tag, or with any of tagIds. Scope: read."""
    _, owner = project(router, "read", project_id)
    view = views.view(router, owner)
    return view.page(views.page(router, views.tagged(router, view.names)))


@router.get(f"{IMAGES}/tagged/count")
def get_tagged_image_count(project_id: str) -> Response[str]:
    """How many images have a tag, or any of tagIds. Scope: read."""
    _, owner = project(router, "read", project_id)
    view = views.view(router, owner)
    return wire.plain(view.count(views.tagged(router, view.names, views.MAX_TAGS_OF_COUNTS)))


@router.get(f"{IMAGES}/untagged")
def get_untagged_images(project_id: str) -> list[dict[str, Any]]:
    """A page of the images without a tag. Scope: read."""
    _, owner = project(router, "read", project_id)
    return views.view(router, owner).page(views.page(router, views.untagged()))


@router.get(f"{IMAGES}/untagged/count")
def get_untagged_image_count(project_id: str) -> Response[str]:
    """How many images have no tag. Scope: read."""
    _, owner = project(router, "read", project_id)
    return wire.plain(views.view(router, owner).count(views.untagged()))


@router.post(f"{IMAGES}/tags")
def create_image_tags(project_id: str) -> dict[str, Any]:
    """Give tags to images; what an image has already, and what is too much for it, is said. Scope: write."""
    _, owner = project(router, "write", project_id)
    pairs = requests_images.pairs(requests.body(router))
    return mapping.tagged(services().tagging.tag(owner, pairs))


@router.delete(f"{IMAGES}/tags")
def delete_image_tags(project_id: str) -> Response[str]:
    """Take tags off images, with the regions that have them. Scope: write."""
    _, owner = project(router, "write", project_id)
    image_ids, tag_ids = requests_images.untagging(router)
    services().tagging.untag(owner, image_ids, tag_ids)
    return wire.nothing()


@router.post(f"{IMAGES}/regions")
def create_image_regions(project_id: str) -> tuple[dict[str, Any], int]:
    """Give regions to images: 200 when all were made, 207 when some are said to be too many. Scope: write."""
    _, owner = project(router, "write", project_id)
    entries = requests_images.regions(requests.body(router))
    names = {tag.id: tag.name for tag in services().projects.tags(owner)}
    found = services().tagging.add_regions(owner, entries)
    return mapping.regions(found, names), 207 if found.exceeded else 200


@router.delete(f"{IMAGES}/regions")
def delete_image_regions(project_id: str) -> Response[str]:
    """Take regions off their images; one that is not there is gone already. Scope: write."""
    _, owner = project(router, "write", project_id)
    ids = requests_images.needed_ids(router, "regionIds", requests_images.MAX_BATCH)
    services().tagging.delete_regions(owner, ids)
    return wire.nothing()


@router.post(f"{IMAGES}/metadata")
def update_image_metadata(project_id: str) -> tuple[dict[str, Any], int]:
    """Merge keys and values into the metadata of images: 207 when it did not work for some. Scope: write."""
    _, owner = project(router, "write", project_id)
    ids = requests_images.needed_ids(router, "imageIds", views.MAX_PAGE)
    found = services().tagging.set_metadata(owner, ids, requests_images.metadata(requests.body(router)))
    answer = mapping.metadata(found)
    return answer, 200 if answer["isBatchSuccessful"] else 207


@router.delete(IMAGES)
def delete_images(project_id: str) -> Response[str]:
    """Delete images from the workspace (204); all of them, or from every iteration too, goes on after a 202. Scope: write."""
    _, owner = project(router, "write", project_id)
    wish = requests_images.deletion(router)
    if wish.image_ids is not None and not wish.everywhere:
        services().tagging.delete_images(owner, wish.image_ids)
        return wire.nothing()
    services().projects.delete_images(owner, image_ids=wish.image_ids, all_iterations=wish.everywhere)
    return wire.nothing(202)
