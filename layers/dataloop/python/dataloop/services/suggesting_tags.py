"""Tags for images that have none yet: asked of an iteration on request, and kept to be looked through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dataloop.domain.errors import DomainError, InvalidInput, LimitExceeded
from dataloop.domain.page_tokens import seal, unseal
from dataloop.domain.predictions import Suggestion, SuggestionQuery
from dataloop.domain.projects import Image, Iteration, Project, ordinal_of
from dataloop.domain.terms import ALL, TAGGED
from dataloop.repositories.suggestions import SuggestionRepository, TagSuggested
from dataloop.services.browsing import BrowsingService
from dataloop.services.clock import Clock
from dataloop.services.predicting import Runner
from dataloop.services.project_images import ProjectImages
from dataloop.services.project_predicting import ProjectPredictionService

MAX_IMAGES = 64  # Azure Custom Vision: images of one request
# Ours: 64 photographs of 12 million pixels, of which decoding takes 13 s (docs/inference.md); the function has 28 s.
MAX_PIXELS = 768_000_000
# Ours: an image is found by its 20 likeliest tags, and by none that is less probable.
MAX_TAGS = 20
LEAST_PROBABILITY = 0.01
MAX_PAGE = 256  # ours: as pages of images
_FIELD = "suggestion query"
_CHUNK = 16
_FORGOTTEN = 500


@dataclass(frozen=True, slots=True)
class SuggestionPage:
    """Suggestions with their images; continuation: for the next page, None at the end."""

    suggestions: tuple[tuple[Suggestion, Image], ...]
    session: str
    continuation: str | None


class TagSuggestionService:
    """An image that has got a tag is suggested no more, whatever was said of it before."""

    def __init__(
        self,
        repository: SuggestionRepository,
        predicting: ProjectPredictionService,
        images: ProjectImages,
        browsing: BrowsingService,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._predicting = predicting
        self._images = images
        self._browsing = browsing
        self._clock = clock

    def suggest(
        self, project: Project, iteration: Iteration, image_ids: Sequence[str], runner: Runner
    ) -> list[Suggestion]:
        """Ask the iteration about up to 64 images of the workspace, and keep what it says. Tagged ones are left out.

        Raises LimitExceeded (images, pixels), NotFound(image), InvalidInput(image), IllegalTransition(iteration).
        Cost: 1 batch read, 1 read, a GET an image, 1 write an image and one for each of its likeliest tags.
        """
        if len(image_ids) > MAX_IMAGES:
            raise LimitExceeded("images of a suggestion", MAX_IMAGES, len(image_ids))
        model = self._predicting.model(iteration)
        wanted = [image for image in self._images.get_many(project, image_ids) if not image.all_tags]
        pixels = sum(image.width * image.height for image in wanted)
        if pixels > MAX_PIXELS:
            raise LimitExceeded("pixels of the images (ask for fewer at once)", MAX_PIXELS, pixels)
        now = self._clock.text()
        found = []
        for image, content in self._contents(wanted):
            answer = self._predicting.run(iteration, model, content, runner)
            if isinstance(answer, DomainError):
                raise InvalidInput("image", str(answer), image.id)
            found.append(
                Suggestion(project.tenant, project.id, iteration.id, image.id, now, answer.said, answer.uncertainty)
            )
        tags = [tag for each in found for tag in _likeliest(each)]
        self._repository.put(found, tags, project.tenant, iteration.id)
        return found

    def _contents(self, images: Sequence[Image]) -> Iterator[tuple[Image, bytes]]:
        """Read side by side, so many at a time as memory holds."""
        with ThreadPoolExecutor(_CHUNK) as pool:
            for start in range(0, len(images), _CHUNK):
                chunk = images[start : start + _CHUNK]
                yield from zip(chunk, pool.map(self._images.content, chunk), strict=True)

    def query(self, project: Project, iteration: Iteration, query: SuggestionQuery) -> SuggestionPage:
        """A page of untagged images by their suggested tags, sorted by doubt.

        Raises InvalidInput(suggestion query), LimitExceeded(results of a suggestion query).
        Cost: 1 RRU per 40 suggestions of the tags, the term blocks `all` and `tagged`, 2 batch reads.
        """
        _check(query)
        tag_ids = query.tag_ids or tuple(str(tag["id"]) for tag in iteration.tags)
        order = -1 if query.most_uncertain_first else 1
        bound = [project.tenant, project.id, iteration.id, list(query.tag_ids), float(query.threshold), order]
        session = seal([], bound)
        if query.session is not None:
            unseal(query.session, _FIELD, bound)
        after = None if query.continuation is None else unseal(query.continuation, _FIELD, bound, float, str)
        doubts = {
            each.image_id: float(each.uncertainty)
            for tag_id in tag_ids
            for each in self._repository.of_tag(project.tenant, iteration.id, tag_id, query.threshold)
        }
        is_untagged = self._untagged(project)
        left = sorted((order * doubt, image_id) for image_id, doubt in doubts.items() if is_untagged(image_id))
        if after is not None:
            left = [each for each in left if each > (after[0], after[1])]
        page = left[: query.count]
        found = self._with_images(project, iteration, [image_id for _, image_id in page])
        continuation = seal(list(page[-1]), bound) if len(left) > len(page) else None
        return SuggestionPage(tuple(found), session, continuation)

    def counts(
        self, project: Project, iteration: Iteration, tag_ids: Sequence[str], threshold: float
    ) -> dict[str, int]:
        """How many untagged images each tag is suggested for, with at least this probability. Cost: as a query."""
        is_untagged = self._untagged(project)
        wanted = tag_ids or [str(tag["id"]) for tag in iteration.tags]
        return {
            tag_id: sum(
                is_untagged(each.image_id)
                for each in self._repository.of_tag(project.tenant, iteration.id, tag_id, threshold)
            )
            for tag_id in wanted
        }

    def forget_iteration(self, tenant: str, iteration_id: str, most: int = _FORGOTTEN) -> bool:
        """Delete what an iteration suggested, up to so many images at once. True when nothing is left."""
        left = most
        while left > 0:
            found = self._repository.page(tenant, iteration_id, min(left, 100))
            if not found:
                return True
            self._repository.remove(found)
            left -= len(found)
        return False

    def forget_images(self, tenant: str, iteration_id: str, image_ids: Sequence[str]) -> None:
        """Delete what an iteration suggested for some images. May be repeated."""
        found = self._repository.get_many(tenant, iteration_id, image_ids, consistent=True)
        self._repository.remove(list(found.values()))

    def _with_images(
        self, project: Project, iteration: Iteration, image_ids: Sequence[str]
    ) -> list[tuple[Suggestion, Image]]:
        """In the order asked; what was deleted or tagged since the index was read is left out."""
        said = self._repository.get_many(project.tenant, iteration.id, image_ids)
        images = {image.id: image for image in self._images.existing(project, image_ids) if not image.all_tags}
        return [(said[id], images[id]) for id in image_ids if id in said and id in images]

    def _untagged(self, project: Project) -> Callable[[str], bool]:
        """A test whether an image of the workspace has no tag. Two terms of the index."""
        source = self._browsing.workspace(project)
        untagged = source.bitmap(ALL) - source.bitmap(TAGGED)

        def is_untagged(image_id: str) -> bool:
            ordinal = ordinal_of(image_id)
            return ordinal is not None and ordinal in untagged

        return is_untagged


def _likeliest(suggestion: Suggestion) -> list[TagSuggested]:
    """The tags that the image is found by."""
    ranked = sorted(suggestion.likeliest.items(), key=lambda each: (-each[1], each[0]))[:MAX_TAGS]
    return [
        TagSuggested(suggestion.image_id, tag_id, probability, suggestion.uncertainty)
        for tag_id, probability in ranked
        if probability >= LEAST_PROBABILITY
    ]


def _check(query: SuggestionQuery) -> None:
    if query.count > MAX_PAGE:
        raise LimitExceeded("results of a suggestion query", MAX_PAGE, query.count)
    if query.count < 1:
        raise InvalidInput(_FIELD, "at least one result must be asked for", query.count)
    if not 0 <= query.threshold <= 1:
        raise InvalidInput(_FIELD, "the threshold must be from 0 to 1", query.threshold)
