"""Which images an analysis is about, and the folder its job reads: images without labels, by uid or by query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from dataloop.domain.analyses import MAX_LOOKUPS, MAX_SCANNED, ImageQuery, job_row, label_state
from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.manifest import JoinReport, object_row
from dataloop.domain.raw_data import RawData
from dataloop.gateways.objects import Bucket
from dataloop.repositories.annotations import AnnotationRepository
from dataloop.repositories.raw_data import RawDataRepository

# DynamoDB's BatchGetItem takes so many keys.
CHUNK = 100
DAY_PAGE = 1_000
SameType = Callable[[str], bool]
Value = TypeVar("Value")


@dataclass
class Gathered:
    """The images of one analysis; left_out: what was asked for and cannot be used, with reasons.

    is_cut: a query matches more images than its limit.
    """

    images: list[RawData] = field(default_factory=list)
    left_out: JoinReport = field(default_factory=JoinReport)
    is_cut: bool = False


class GatheringService:
    """Reads raw data and what is said of it; writes images.jsonl, objects.jsonl, images.manifest and spec.json."""

    def __init__(
        self, raw_data: RawDataRepository, annotations: AnnotationRepository, artifacts: Bucket, raw: Bucket
    ) -> None:
        self._raw_data = raw_data
        self._annotations = annotations
        self._artifacts = artifacts
        self._raw = raw

    def by_uid(self, tenant: str, uids: Sequence[str], same_type: SameType, *, spare_labelled: bool) -> Gathered:
        """The images of these uids, in their order. What is missing or unusable is noted, not fatal.

        spare_labelled: leave out what people already labelled. Cost: 1 call per 100 uids, with spare_labelled also
        2 per image.
        """
        found = Gathered()
        for chunk in chunks(uids, CHUNK):
            raws = self._raw_data.get_many(tenant, chunk)
            for uid in chunk:
                raw = raws.get(uid)
                problem = _problem(raw)
                if problem is None and spare_labelled and self.state_of(tenant, uid, same_type) == "labelled":
                    problem = "labelled"
                if problem is not None:
                    found.left_out.note(problem, uid)
                elif raw is not None:
                    found.images.append(raw)
        return found

    def by_query(self, tenant: str, query: ImageQuery, same_type: SameType, *, spare_labelled: bool) -> Gathered:
        """The images that a query matches, the oldest days first, up to its limit; others are no concern of it.

        It is also cut after MAX_LOOKUPS images whose labels had to be looked up, and after MAX_SCANNED records.

        Cost: 16 queries a day; where the state of the labels matters, 2 calls more per image.
        """
        found = Gathered()
        needs_labels, looked_up = query.labels != "any" or spare_labelled, 0
        for scanned, raw in enumerate(self._of_days(tenant, query)):
            if scanned == MAX_SCANNED or looked_up == MAX_LOOKUPS:
                found.is_cut = True
                return found
            if not query.matches(raw):
                continue
            problem = _problem(raw)
            if problem is not None:
                found.left_out.note(problem, raw.uid)
                continue
            if needs_labels:
                looked_up += 1
                state = self.state_of(tenant, raw.uid, same_type)
                if query.labels not in ("any", state):
                    continue
                if spare_labelled and state == "labelled":
                    found.left_out.note("labelled", raw.uid)
                    continue
            if len(found.images) == query.limit:
                found.is_cut = True
                return found
            found.images.append(raw)
        return found

    def _of_days(self, tenant: str, query: ImageQuery) -> Iterator[RawData]:
        for day in query.days():
            cursor = None
            while True:
                page, cursor = self._raw_data.of_day(tenant, day, limit=DAY_PAGE, cursor=cursor)
                yield from page
                if cursor is None:
                    break

    def said_of(self, tenant: str, uid: str) -> list[Annotation]:
        """S. Every annotation of an image. Cost: 1 call, and 1 more per 100 annotations."""
        ids = self._raw_data.annotation_ids(tenant, uid)
        return list(self._annotations.get_many(tenant, ids, consistent=True).values()) if ids else []

    def state_of(self, tenant: str, uid: str, same_type: SameType) -> str:
        """none, suggested or labelled."""
        return label_state(self.said_of(tenant, uid), same_type)

    def lay_out(self, target: str, images: Sequence[RawData], spec: Mapping[str, Any]) -> None:
        """Write the job's folder; written again it is the same. 4 PUT requests."""
        places = [(raw.uid, raw.location) for raw in images]
        objects = [object_row(uid, at) for uid, at in places if at is not None]
        keys = dict.fromkeys(row["key"] for row in objects)
        self._artifacts.put(f"{target}/images.jsonl", _lines(job_row(raw) for raw in images))
        self._artifacts.put(f"{target}/objects.jsonl", _lines(objects))
        self._artifacts.put(f"{target}/images.manifest", canonical_json([{"prefix": f"s3://{self._raw.name}/"}, *keys]))
        self._artifacts.put(f"{target}/spec.json", canonical_json(spec))


def _problem(raw: RawData | None) -> str | None:
    """Why an image cannot be looked at, in the words of a build's report; None when it can."""
    if raw is None or raw.facts is None or not raw.is_usable:
        return "missing_object"
    is_image = raw.facts.type == "image" and raw.facts.width and raw.facts.height
    return None if is_image else "not_an_image"


def chunks(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Lists of `size` values, the last one shorter."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(canonical_json(row) + b"\n" for row in rows)
