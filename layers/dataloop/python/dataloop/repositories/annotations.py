"""Annotations: deterministic ids, put once, one edge per file they speak of (design §5.4, pattern 6)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from dataloop.domain.annotations import Annotation
from dataloop.domain.canonical import canonical_json
from dataloop.domain.json_lines import parse
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.postings import postings_of
from dataloop.repositories.raw_data import raw_data_of
from dataloop.repositories.table import BATCH_GET, ConditionFailed, Table

# DynamoDB refuses items above 400 KB; bodies above this go to S3 (design §5.5).
SPILL_BYTES = 64 * 1024
# More digits than a whole number of 64 bits has.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class SpillStore(Protocol):
    """Where bodies too large for an item go: the artifacts bucket."""

    def put(self, key: str, body: bytes) -> None: ...

    def get(self, key: str) -> bytes: ...


class AnnotationRepository:
    """Annotations are immutable: the first write of an id stands."""

    def __init__(self, table: Table, spill: SpillStore) -> None:
        self._table = table
        self._spill = spill

    def add(self, annotations: Sequence[Annotation]) -> list[bool]:
        """Put each annotation if it is new, then its edges and postings. For each: was it new?

        A crash between the two writes leaves an annotation without an edge; the client's retry, which has the same
        ids, writes the edge. Cost: 1 call each and 1 call per 25 edges and postings; 3 WRU each with one label (1 per KB,
        per edge and per label name).
        """
        added = [self._put(annotation) for annotation in annotations]
        edges = [
            {
                "pk": keys.raw(annotation.tenant, uid),
                "sk": keys.edge(annotation.id),
                "tenant": annotation.tenant,
            }
            for annotation in annotations
            for uid in annotation.data_ids
        ]
        derived = edges + [posting for annotation in annotations for posting in postings_of(annotation)]
        self._table.put_many(list({(item["pk"], item["sk"]): item for item in derived}.values()))
        return added

    def _put(self, annotation: Annotation) -> bool:
        item: Item = {"pk": keys.annotation(annotation.tenant, annotation.id), "sk": keys.ROOT} | asdict(annotation)
        body = canonical_json(item.pop("labels"))
        if len(body) > SPILL_BYTES:
            # The body is durable before the item that names it; the key is content-addressed, so a repeat is harmless.
            item["labels_key"] = f"{annotation.tenant}/annotations/{annotation.id}.json"
            self._spill.put(item["labels_key"], body)
        elif _LONG_NUMBER.search(body):
            item["labels"] = annotation.labels  # quick parsers read such a number as a float
        else:
            # One text, not a tree of attributes: boto3 takes six times as long to read the tree (benchmarks/building).
            item["labels_json"] = body.decode()
        try:
            self._table.put(item, condition="attribute_not_exists(#pk)")
        except ConditionFailed:
            return False
        return True

    def erased_among(self, tenant: str, uids: Iterable[str]) -> set[str]:
        """S. The files among these that a deletion took: nothing is said of them any more. 1 call per 100."""
        wanted = ((keys.raw(tenant, uid), keys.ROOT) for uid in uids)
        found = map(raw_data_of, self._table.get_many(wanted, consistent=True))
        return {raw.uid for raw in found if raw.is_erased}

    def get(self, tenant: str, annotation_id: str) -> Annotation | None:
        """S. 1 call, and one S3 GET when the body was spilt."""
        item = self._table.get(keys.annotation(tenant, annotation_id))
        return self._from_item(item) if item else None

    def get_many(
        self, tenant: str, annotation_ids: Iterable[str], *, consistent: bool = False
    ) -> dict[str, Annotation]:
        """By id, the existing ones. 1 call per 100."""
        wanted = ((keys.annotation(tenant, id), keys.ROOT) for id in annotation_ids)
        found = map(self._from_item, self._table.get_many(wanted, consistent=consistent))
        return {annotation.id: annotation for annotation in found}

    def in_pages(self, tenant: str, annotation_ids: Sequence[str], *, spilt: int) -> Iterator[list[Annotation]]:
        """S. The existing ones, as many at a time as one call answers; of those with bodies in S3 at most `spilt`.

        1 call per 100, and one S3 GET a spilt body.
        """
        for start in range(0, len(annotation_ids), BATCH_GET):
            wanted = ((keys.annotation(tenant, id), keys.ROOT) for id in annotation_ids[start : start + BATCH_GET])
            items = self._table.get_many(wanted, consistent=True)
            yield [self._from_item(item) for item in items if "labels_key" not in item]
            far = [item for item in items if "labels_key" in item]
            for first in range(0, len(far), spilt):
                yield [self._from_item(item) for item in far[first : first + spilt]]

    def _from_item(self, item: Item) -> Annotation:
        labels: list[dict[str, Any]]
        if "labels_key" in item:
            labels = json.loads(self._spill.get(item["labels_key"]))
        else:  # items of earlier versions are trees, too
            labels = parse(item["labels_json"]) if "labels_json" in item else item["labels"]
        return Annotation(
            tenant=item["tenant"],
            id=item["id"],
            data_ids=tuple(item["data_ids"]),
            type=item["type"],
            labels=tuple(labels),
            method=item["method"],
            model_name=item["model_name"],
            model_version=item["model_version"],
            scope=tuple(item["scope"]),
            bg=item["bg"],
            owner=item["owner"],
            created_at=item["created_at"],
            supersedes=item.get("supersedes"),
        )
