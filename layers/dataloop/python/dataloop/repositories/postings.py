"""Which files carry a label: one item a label, file and annotation, written when the annotation is (docs/adr/0018).

Postings only propose: whoever searches looks at the annotations themselves, so a posting too many harms nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from dataloop.domain.annotations import Annotation
from dataloop.repositories import keys
from dataloop.repositories.codec import Item
from dataloop.repositories.table import Table

PAGE = 1_000


def postings_of(annotation: Annotation, uids: Iterable[str] | None = None) -> list[Item]:
    """The items of one annotation, for these of its files (all): one a file and label name."""
    wanted = annotation.data_ids if uids is None else uids
    return [
        {"pk": keys.label(annotation.tenant, name, uid), "sk": f"{uid}#{annotation.id}"}
        for uid in wanted
        for name in sorted(annotation.label_names)
    ]


class PostingRepository:
    """Reads are strongly consistent (S)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def uids(self, tenant: str, label: str, after: str = "") -> Iterator[str]:
        """S. The files that ever carried a label, each once, ascending, from behind `after`.

        Cost: up to 16 queries, one more per 1,000 postings; lazily.
        """
        for digit in keys.DAY_SHARDS[keys.DAY_SHARDS.find(after[:1] or "0") :]:
            yield from (uid for uid, _ in groupby(self._shard(tenant, label, digit, after)))

    def _shard(self, tenant: str, label: str, digit: str, after: str) -> Iterator[str]:
        cursor: str | None = None
        # "$" comes behind "#", which ends the uid in a sort key.
        start = f"{after}$" if after[:1] == digit else None
        while True:
            page = self._table.query(
                keys.label(tenant, label, digit), limit=PAGE, cursor=cursor, consistent=True, after=start
            )
            for item in page.items:
                yield item["sk"].partition("#")[0]
            cursor = page.cursor
            if cursor is None:
                return
