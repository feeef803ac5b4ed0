"""Which stored predictions? By time, iteration, application and tags, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dataloop.domain.errors import InvalidInput, LimitExceeded
from dataloop.domain.page_tokens import seal, unseal
from dataloop.domain.predictions import (
    ORDERS,
    PredictionQuery,
    StoredPrediction,
    first_id_at,
    last_id_at,
    next_id,
    time_of,
)
from dataloop.domain.projects import Project
from dataloop.domain.times import day_of, to_text
from dataloop.repositories.predictions import PredictionRepository
from dataloop.services.clock import Clock
from dataloop.services.storing_predictions import check_application

MAX_QUERY_TAGS = 2  # Azure Custom Vision: a query combines two tags
MAX_PAGE = 256  # ours: as pages of images
# Ours: predictions that one request looks at. A page that found little among them leads on from there.
MAX_LOOKED_AT = 2_000
# Ours: tags and boxes of one answer, 170 bytes each at most; Lambda answers 6 MB.
MAX_SAID = 20_000
_CHUNK = 200
_BEGINNING = "1970-01-01T00:00:00.000Z"
_FIELD = "prediction query"


@dataclass(frozen=True, slots=True)
class PredictionPage:
    """session: for all pages of one query. continuation: for the next page; None at the end."""

    predictions: tuple[StoredPrediction, ...]
    session: str
    continuation: str | None


class PredictionQueryService:
    """Reads are eventually consistent."""

    def __init__(self, repository: PredictionRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock

    def query(self, project: Project, query: PredictionQuery) -> PredictionPage:
        """A page of stored predictions. It may hold fewer than asked for, or none, and lead on all the same.

        newest, oldest: by the time they came. suggested: the most uncertain first, of the 2,000 newest of the time range.
        Raises InvalidInput (prediction query, application), LimitExceeded (results or tags of a prediction query).
        Cost: 1 query for the days, then 1 per 200 predictions looked at, at most 2,000 of them.
        """
        _check(query)
        bound = _bound(project, query)
        until = self._until(query, bound)
        kinds = (float, str) if query.order == "suggested" else (str,)
        after = None if query.continuation is None else unseal(query.continuation, _FIELD, [*bound, until], *kinds)
        first = query.start or _BEGINNING
        last = _day_in(until)
        days = [day for day in self._repository.days(project.tenant, project.id) if day_of(first) <= day <= last]
        walk = _Walk(self._repository, project, days, first_id_at(first), until)
        found, place = walk.most_uncertain(query, after) if query.order == "suggested" else walk.in_order(query, after)
        continuation = None if place is None else seal(place, [*bound, until])
        return PredictionPage(tuple(found), seal([until], bound), continuation)

    def _until(self, query: PredictionQuery, bound: list[Any]) -> str:
        """The last id that this session shows: what comes later moves no page."""
        if query.session is not None:
            (until,) = unseal(query.session, _FIELD, bound, str)
            return str(until)
        if query.continuation is not None:
            raise InvalidInput(_FIELD, "a continuation needs the session that it came with")
        now = self._clock.text()
        return last_id_at(min(query.end or now, now))


@dataclass(slots=True)
class _Page:
    """Fills up."""

    most: int
    found: list[StoredPrediction] = field(default_factory=list)
    said: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.found) >= self.most or self.said >= MAX_SAID

    def add(self, prediction: StoredPrediction) -> None:
        self.found.append(prediction)
        self.said += len(prediction.predictions)


@dataclass(frozen=True, slots=True)
class _Walk:
    """The predictions of a project from one id to another, both included; days: ascending, those that have any."""

    repository: PredictionRepository
    project: Project
    days: Sequence[str]
    low: str
    high: str

    def in_order(
        self, query: PredictionQuery, after: list[Any] | None
    ) -> tuple[list[StoredPrediction], list[Any] | None]:
        """(a page, where the next begins) by time; the place is the last id that was looked at."""
        is_newest_first = query.order == "newest"
        page, place = _Page(query.count), after
        low, high = self.low, self.high
        if after is not None:
            low, high = (low, next_id(after[0], -1)) if is_newest_first else (next_id(after[0], 1), high)
        looked_at = 0
        for prediction in self._all(low, high, is_newest_first):
            if page.is_full or looked_at == MAX_LOOKED_AT:
                return page.found, place
            looked_at, place = looked_at + 1, [prediction.id]
            if query.asks(prediction):
                page.add(prediction)
        return page.found, None

    def most_uncertain(
        self, query: PredictionQuery, after: list[Any] | None
    ) -> tuple[list[StoredPrediction], list[Any] | None]:
        """(a page, where the next begins) by doubt; the place is the last one's doubt and id."""
        pool = []
        for looked_at, prediction in enumerate(self._all(self.low, self.high, True)):
            if looked_at == MAX_LOOKED_AT:
                break
            if query.asks(prediction):
                pool.append(prediction)
        pool.sort(key=_doubt)
        page = _Page(query.count)
        for prediction in pool:
            if after is not None and _doubt(prediction) <= (-after[0], after[1]):
                continue
            if page.is_full:
                last = page.found[-1]
                return page.found, [float(last.uncertainty), last.id]
            page.add(prediction)
        return page.found, None

    def _all(self, low: str, high: str, is_newest_first: bool) -> Iterator[StoredPrediction]:
        """In the order of time, read in chunks as they are needed."""
        tenant, project_id = self.project.tenant, self.project.id
        for day in reversed(self.days) if is_newest_first else self.days:
            start, end = low, high
            while start <= end:
                found = self.repository.of_day(
                    tenant, project_id, day, (start, end), newest_first=is_newest_first, limit=_CHUNK
                )
                yield from found
                if len(found) < _CHUNK:
                    break
                last = found[-1].id
                start, end = (start, next_id(last, -1)) if is_newest_first else (next_id(last, 1), end)


def _doubt(prediction: StoredPrediction) -> tuple[float, str]:
    return -prediction.uncertainty, prediction.id


def _check(query: PredictionQuery) -> None:
    check_application(query.application)
    if query.order not in ORDERS:
        raise InvalidInput(_FIELD, f"the order must be one of {', '.join(ORDERS)}", query.order)
    if len(query.tags) > MAX_QUERY_TAGS:
        raise LimitExceeded("tags of a prediction query", MAX_QUERY_TAGS, len(query.tags))
    if query.count > MAX_PAGE:
        raise LimitExceeded("results of a prediction query", MAX_PAGE, query.count)
    if query.count < 1:
        raise InvalidInput(_FIELD, "at least one result must be asked for", query.count)
    if query.start is not None and query.end is not None and query.start > query.end:
        raise InvalidInput(_FIELD, f"it begins at {query.start}, after its end at {query.end}")
    for wanted in query.tags:
        if not 0 <= wanted.low <= wanted.high <= 1:
            raise InvalidInput(
                _FIELD, f"thresholds must be from 0 to 1, the lower first: {wanted.low} to {wanted.high}"
            )


def _bound(project: Project, query: PredictionQuery) -> list[Any]:
    """What a session is given out for: everything but the number of results."""
    tags = [[each.tag_id, float(each.low), float(each.high)] for each in query.tags]
    asked = [query.start, query.end, query.iteration_id, query.application, query.order]
    return [project.tenant, project.id, tags, *asked]


def _day_in(prediction_id: str) -> str:
    return day_of(to_text(datetime.fromtimestamp((time_of(prediction_id) or 0) / 1000, UTC)))
