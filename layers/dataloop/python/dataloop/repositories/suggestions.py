"""Suggested tags: one item an image with all that was said of it, and one for each of its likeliest tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import floor
from typing import Any

from dataloop.domain.predictions import Suggestion
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item
from dataloop.repositories.predictions import packed, unpacked
from dataloop.repositories.table import Table

# Sort keys of a tag's items begin with four digits, the likeliest first.
_STEPS = 9999


@dataclass(frozen=True, slots=True)
class TagSuggested:
    """One image that may have a tag."""

    image_id: str
    tag_id: str
    probability: float
    uncertainty: float


class SuggestionRepository:
    """A model never changes, and so a suggestion is only ever written again as it was."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, suggestions: Sequence[Suggestion], tags: Sequence[TagSuggested], tenant: str, iteration: str) -> None:
        """Images first: a tag's item always leads to one. 1 call per 25 items, 1 WRU each."""
        pk = keys.suggested_images(tenant, iteration)
        images: list[dict[str, Any]] = [
            {"pk": pk, "sk": each.image_id, **asdict(each), "predictions": packed(each.predictions)}
            for each in suggestions
        ]
        self._table.put_many(images)
        self._table.put_many(
            [
                {
                    "pk": keys.suggestions(tenant, iteration, each.tag_id),
                    "sk": f"{_rank(each.probability)}#{each.image_id}",
                    **asdict(each),
                }
                for each in tags
            ]
        )

    def of_tag(self, tenant: str, iteration_id: str, tag_id: str, threshold: float) -> Iterator[TagSuggested]:
        """E. Images that have the tag with at least this probability, likeliest first. 1 RRU per about 40."""
        pk = keys.suggestions(tenant, iteration_id, tag_id)
        cursor: str | None = None
        while True:
            page = self._table.query(pk, between=("0", f"{_rank(threshold)}~"), limit=1000, cursor=cursor)
            for item in page.items:
                if item["probability"] >= threshold:
                    yield from_item(TagSuggested, item)
            cursor = page.cursor
            if cursor is None:
                return

    def get_many(
        self, tenant: str, iteration_id: str, image_ids: Iterable[str], *, consistent: bool = False
    ) -> dict[str, Suggestion]:
        """By image id, the existing ones. 1 call per 100."""
        pk = keys.suggested_images(tenant, iteration_id)
        items = self._table.get_many(((pk, image_id) for image_id in image_ids), consistent=consistent)
        return {item["image_id"]: _suggestion(item) for item in items}

    def page(self, tenant: str, iteration_id: str, limit: int) -> list[Suggestion]:
        """S. Some of an iteration's suggestions: for their removal, as long as there are any. 1 call."""
        page = self._table.query(keys.suggested_images(tenant, iteration_id), limit=limit, consistent=True)
        return [_suggestion(item) for item in page.items]

    def remove(self, suggestions: Sequence[Suggestion]) -> None:
        """All items of these images; their own go last, because they say which others there are. 1 call per 25 items."""
        self._table.delete_many(
            (keys.suggestions(each.tenant, each.iteration_id, tag_id), f"{_rank(probability)}#{each.image_id}")
            for each in suggestions
            for tag_id, probability in each.likeliest.items()
        )
        self._table.delete_many(
            (keys.suggested_images(each.tenant, each.iteration_id), each.image_id) for each in suggestions
        )


def _rank(probability: float) -> str:
    return f"{_STEPS - floor(min(1.0, max(0.0, probability)) * _STEPS):04d}"


def _suggestion(item: Item) -> Suggestion:
    return from_item(
        Suggestion,
        item,
        predictions=unpacked(item["predictions"]),
        uncertainty=float(item["uncertainty"]),
    )
