"""Search over raw data, saved queries, and datasets made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ankerautotrainsdk.operations.base import checked_dict, every, without_none
from ankerautotrainsdk.operations.tasks import TaskCalls
from ankerautotrainsdk.results import Page, Record, Task
from ankerautotrainsdk.transport import path as route


class SearchCalls(TaskCalls):
    """Calls about what is there. `where`: docs/search.md."""

    def search_raw_data(
        self, where: Mapping[str, Any] | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Record]:
        """One page of files that match: records with uid, meta, places, last_seen and annotation_ids.

        where: {"regions": ["CN"], "any_label": ["poop"], "max_score": 0.5, …}; everything given must hold. A page may be
        short, even empty, while there is a cursor. Raises InvalidInput (details name the field), NotFound (of `near`).
        """
        body = without_none(where=where and checked_dict(where, "where"), limit=limit, cursor=cursor)
        answer = self._transport.post("/raw-data/search", body)
        return Page((Record(each) for each in answer["items"]), answer.get("cursor"))

    def find_raw_data(self, where: Mapping[str, Any] | None = None) -> Iterator[Record]:
        """Every file that matches, page by page, fetched as it is consumed."""
        return every(lambda cursor: self.search_raw_data(where, limit=1000, cursor=cursor))

    def save_query(self, name: str, where: Mapping[str, Any], comment: str | None = None) -> Record:
        """Keep a search under a name. Raises Conflict when the name is taken, InvalidInput."""
        body = without_none(name=name, where=checked_dict(where, "where"), comment=comment)
        return Record(self._transport.post_keyed("/queries", body))

    def list_queries(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Record]:
        """Saved queries, newest first."""
        return self._page("/queries", Record, limit=limit, cursor=cursor)

    def get_query(self, query_id: str) -> Record:
        """One saved query. Raises NotFound."""
        return Record(self._transport.get(route("queries", query_id)))

    def change_query(self, query_id: str, where: Mapping[str, Any] | None = None, comment: str | None = None) -> Record:
        """Other conditions, another comment; the name stays. Raises NotFound, InvalidInput."""
        body = without_none(where=where, comment=comment)
        return Record(self._transport.put(route("queries", query_id), body))

    def delete_query(self, query_id: str) -> None:
        """Forget a saved query; datasets made from it stay. Raises NotFound."""
        self._transport.delete(route("queries", query_id))

    def dataset_from_query(
        self,
        query_id: str,
        dataset_info: Mapping[str, Any],
        *,
        near_duplicates: str | None = None,
        wait: bool = False,
        timeout_s: float | None = None,
    ) -> Task:
        """Make a draft of the annotations that a saved query finds now; build it like any other.

        dataset_info: as for create_dataset. near_duplicates: "keep", or "keep_first" of pictures that look alike. The
        finished task has result.dataset_id and counts. Raises NotFound, Conflict (name and version taken), InvalidInput.
        """
        body = checked_dict(dataset_info, "dataset_info") | without_none(near_duplicates=near_duplicates)
        task = Task(self._transport.post_keyed(f"{route('queries', query_id)}/datasets", body))
        return self._maybe_wait(task, wait, timeout_s)
