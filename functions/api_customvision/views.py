"""What a request for images looks at: the workspace or an iteration, which of its images, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from api_customvision import filters, mapping, requests
from api_customvision.context import services
from dataloop.domain.errors import NotFound
from dataloop.domain.projects import Image, Project
from dataloop.domain.terms import EVERYTHING, TAGGED, AllOf, AnyOf, Except, ImageQuery, Query, Term, tag_term

if TYPE_CHECKING:
    from dataloop.services.browsing import ImageSource

MAX_PAGE = 256  # "Maximum number of images to return"
DEFAULT_PAGE = 50
# "Number of images to skip": ours is the largest number of images that a project can have had.
MAX_SKIP = (1 << 32) - 1
MAX_TAGS = 20  # "Limit of 20", of pages
MAX_TAGS_OF_COUNTS = 500  # none is given for counts: the tags of a whole project
STATUSES = ("All", "Tagged", "Untagged")
ORDERS = ("Newest", "Oldest")


@dataclass(frozen=True, slots=True)
class View:
    """The images of a workspace or of an iteration. names: of its tags, by id."""

    source: ImageSource
    names: Mapping[str, str]

    def shown(self, images: list[Image]) -> list[dict[str, Any]]:
        renditions = services().renditions
        return [mapping.image(each, self.names, renditions.links_of(each)) for each in images]

    def page(self, query: ImageQuery) -> list[dict[str, Any]]:
        return self.shown(services().browsing.page(self.source, query))

    def count(self, where: Query) -> int:
        return services().browsing.count(self.source, where)


def view(router: APIGatewayHttpRouter, project: Project) -> View:
    """The workspace, or the iteration that `iterationId` names, as it was trained on. Raises Refused, NotFound."""
    iteration_id = requests.id(router, "iterationId")
    if iteration_id is None:
        names = {tag.id: tag.name for tag in services().projects.tags(project)}
        return View(services().browsing.workspace(project), names)
    iteration = services().iterating.get(project, iteration_id)
    names = {str(tag["id"]): str(tag["name"]) for tag in iteration.tags}
    return View(services().snapshots.open(iteration), names)


def wanted(router: APIGatewayHttpRouter, names: Mapping[str, str], most: int = MAX_TAGS) -> Query:
    """taggingStatus, tagIds and $filter: what all three let through. Raises Refused, NotFound(tag)."""
    status = requests.word(router, "taggingStatus", STATUSES)
    parts = [] if status in (None, "All") else [_of_status(is_tagged=status == "Tagged")]
    parts += with_tags(router, names, most)
    expression = requests.text(router, "$filter") or requests.text(router, "filter")
    if expression:
        parts.append(filters.parse(expression))
    return _all_of(parts)


def tagged(router: APIGatewayHttpRouter, names: Mapping[str, str], most: int = MAX_TAGS) -> Query:
    """Images with a tag, or with one of `tagIds`. Raises Refused, NotFound(tag)."""
    return _all_of(with_tags(router, names, most) or [_of_status(is_tagged=True)])


def untagged() -> Query:
    return _of_status(is_tagged=False)


def with_tags(router: APIGatewayHttpRouter, names: Mapping[str, str], most: int = MAX_TAGS) -> list[Query]:
    """Images that have any of `tagIds`. Raises Refused, NotFound(tag)."""
    tag_ids = requests.ids(router, "tagIds", most)
    for tag_id in tag_ids:
        if tag_id not in names:
            raise NotFound("tag", tag_id)
    return [AnyOf(tuple(Term(tag_term(each)) for each in tag_ids))] if tag_ids else []


def page(router: APIGatewayHttpRouter, where: Query) -> ImageQuery:
    """orderBy, skip and take. Raises Refused."""
    return ImageQuery(
        where,
        newest_first=requests.word(router, "orderBy", ORDERS) != "Oldest",
        skip=requests.integer(router, "skip", 0, MAX_SKIP, 0),
        take=requests.integer(router, "take", 0, MAX_PAGE, DEFAULT_PAGE),
    )


def _of_status(*, is_tagged: bool) -> Query:
    return Term(TAGGED) if is_tagged else Except(Term(TAGGED))


def _all_of(parts: list[Query]) -> Query:
    if not parts:
        return EVERYTHING
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))
