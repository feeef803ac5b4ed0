"""Search over raw data: by what a file states, by what is said of it, by its doubles; page after page, exact."""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dataloop.domain.canonical import canonical_json
from dataloop.domain.datasets import check_name
from dataloop.domain.errors import InvalidInput, LimitExceeded, NotFound
from dataloop.domain.raw_data import RawData
from dataloop.domain.residency import EVERYTHING, Clearance
from dataloop.domain.search import Found, SavedQuery, Where, make_where
from dataloop.repositories.postings import PostingRepository
from dataloop.repositories.queries import QueryRepository
from dataloop.repositories.raw_data import RawDataRepository
from dataloop.services.clock import Clock
from dataloop.services.gathering import GatheringService, chunks

# Candidates at a time: DynamoDB's BatchGetItem takes so many keys.
CHUNK = 100
# Ours: what one page may look at before it answers with what it has: some seconds of the API's 29.
MAX_CANDIDATES = 5_000
MAX_ASKED = 600
LOOKUPS_AT_ONCE = 16
MAX_COMMENT = 1_000
MAX_WHERE_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """cursor: there may be more; scanned: how many files were looked at for this page."""

    found: list[Found]
    cursor: str | None
    scanned: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A record, and the position from which a search goes on behind it."""

    position: Mapping[str, Any]
    raw: RawData | None


class SearchService:
    """Labels lead through their postings, everything else through the days on which files came; each file is then judged
    by its own record and annotations, so an answer never rests on an index alone."""

    def __init__(
        self,
        raw_data: RawDataRepository,
        postings: PostingRepository,
        queries: QueryRepository,
        gathering: GatheringService,
        clock: Clock,
    ) -> None:
        self._raw_data = raw_data
        self._postings = postings
        self._queries = queries
        self._gathering = gathering
        self._clock = clock

    def page(
        self, tenant: str, where: object, limit: int, cursor: str | None, clearance: Clearance = EVERYTHING
    ) -> Page:
        """A page of files that match. Raises InvalidInput, NotFound (the file of `near`).

        With labels the order is by uid, else the newest days first. A page may be short, even empty, with a cursor: it
        ends after 5,000 candidates, or 600 whose annotations had to be read.
        Cost: per 1,000 candidates of a day 16 queries and more, per 1,000 postings 1 query and 10 BatchGets; and 2 calls
        for each file whose annotations matter.
        """
        wanted = make_where(where)
        found: list[Found] = []
        scanned = asked = 0
        last: _Candidate | None = None
        candidates = self._candidates(tenant, wanted, _open(cursor))
        hash_near = self._hash_of(tenant, wanted.near)
        for chunk in chunks(candidates, CHUNK):
            matching = self._judge(tenant, wanted, hash_near, [one.raw for one in chunk], clearance)
            for candidate, hit in zip(chunk, matching, strict=True):
                last = candidate
                scanned += 1
                if hit is not None:
                    found.append(hit)
                    if len(found) == limit:
                        return Page(found, _seal(candidate.position), scanned)
            asked += len(chunk) if wanted.needs_annotations else 0
            if scanned >= MAX_CANDIDATES or asked >= MAX_ASKED:
                break
        is_over = scanned < MAX_CANDIDATES and asked < MAX_ASKED
        return Page(found, None if is_over or last is None else _seal(last.position), scanned)

    def every(self, tenant: str, where: object) -> Iterator[Found]:
        """All files that match, in the order of the pages; lazily."""
        wanted = make_where(where)
        hash_near = self._hash_of(tenant, wanted.near)
        for chunk in chunks(self._candidates(tenant, wanted, {}), CHUNK):
            judged = self._judge(tenant, wanted, hash_near, [one.raw for one in chunk], EVERYTHING)
            yield from (hit for hit in judged if hit is not None)

    def _hash_of(self, tenant: str, uid: str) -> str:
        if not uid:
            return ""
        raw = self._raw_data.get(tenant, uid)
        if raw is None or raw.facts is None:
            raise NotFound("raw data", uid)
        if raw.facts.phash is None:
            raise InvalidInput("where.near", "has no perceptual hash: it is no picture that could be read", uid)
        return raw.facts.phash

    def _judge(
        self, tenant: str, where: Where, hash_near: str, raws: list[RawData | None], clearance: Clearance
    ) -> list[Found | None]:
        def is_right(raw: RawData) -> bool:
            if clearance.problem(raw.meta or {}) is not None or not where.matches_file(raw):
                return False
            return not hash_near or where.is_near(raw, hash_near)

        def judge(raw: RawData | None) -> Found | None:
            if raw is None or not is_right(raw):
                return None
            if not where.needs_annotations:
                return Found(raw)
            said = where.matching(self._gathering.said_of(tenant, raw.uid))
            return None if said is None else Found(raw, tuple(said))

        if not where.needs_annotations:
            return [judge(raw) for raw in raws]
        with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
            return list(pool.map(judge, raws))

    def _candidates(self, tenant: str, where: Where, after: Mapping[str, Any]) -> Iterator[_Candidate]:
        labels = where.all_labels or where.any_label
        if labels:
            needed = len(where.all_labels) or 1
            return self._of_labels(tenant, labels, needed, str(after.get("uid") or ""))
        return self._of_days(tenant, where, after)

    def _of_labels(self, tenant: str, labels: tuple[str, ...], needed: int, after: str) -> Iterator[_Candidate]:
        """Files that carry at least so many of the labels, ascending."""
        streams = [self._postings.uids(tenant, label, after) for label in labels]
        uids = (uid for uid, same in groupby(heapq.merge(*streams)) if len(list(same)) >= needed)
        for chunk in chunks(uids, CHUNK):
            raws = self._raw_data.get_many(tenant, chunk, consistent=True)
            yield from (_Candidate({"uid": uid}, raws.get(uid)) for uid in chunk)

    def _of_days(self, tenant: str, where: Where, after: Mapping[str, Any]) -> Iterator[_Candidate]:
        """The newest day first. A position names the day, the page of the day, and how many of that page are done."""
        for day in _days(where, str(after.get("day") or ""), self._raw_data.days(tenant)):
            cursor, done = (after.get("page"), int(after.get("done") or 0)) if day == after.get("day") else (None, 0)
            while True:
                page, following = self._raw_data.of_day(tenant, day, limit=CHUNK, cursor=cursor)
                for index, raw in enumerate(page[done:], done + 1):
                    yield _Candidate({"day": day, "page": cursor, "done": index}, raw)
                if following is None:
                    break
                cursor, done = following, 0

    def save(self, tenant: str, body: object, query_id: str | None = None) -> SavedQuery:
        """A query under a name: {"name", "where", "comment"}. Raises InvalidInput, LimitExceeded, Conflict."""
        name, where, comment = _checked(body)
        now = self._clock.text()
        id = query_id or self._clock.new_id()
        return self._queries.create(SavedQuery(tenant, id, name, where, now, now, comment))

    def change(self, tenant: str, query_id: str, body: object) -> SavedQuery:
        """Other conditions or another comment; the name stays. Raises NotFound, InvalidInput, LimitExceeded."""
        query = self._queries.get(tenant, query_id)
        given = body if isinstance(body, Mapping) else {}
        _, where, comment = _checked({"name": query.name, "where": query.where, "comment": query.comment} | dict(given))
        if given.get("name", query.name) != query.name:
            raise InvalidInput("name", "cannot change: save another query", given["name"])
        return self._queries.change(query, where, comment, self._clock.text())

    def get(self, tenant: str, query_id: str) -> SavedQuery:
        """Raises NotFound."""
        return self._queries.get(tenant, query_id)

    def queries(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[SavedQuery], str | None]:
        """Newest first."""
        return self._queries.page(tenant, limit=limit, cursor=cursor)

    def remove(self, tenant: str, query_id: str) -> None:
        """Raises NotFound. Datasets made from it stay."""
        self._queries.remove(self._queries.get(tenant, query_id))


def _checked(body: object) -> tuple[str, dict[str, Any], str]:
    if not isinstance(body, Mapping):
        raise InvalidInput("query", "must be an object", body)
    where = make_where(body.get("where")).to_json()
    size = len(canonical_json(where))
    if size > MAX_WHERE_BYTES:
        raise LimitExceeded("where: bytes", MAX_WHERE_BYTES, size)
    comment = body.get("comment") or ""
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise InvalidInput("comment", f"must be a text of at most {MAX_COMMENT} characters", comment)
    return check_name(body.get("name"), "name"), where, comment


def _days(where: Where, start: str, known: Sequence[str]) -> Iterable[str]:
    """Of the days that have files, those asked for: the newest first, from where a search goes on."""
    last = min(filter(None, (start, where.last_day)), default="99999999")
    return (day for day in reversed(known) if where.first_day <= day <= last)


def _seal(position: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(canonical_json(position)).decode()


def _open(cursor: str | None) -> Mapping[str, Any]:
    """A position again. Raises InvalidInput for a text that is none of ours; its parts are checked where they are used."""
    if not cursor:
        return {}
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        sound = isinstance(position.get("done") or 0, int) and isinstance(position.get("page"), str | None)
    except (ValueError, binascii.Error, AttributeError):
        sound = False
    if not sound:
        raise InvalidInput("cursor", "is not one this service gave out", cursor)
    return position  # type: ignore[no-any-return]
